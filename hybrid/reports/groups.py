"""Groups of runs that differ in nothing but their seed: their mean ± std, and the settings that tell groups apart."""

from __future__ import annotations

import dataclasses
import functools
import json
import statistics
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from hybrid.configuration.composition import compose
from hybrid.configuration.hydra_arguments import Script
from hybrid.errors import UserError
from hybrid.runs.folder import identity
from hybrid.runs.reading import State, StoredRun, unknown_setting

ABSENT = "–"  # shown where a group has no such setting or number
_COLUMNS = ("model", "data")  # the choices that every table shows


class MeanStd(NamedTuple):
    """Mean over n runs, and their standard deviation with n - 1 in the denominator, which is None for a single run."""

    mean: float
    std: float | None
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> MeanStd | None:
        """Compute both from these values; return None if there are none."""
        if not values:
            return None
        return cls(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))


class Middle(NamedTuple):
    """Median over runs, the smallest and the largest value. One run that was held up does not shift a median of times."""

    median: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs with one configuration and different seeds, in the order of the seeds."""

    runs: tuple[StoredRun, ...]

    @property
    def finished(self) -> tuple[StoredRun, ...]:
        """Return the finished runs, over which means are taken."""
        return self.of("finished")

    def of(self, state: State) -> tuple[StoredRun, ...]:
        """Return the runs in this state."""
        return tuple(run for run in self.runs if run.state == state)

    @property
    def facts(self) -> Mapping[str, Any]:
        """Return settings and choices in one mapping: "optimizer.lr" -> 0.1, "optimizer" -> "sgd"."""
        return {**self.runs[0].settings, **self.runs[0].choices}

    def fact(self, name: str) -> Any:
        """Return the value of a setting or choice, ABSENT where the group has none."""
        return self.facts.get(name, ABSENT)

    def mean_std(self, name: str) -> MeanStd | None:
        """Return the mean ± std of a number of summary.json, such as "test.top1"; None if no run of the group has it."""
        return MeanStd.of(self._values(name))

    def middle(self, name: str) -> Middle | None:
        """Return the median and range of a number of summary.json; None if no run of the group has it."""
        values = self._values(name)
        return Middle(statistics.median(values), min(values), max(values)) if values else None

    def _values(self, name: str) -> list[float]:
        return [run.numbers[name] for run in self.finished if name in run.numbers]


def group_runs(runs: Iterable[StoredRun]) -> list[Group]:
    """Put repetitions together. The same configuration with the same seed counts once: a warning names the one left out."""
    groups: dict[str, dict[int, StoredRun]] = {}
    for run in sorted(
        runs, key=lambda run: run.state != "finished"
    ):  # stable: a finished run before its failed attempts
        seeds = groups.setdefault(configuration_key(run), {})
        if run.seed in seeds:
            kept = seeds[run.seed].path
            warnings.warn(f"{run.path} is left out: same configuration and seed as {kept}.", stacklevel=2)
            continue
        seeds[run.seed] = run
    return [Group(tuple(seeds[seed] for seed in sorted(seeds))) for seeds in groups.values()]


def configuration_key(run: StoredRun) -> str:
    """Return a text that is equal for runs that differ in nothing but their seed."""
    return _text(run.settings)


def telling_settings(groups: Sequence[Group], by: Sequence[str] = ()) -> list[str]:
    """Return the names of the settings that tell groups apart: model, data, then those in which they differ, or `by`.

    A setting that every group's choices bring with them is left out: the names scat_wrn and resnet18 say enough. Raises
    UserError for a name in `by` that no group has.
    """
    if by:
        _check(by, {name for group in groups for name in group.facts})
        return list(dict.fromkeys([*(name for name in _COLUMNS if name not in by), *by]))
    choices = [name for name in _varying(groups, "choices") if not _is_implied(name, groups)]
    settings = _varying(groups, "settings")
    if settings:
        settings = [name for name in settings if any(_is_chosen(name, group) for group in groups)]
    return list(dict.fromkeys([*_COLUMNS, *choices, *settings]))


def _varying(groups: Sequence[Group], kind: str) -> list[str]:
    tables = [getattr(group.runs[0], kind) for group in groups]
    names = dict.fromkeys(name for table in tables for name in table)
    return [name for name in names if len({_text(table.get(name, ABSENT)) for table in tables}) > 1]


def _is_implied(choice: str, groups: Sequence[Group]) -> bool:
    """Whether model and data, which have columns, bring this choice with them: a data set its augmentation, a model its head."""
    return all(_brought(group).get(choice, ABSENT) == group.runs[0].choices.get(choice, ABSENT) for group in groups)


def _is_chosen(name: str, group: Group) -> bool:
    """Whether a group's setting is other than its choices alone would make it, as far as this checkout knows them."""
    run = group.runs[0]
    known = _composed(run.script, tuple(run.choices.items()))
    return known is None or known.settings.get(name, ABSENT) != run.settings.get(name, ABSENT)


def _brought(group: Group) -> Mapping[str, str]:
    """The options that the choice of model and data alone brings with it; none if this checkout does not know them."""
    run = group.runs[0]
    known = _composed(run.script, tuple((name, run.choices[name]) for name in _COLUMNS if name in run.choices))
    return {} if known is None else known.choices


class _Composed(NamedTuple):
    settings: Mapping[str, Any]
    choices: Mapping[str, str]


@functools.cache  # composing takes about a second, and groups share their choices
def _composed(script: Script, choices: tuple[tuple[str, str], ...]) -> _Composed | None:
    try:
        cfg = compose([f"{group}={option}" for group, option in choices], config_name=script)
        return _Composed(identity(cfg), dict(cfg.choices))
    except (HydraException, OmegaConfBaseException, UserError):
        return None  # chosen from yaml files that are not here


def _check(by: Sequence[str], valid: set[str]) -> None:
    for name in by:
        if name == "seed":
            raise UserError("by: the seed tells no groups apart, they are averages over it. where=seed=0 selects runs.")
        if name not in valid:
            raise unknown_setting(name, valid, what="setting in by")


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
