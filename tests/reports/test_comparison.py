"""Paired tests of two settings, against scipy's, and the refusal of runs that make no pairs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from reports.test_groups import stored

from hybrid.errors import UserError
from hybrid.reports.comparison import compare, comparison_lines, paired_test, sign_flip
from hybrid.reports.groups import MeanStd, group_runs

FIRST, SECOND = [91.0, 92.5, 90.0, 95.0, 93.0], [90.0, 92.5, 90.5, 91.0, 90.0]


def test_the_t_test_is_scipys():
    from scipy import stats

    found, wanted = paired_test(FIRST, SECOND), stats.ttest_rel(FIRST, SECOND)
    assert (found.t, found.p) == (pytest.approx(wanted.statistic), pytest.approx(wanted.pvalue))
    assert found.difference == MeanStd.of(list(np.subtract(FIRST, SECOND)))


def test_the_exact_test_counts_the_signs_and_is_scipys_permutation_test():
    from scipy import stats

    differences = np.subtract(FIRST, SECOND)
    seen = [abs(np.dot(signs, differences)) >= abs(differences.sum()) for signs in itertools.product((1, -1), repeat=5)]
    wanted = stats.permutation_test((FIRST, SECOND), lambda a, b: np.mean(a - b), permutation_type="samples")
    assert sign_flip(differences) == np.mean(seen) == pytest.approx(wanted.pvalue)
    assert sign_flip([1.0, 2.0]) == 0.5 and sign_flip([0.0, 0.0]) == 1.0 and sign_flip([1.0] * 21) is None


def test_equal_differences_have_no_t_test_and_single_pairs_are_refused():
    assert paired_test([0.3, 0.4], [0.1, 0.2]).t is None
    with pytest.raises(ValueError, match="two pairs or more"):
        paired_test([1.0], [2.0])


def runs(pairs, **more):
    return [
        stored(f"{lr}-{seed}", seed=seed, optimizer__lr=lr, top1=values[seed], **more)
        for lr, values in pairs.items() for seed in range(len(values))
    ]  # fmt: skip


def test_the_report_says_the_difference_its_interval_both_tests_and_what_they_assume():
    groups = group_runs(runs({0.1: SECOND, 0.2: FIRST}))
    lines = comparison_lines(groups, ["optimizer.lr=0.2", "lr=0.1"], metric="test.top1")
    assert lines == [
        "optimizer.lr=0.2 minus lr=0.1: test top-1 (%) +1.50 ± 1.94 over 5 pairs (same seed), 95 % interval [-0.90, 3.90].",
        "Paired t-test: t = 1.73 with 4 degrees of freedom, two-sided p = 0.16. It assumes that the differences are "
        "independent and normally distributed.",
        "Exact sign-flip test, which assumes no distribution: two-sided p = 0.25 (5 pairs cannot give less than 0.062).",
    ]


def test_folds_are_no_independent_pairs_and_that_is_said():
    own = [
        stored(f"{lr}{fold}", data__fold=fold, optimizer__lr=lr, top1=lr + fold) for lr in (1, 2) for fold in range(3)
    ]
    lines = comparison_lines(group_runs(own, over=["fold"]), ["lr=1", "lr=2"], metric="test.top1")
    assert lines[-1].startswith("Folds share training images") and "all differences are equal" in lines[1]


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        (["lr=0.1"], "compare needs two settings"),
        (["lr=0.1", "lr=0.3"], "compare: no run has lr=0.3. There are: 0.1, 0.2"),
        (["lr=0.1", "optimizer.lr=0.1"], "choose the same runs"),
        (["flip=0.5", "lr=0.1"], "flip=0.5 are 2 rows, which differ in optimizer.lr; choose one"),
        (
            ["lr=0.1", "lr=0.2"],
            "the pairs do not match: only lr=0.1 has a finished run with test.top1 for seed=2. where=",
        ),
    ],
)
def test_what_makes_no_pairs_is_refused_in_a_line(conditions, words):
    groups = group_runs(runs({0.1: [1.0, 2.0, 3.0], 0.2: [2.0, 3.0]}))
    with pytest.raises(UserError, match=words.replace("(", r"\(")):
        compare(groups, conditions, metric="test.top1")
