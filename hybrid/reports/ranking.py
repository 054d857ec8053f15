"""Which number a table over runs is about, and in which order its rows stand."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hybrid.errors import UserError, closest_name, unknown_name
from hybrid.reports.differences import named_settings
from hybrid.reports.groups import ABSENT, Group, MeanStd, sortable
from hybrid.runs.numbers import first_of, name_of, smaller_is_better

_USUAL = "test.top1"
_SMALLER_IS_BETTER = ("seconds", "parameters", "steps", "epochs")
_EVALUATIONS = ("test.", "validation.final.", "validation.best.")  # parts of summary.json


def default_metric(groups: Sequence[Group]) -> str:
    """Return the test's number that chose the best weights (trainer.best_metric), where it is one and the same in all runs.

    Otherwise it is "test.top1", or where no run has it the first result of a test, such as "test.mean_absolute_error".
    """
    asked = best_metrics(groups)
    if len(asked) == 1 and all(f"test.{asked[0]}" in run.numbers for group in groups for run in group.finished):
        return f"test.{asked[0]}"
    found = {name for group in groups for run in group.finished for name in run.numbers}
    return f"test.{first_of(name.removeprefix('test.') for name in found)}" if found else _USUAL


def main_result(group: Group) -> str | None:
    """Return the test's number that says how good the runs of a group are: trainer.best_metric, or that of their task."""
    names = {name for run in group.finished for name in run.numbers}
    asked = f"test.{group.fact('trainer.best_metric')}"
    found = f"test.{first_of(name.removeprefix('test.') for name in names)}"
    return next((name for name in (asked, found) if name in names), None)


def main_results(groups: Sequence[Group], metric: str) -> list[str | None]:
    """Return the main result of each group where `metric` is none of some finished runs; otherwise an empty list."""
    lacking = any(metric not in run.numbers for group in groups for run in group.finished)
    found = [main_result(group) for group in groups] if lacking else []
    return found if len({name for name in found if name is not None}) > 1 else []


def order(groups: Sequence[Group], *, metric: str, by: Sequence[str] = ()) -> list[Group]:
    """Sort the groups by the settings in `by`, and then data set by data set, the best by `metric` first.

    Groups that have no `metric` follow, the best by their own main result first.

    Raises UserError for a metric that no summary has, and for a setting that no group has.
    """
    _check_numbers([metric], groups, what="metric")
    smaller = _smaller_is_better(groups, metric)

    def place(group: Group) -> tuple[str, float, float]:
        own = main_result(group) or metric
        ranks = (
            _rank(group.mean_std(metric), smaller=smaller),
            _rank(group.mean_std(own), smaller=_smaller_is_better(groups, own)),
        )
        return str(group.fact("data")), *ranks

    best_first = sorted(groups, key=place)
    names = named_settings(groups, by)
    return sorted(best_first, key=lambda group: [sortable(group.fact(name)) for name in names])


def _check_numbers(names: Sequence[str], groups: Sequence[Group], *, what: str) -> None:
    valid = {name for group in groups for run in group.finished for name in run.numbers}
    for name in names:
        if name not in valid and valid:
            error = unknown_name(name, valid, what=what)
            if name_of(name) != name and (close := closest_name(name_of(name), valid)):
                error = UserError(str(error).replace(f": {name}.", f": {name}. Did you mean {close}?", 1))
            raise error


def best_metrics(groups: Sequence[Group]) -> list[str]:
    """Return what trainer.best_metric is in the groups, without those that leave it to the task."""
    asked = [group.fact("trainer.best_metric") for group in groups]
    return list(dict.fromkeys(str(name) for name in asked if name not in (None, ABSENT)))


def _smaller_is_better(groups: Sequence[Group], metric: str) -> bool:
    """Return whether less is better: as the runs say of a number of an evaluation, otherwise as its name says."""
    part = next((part for part in _EVALUATIONS if metric.startswith(part)), None)
    said = [run.smaller_is_better for group in groups for run in group.finished if metric in run.numbers]
    told = [names for names in said if names is not None]
    if part is not None and told:
        return any(metric.removeprefix(part) in names for names in told)
    return smaller_is_better(metric) or metric.endswith(_SMALLER_IS_BETTER)


def _rank(found: MeanStd | None, *, smaller: bool) -> float:
    if found is None or math.isnan(found.mean):
        return math.inf
    return found.mean if smaller else -found.mean
