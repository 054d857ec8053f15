"""Compare two settings by pairs of runs: the paired t-test, and an exact test that holds for few pairs.

Runs are paired that agree in everything averaged over, such as the seed and the fold, so that what these bring to both
sides drops out of the differences.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from hybrid.errors import UserError
from hybrid.reports.differences import telling_settings, varying
from hybrid.reports.groups import Group, MeanStd
from hybrid.reports.numbers import number_text, title
from hybrid.reports.tables import FOLDS, is_fold
from hybrid.runs.numbers import limits
from hybrid.runs.reading import select

_EXACT = 20  # pairs: a million sign changes are tried; more pairs need no exact test
_SHOWN = 3


class PairedTest(NamedTuple):
    """What the differences of pairs say.

    Attributes:
        difference: mean ± standard deviation (n - 1) of the differences, first minus second, over n pairs.
        t: the statistic of the paired t-test; None where all differences are equal.
        p: its two-sided p-value with n - 1 degrees of freedom, for differences that are independent and normally distributed.
        exact: the two-sided p-value of the exact sign-flip test; None for more than 20 pairs.
    """

    difference: MeanStd
    t: float | None
    p: float | None
    exact: float | None


def paired_test(first: Sequence[float], second: Sequence[float]) -> PairedTest:
    """Test whether the mean difference of pairs is zero, by the paired t-test and by the exact sign-flip test.

    The sign-flip test (Fisher's randomization test) counts among all 2^n ways to give the differences signs those of which the
    mean is at least as far from zero. It assumes no distribution: only that, without an effect, a difference is as likely as
    its negative. Wilcoxon's signed-rank test is the same with ranks in place of the differences; accuracies on one set of test
    images are often equal, and ranks of equal and zero differences are what that test has no exact p-value for.

    Args:
        first, second: n ≥ 2 numbers each, finite; numbers at one place are a pair.

    Raises ValueError for other numbers of values.

    Example:
        >>> paired_test([91.0, 92.0, 93.0], [90.0, 90.0, 90.0]).difference.mean
        2.0
    """
    if len(first) != len(second) or len(first) < 2:
        raise ValueError(f"a paired test needs two pairs or more, not {len(first)} and {len(second)} values")
    differences = [a - b for a, b in zip(first, second, strict=True)]
    found = MeanStd.of(differences)
    error = found.std / math.sqrt(found.n)
    t = found.mean / error if error > 1e-12 * max(map(abs, differences), default=0) else None
    return PairedTest(found, t, None if t is None else _two_sided(t, found.n - 1), sign_flip(differences))


def sign_flip(differences: Sequence[float]) -> float | None:
    """Return the exact two-sided p-value of the sign-flip test for the mean; None for more than 20 differences."""
    if len(differences) > _EXACT:
        return None
    sums = np.zeros(1)
    for difference in differences:
        sums = np.concatenate([sums + difference, sums - difference])
    seen = abs(sum(differences))
    return float(np.mean(np.abs(sums) >= seen - 1e-9 * (1 + seen)))  # equal up to rounding counts


def compare(
    groups: Sequence[Group], conditions: Sequence[str], *, metric: str, level: float | None = 95
) -> tuple[Group, Group, PairedTest]:
    """Return the two groups that the conditions "key=value" choose, and the test of their pairs.

    Raises UserError unless each condition chooses one group, and both have the same finished runs.
    """
    if len(conditions) != 2:
        raise UserError(
            f"compare needs two settings, such as [optimizer.lr=0.1,optimizer.lr=0.2], not {len(conditions)}."
        )
    first, second = (_chosen(groups, condition) for condition in conditions)
    if first is second:
        raise UserError(f"compare: {conditions[0]} and {conditions[1]} choose the same runs.")
    values = [group.by_key(metric) for group in (first, second)]
    _check_pairs(values, conditions, metric)
    one, two = ([own[key] for key in values[0]] for own in values)
    return first, second, paired_test(one, two)


def comparison_lines(
    groups: Sequence[Group], conditions: Sequence[str], *, metric: str, level: float | None = 95
) -> list[str]:
    """Say in sentences what `compare` finds."""
    first, second, found = compare(groups, conditions, metric=metric)
    mean, std, n = found.difference
    shown = {name: number_text(metric, value, mean) for name, value in {"mean": mean, "std": std}.items()}
    pairs = ", ".join(f"same {name}" for name in first.over) or "same seed"
    lines = [
        f"{conditions[0]} minus {conditions[1]}: {title(metric)} {'+' if mean > 0 else ''}{shown['mean']} ± {shown['std']} "
        f"over {n} pairs ({pairs}){_interval(metric, found.difference, level)}.",
        _t_line(found),
        *_exact_line(found),
    ]
    named = {condition.partition("=")[0] for condition in conditions}
    others = [name for name in varying([first, second], telling_settings([first, second])) if name not in named]
    others = [name for name in others if name.rpartition(".")[2] not in named]
    lines += [f"They differ in {', '.join(others)}, too."] if others else []
    return lines + ([FOLDS] if any(map(is_fold, first.over)) else [])


def _interval(metric: str, found: MeanStd, level: float | None) -> str:
    if level is None:
        return ""
    least, most = limits(metric)
    low, high = found.interval(level / 100)
    low, high = max(low, least - most), min(high, most - least)  # of a difference
    low, high = (number_text(metric, value, found.mean) for value in (low, high))
    return f", {level:g} % interval [{low}, {high}]"


def _t_line(found: PairedTest) -> str:
    if found.t is None:
        return "Paired t-test: all differences are equal, so it says nothing."
    return (
        f"Paired t-test: t = {found.t:.2f} with {found.difference.n - 1} degrees of freedom, two-sided p = {found.p:.2g}. It "
        "assumes that the differences are independent and normally distributed."
    )


def _exact_line(found: PairedTest) -> list[str]:
    if found.exact is None:
        return []
    least = 2.0 ** (1 - found.difference.n)
    return [
        f"Exact sign-flip test, which assumes no distribution: two-sided p = {found.exact:.2g} "
        f"({found.difference.n} pairs cannot give less than {least:.2g})."
    ]


def _two_sided(t: float, degrees: int) -> float:
    from scipy.special import stdtr

    return float(2 * stdtr(degrees, -abs(t)))


def _chosen(groups: Sequence[Group], condition: str) -> Group:
    runs = select([run for group in groups for run in group.runs], [condition], what="compare")
    paths = {run.path for run in runs}
    found = [group for group in groups if any(run.path in paths for run in group.runs)]
    if len(found) > 1:
        names = varying(found, telling_settings(found))
        raise UserError(
            f"compare: {condition} are {len(found)} rows, which differ in {', '.join(names[:4])}; choose one with where=[…], "
            "or average over more with over=[…]."
        )
    return found[0]


def _check_pairs(values: Sequence[Mapping[str, float]], conditions: Sequence[str], metric: str) -> None:
    for own, other, condition in zip(values, reversed(values), conditions, strict=True):
        if alone := [key for key in own if key not in other]:
            more = f" and {len(alone) - _SHOWN} more" if len(alone) > _SHOWN else ""
            raise UserError(
                f"compare: the pairs do not match: only {condition} has a finished run with {metric} for "
                f"{'; '.join(alone[:_SHOWN])}{more}. where=[…] can leave it out."
            )
    if len(values[0]) < 2:
        raise UserError(
            f"compare: {len(values[0])} pair of finished runs has {metric}; a paired test needs two or more."
        )
