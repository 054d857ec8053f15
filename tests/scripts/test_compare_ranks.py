"""scripts/compare_ranks.py: two ranks train what one trains, up to rounding, which float64 shows to be rounding."""

from __future__ import annotations

import compare_ranks
import pytest
import torch
from compare_ranks import Left, Options, compare_case, verdict
from rank_cases import CASES, Case, make_data

from hybrid.errors import UserError


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_wide_residual_network_on_two_ranks_differs_by_rounding_alone(tmp_path):
    """With synchronised batch norm, whole runs of eight steps: the difference of float32 all but vanishes in float64."""
    make_data(tmp_path)
    row = compare_case("wrn", Options(ranks=(2,)), tmp_path)
    single, double = row["differences"]["float32"], row["differences"]["float64"]
    assert max(double) < 1e-12 and 1e-9 < max(single) < 1e-2
    assert max(single) > 1e6 * max(double)
    assert row["verdict"] == "rounding" and max(single) < 100 * row["one rank"][0]


def test_what_is_no_rounding_needs_a_reason_and_a_reason_a_difference():
    assert verdict(Case(""), (0.0, 0.0)) == "equal" and verdict(Case(""), (1e-12, 0.0)) == "rounding"
    assert verdict(Case(""), (1e-12, 1e-6)) == "UNEXPLAINED"
    own = Case("", differs="each rank draws its own dropout")
    assert verdict(own, (0.1, 2.5)) == own.differs and verdict(own, (1e-12, 0.0)).startswith(
        "UNEXPLAINED: no difference"
    )
    assert verdict(own, None) == "not judged without float64"


def test_the_largest_difference_counts_and_runs_of_other_parts_are_not_compared():
    one = Left({"a": torch.tensor([1.0, 2.0]), "b": torch.tensor(3)}, {"loss": 0.5, "top1": 80.0})
    other = Left({"a": torch.tensor([1.0, 2.25]), "b": torch.tensor(3)}, {"loss": 0.5, "top1": 82.5})
    assert one.differences(other) == (0.25, 2.5)
    with pytest.raises(UserError, match="only one of two runs has c"):
        one.differences(Left({**one.tensors, "c": torch.tensor(0)}, one.numbers))


def test_unknown_cases_and_numbers_of_ranks_are_one_line(capsys):
    with pytest.raises(SystemExit) as end:
        compare_ranks.compare_ranks(["cases=[mixap]"])
    assert end.value.code == 2 and "Did you mean mixup?" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"ranks=\[5\] is not valid"):
        Options(ranks=(2, 5))
    assert all(case.settings for case in CASES.values())
