"""Runs as a pandas table: its columns, its rows, what is loaded to make it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from hybrid.errors import UserError
from hybrid.reports.runs import read_runs


@pytest.fixture
def runs(tmp_path, write_run):
    """Two seeds of lr 0.2, one of them unfinished, and a failed run of lr 0.4, one folder deeper."""
    write_run("a0", "optimizer.lr=0.2", top1=90.0)
    write_run("a1", "optimizer.lr=0.2", seed=1)
    (write_run("deep/b", "optimizer.lr=0.4", "data.subset.n=100") / "error.txt").write_text(
        "Traceback …\nValueError: broken\n"
    )
    return tmp_path / "runs"


def test_a_row_a_run_with_the_settings_that_differ_and_the_numbers_of_the_finished(runs):
    table = read_runs(runs)
    assert list(table.columns[:9]) == [
        "name", "folder", "state", "group", "seed", "model", "data", "optimizer.lr", "data.subset.n",
    ]  # fmt: skip
    assert list(table.name) == ["a0", "a1", "deep/b"] and table.folder[2] == str(runs / "deep" / "b")
    assert list(table.state) == ["finished", "unfinished", "failed"]
    assert list(table.group) == [0, 0, 1] and list(table.seed) == [0, 1, 0]
    assert list(table["optimizer.lr"]) == [0.2, 0.2, 0.4] and list(table["data.subset.n"]) == [None, None, 100]
    assert table["optimizer.lr"].dtype == float
    assert table["test.top1"].fillna(-1).tolist() == [90.0, -1, -1]
    assert table["validation.best.top1"][0] == 80.0 and table.parameters[0] == 1234 and table.seconds[0] == 10.0
    assert list(table.device) == ["cpu", None, None] and list(table.error) == [None, None, "ValueError: broken"]


def test_groups_are_averaged_over_their_seeds(runs, write_run):
    write_run("a2", "optimizer.lr=0.2", seed=2, top1=94.0)
    means = read_runs(runs).groupby("group")["test.top1"].agg(["mean", "std", "count"])
    assert means.loc[0].tolist() == [92.0, pytest.approx(8**0.5), 2] and means.loc[1, "count"] == 0


def test_a_run_that_is_there_twice_is_one_row_and_groups_are_over_the_keys_asked_for(runs, write_run):
    write_run("z", "optimizer.lr=0.2", seed=1, top1=91.0)
    with pytest.warns(UserWarning, match="a1 is left out: same configuration and seed as .*z"):
        table = read_runs(runs, over=["seed", "optimizer.lr", "data.subset.n"])
    assert list(table.name) == ["a0", "deep/b", "z"] and list(table.group) == [0, 0, 0]
    assert list(table["optimizer.lr"]) == [0.2, 0.4, 0.2]


def test_conditions_select_and_a_mistake_is_one_line(runs):
    assert list(read_runs(runs, where=["state=failed"]).name) == ["deep/b"]
    with pytest.raises(UserError, match="where: no run has optimizer.lr=7"):
        read_runs(runs, where=["optimizer.lr=7"])


def test_lists_are_shown_as_they_are_typed(runs, write_run):
    write_run("c", "data.normalize.mean=[0.5]", top1=50.0)
    table = read_runs(runs)
    assert "[0.5]" in table["data.normalize.mean"].tolist() and table.groupby("data.normalize.mean").size().sum() >= 1


def test_reading_runs_loads_neither_torch_nor_pandas_before_it_is_asked(runs):
    script = (
        "import sys; from hybrid.reports.runs import read_runs; early = 'pandas' in sys.modules; "
        f"read_runs({str(runs)!r}); print(early, *(n for n in sys.modules if n in ('torch', 'matplotlib')), "
        "*(n for n in sys.modules if n.startswith(('hybrid.training', 'hybrid.models'))))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
