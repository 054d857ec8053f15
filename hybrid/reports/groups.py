"""Groups of runs that differ in nothing but their seed, or in other keys that are averaged over: their mean ± std."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import statistics
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from hybrid.runs.reading import State, StoredRun, full_name, name_of_data

ABSENT = "–"  # shown where a group has no such setting or number
SEED = ("seed",)  # what runs are averaged over, unless something else is asked for


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

    def interval(self, level: float) -> tuple[float, float] | None:
        """Return the confidence interval of the mean by Student's t with n - 1 degrees of freedom; None for a single run.

        It covers the true mean in a share `level` (in 0..1) of all experiments, if the values are independent and normally
        distributed.
        """
        if self.std is None:
            return None
        half = half_width(self.n, level) * self.std
        return self.mean - half, self.mean + half


def half_width(n: int, level: float) -> float:
    """Return the half width of Student's confidence interval of the mean of n > 1 runs, in standard deviations (n - 1)."""
    from scipy.special import stdtrit

    return float(stdtrit(n - 1, (1 + level) / 2)) / math.sqrt(n)


class Middle(NamedTuple):
    """Median over runs, the smallest and the largest value. One run that was held up does not shift a median of times."""

    median: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs with one configuration but for the keys in `over`, in the order of these keys' values."""

    runs: tuple[StoredRun, ...]
    over: tuple[str, ...] = SEED

    @property
    def finished(self) -> tuple[StoredRun, ...]:
        """Return the finished runs, over which means are taken."""
        return self.of("finished")

    def of(self, state: State) -> tuple[StoredRun, ...]:
        """Return the runs in this state."""
        return tuple(run for run in self.runs if run.state == state)

    @functools.cached_property
    def settings(self) -> Mapping[str, Any]:
        """Return the settings that all runs of the group share, and the seed where it is not averaged over."""
        return _parted(self.runs[0], self.over)[0]

    @functools.cached_property
    def choices(self) -> Mapping[str, str]:
        """Return the choices that are not averaged over."""
        return {name: value for name, value in self.runs[0].choices.items() if not _is_within(name, tuple(self.over))}

    @functools.cached_property
    def facts(self) -> Mapping[str, Any]:
        """Return settings and choices in one mapping: "optimizer.lr" -> 0.1, "optimizer" -> "sgd".

        Data with a name of their own (data.name) are called by it, others of arrays by their file, of a class by the class.
        """
        name = name_of_data(self.settings, self.choices)
        return {**self.settings, **self.choices, **({"data": name} if name and "data" in self.choices else {})}

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

    def by_key(self, name: str) -> dict[str, float]:
        """Return the number of every finished run that has it, by the values of the keys in `over`, such as "seed=0"."""
        return {key_words(run, self.over): run.numbers[name] for run in self.finished if name in run.numbers}

    def _values(self, name: str) -> list[float]:
        return [run.numbers[name] for run in self.finished if name in run.numbers]


def averaged_keys(runs: Iterable[StoredRun], over: Sequence[str]) -> tuple[str, ...]:
    """Return the whole names of the keys in `over`: of a setting, of a section ("optimizer"), or its last part ("fold").

    Raises UserError for a key that no run has.
    """
    settings = {name for run in runs for name in run.settings} | {"seed"}
    parts = [name.split(".") for name in settings]
    sections = {".".join(names[:k]) for names in parts for k in range(1, len(names))}
    groups = {name for run in runs for name in run.choices if name.replace("/", ".") in sections}
    return tuple(full_name(name, settings | sections | groups, what="key in over") for name in over)


def group_runs(runs: Iterable[StoredRun], *, over: Sequence[str] = SEED) -> list[Group]:
    """Put the runs together that differ in the keys of `over` alone. A run that is there twice counts once.

    Args:
        over: the seed, settings ("data.fold", or "fold" where no other ends so), or sections ("augmentation").

    Raises UserError for a key that no run has. A warning names a run that is left out.
    """
    runs = list(runs)
    over = averaged_keys(runs, over)
    groups: dict[str, list[StoredRun]] = {}
    for run in without_duplicates(runs):
        groups.setdefault(configuration_key(run, over), []).append(run)
    return [Group(tuple(sorted(own, key=lambda run: _place(run, over))), over) for own in groups.values()]


def without_duplicates(runs: Iterable[StoredRun]) -> list[StoredRun]:
    """Return the runs in their order, but of several with one configuration and seed the first, or the first finished one.

    A warning names each run that is left out.
    """
    runs = list(runs)
    kept: dict[tuple[str, str], StoredRun] = {}
    for run in sorted(runs, key=lambda run: run.state != "finished"):  # stable
        first = kept.setdefault((configuration_key(run), str(run.seed)), run)
        if first is not run:
            warnings.warn(f"{run.path} is left out: same configuration and seed as {first.path}.", stacklevel=2)
    paths = {run.path for run in kept.values()}
    return [run for run in runs if run.path in paths]


def configuration_key(run: StoredRun, over: Sequence[str] = SEED) -> str:
    """Return a text that is equal for runs that differ in nothing but the keys in `over`."""
    return as_text(_parted(run, over)[0])


def key_words(run: StoredRun, over: Sequence[str]) -> str:
    """Return the values of the keys in `over`, such as "seed=0, data.fold=2"."""
    return ", ".join(f"{name}={value}" for name, value in _parted(run, over)[1].items())


def as_text(value: Any) -> str:
    """Return a text that is equal for equal values."""
    return json.dumps(value, sort_keys=True, default=str)


def sortable(value: Any) -> tuple[int, float, str]:
    """Return a key that sorts numbers by size, "20 epochs" by its number, then words, then None."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return 0, value, ""
    head, _, rest = str(value).partition(" ")
    try:
        return 0, float(head), rest
    except ValueError:
        return (2 if value is None else 1), 0.0, str(value)


def _parted(run: StoredRun, over: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings that are not averaged over, and those that are."""
    parts: tuple[dict[str, Any], dict[str, Any]] = {}, {}
    for name, value in {"seed": run.seed, **run.settings}.items():
        parts[_is_within(name, tuple(over))][name] = value
    return parts


@functools.lru_cache(maxsize=1 << 14)  # all runs of a report have the same names
def _is_within(name: str, over: tuple[str, ...]) -> bool:
    whole = name.replace("/", ".")
    return any(whole == key or whole.startswith(f"{key}.") for key in (key.replace("/", ".") for key in over))


def _place(run: StoredRun, over: Sequence[str]) -> list[tuple[int, float, str]]:
    return [sortable(value) for value in _parted(run, over)[1].values()]
