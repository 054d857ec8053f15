"""Which runs repeat which published figure: found by composing the row's own command, so that a row cannot claim others."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from hybrid.configuration.composition import compose
from hybrid.configuration.hydra_arguments import Script, script_of
from hybrid.errors import UserError
from hybrid.reports.groups import ABSENT, Group
from hybrid.reports.tables import setting_text
from hybrid.runs.folder import identity
from hybrid.runs.reading import StoredRun
from published.changes import DURATION, duration, key, of_a_machine, of_a_schedule, place, quoted
from published.rows import Row, Section

_CUT = (  # what debug=fast, overfit and profile set, and nothing else does
    "trainer.max_train_steps_per_epoch", "trainer.max_evaluation_batches", "trainer.overfit_batches", "trainer.profile",
)  # fmt: skip
_GONE = {
    ("augmentation", "psn")
}  # options that earlier versions had: their runs are named after them, as they were made
_NO_DIFFERENCE = ("experiment", "analysis")  # the name of a recipe; what is measured beside the training


@dataclasses.dataclass(frozen=True)
class Entry:
    """The runs of a row that have one configuration: seed by seed, or fold by fold.

    changes: the settings in which they are not what the row's command says, as overrides -> the row's own value;
    empty: they are the row's command itself.
    """

    row: Row
    changes: Mapping[str, str]
    group: Group

    @property
    def command(self) -> str:
        """What repeats these runs, but for the seed."""
        changed = {key(change) for change in self.changes}
        words = [word for word in self.row.overrides if key(word) not in changed]
        return " ".join([self.row.program, *map(quoted, words), *self.changes])

    @property
    def stands_in(self) -> bool:
        """Whether it may stand for the row's own command: of another precision or engine, or a shorter schedule, and no more."""
        others = [change for change in self.changes if not of_a_machine(change)]
        return bool(self.changes) and (not others or (self._is_shorter and all(map(of_a_schedule, others))))

    @property
    def _is_shorter(self) -> bool:
        if not any(key(change) == DURATION for change in self.changes):
            return False
        wanted, unit = duration(_composed(self.row.overrides, self.row.script).settings[DURATION])
        done, own_unit = duration(self.group.fact(DURATION))
        if own_unit != unit:  # steps and epochs: as many as were made
            made = self.group.mean_std(unit)
            done = made.mean if made else wanted
        return done < wanted


class Recipe(NamedTuple):
    """Of which kind a command is: those of different kinds make no runs of each other's rows, whatever they have in common."""

    script: Script
    experiment: str | None

    @classmethod
    def of(cls, choices: Mapping[str, str]) -> Recipe:
        return cls(script_of(choices), choices.get("experiment"))


Rows = Sequence[tuple[Row, Sequence[Entry]]]


def entries(section: Section, runs: Sequence[StoredRun]) -> Rows:
    """Every row with its runs, those of its own command first; a row without runs has an empty list.

    Raises what Hydra does for a row whose command does not compose.
    """
    return [(row, _entries(row, section.keys, runs)) for row in section.rows]


def is_debug(run: StoredRun) -> bool:
    """Whether it was made to see that everything runs: debug=…, or with the limits by hand that these set."""
    return bool(run.choices.get("debug")) or any(run.settings.get(name) for name in _CUT)


def unlike(row: Row, keys: Sequence[str], run: StoredRun) -> list[str]:
    """The keys of the row's table, and its data, in which the run is not what the row's command says."""
    base = _composed(row.overrides, row.script)
    own, facts = {**base.settings, **base.choices}, {**run.settings, **run.choices}
    wanted = {key: (own.get(key, ABSENT),) for key in ("data", *keys)} | dict(row.repeats)
    return [key for key, values in wanted.items() if facts.get(key, ABSENT) not in values]


def recipe_of(row: Row) -> Recipe | None:
    """Of which kind a row's command is; None for a row without one."""
    return None if row.run is None else Recipe.of(_composed(row.overrides, row.script).choices)


def _entries(row: Row, keys: Sequence[str], runs: Sequence[StoredRun]) -> list[Entry]:
    if row.run is None:
        return []
    found: dict[tuple[str, ...], tuple[dict[str, str], list[StoredRun]]] = {}
    for run in runs:
        changes = _changes(row, keys, run)
        if changes is not None:
            found.setdefault(tuple(changes), (changes, []))[1].append(run)
    ordered = sorted(found.values(), key=lambda item: place(item[0]))
    return [Entry(row, changes, Group(tuple(sorted(own, key=_order)))) for changes, own in ordered]


def _changes(row: Row, keys: Sequence[str], run: StoredRun) -> dict[str, str] | None:
    """override -> the row's value of what the run does otherwise; None: it is no run of this row, or a debug run.

    A setting that the run does not know was added later, with a default that changes nothing.
    """
    base = _composed(row.overrides, row.script)
    if is_debug(run) or any(run.settings.get(name) not in values for name, values in row.repeats.items()):
        return None
    settings = {name: value for name, value in run.settings.items() if name not in row.repeats}
    if all(base.settings.get(name, ABSENT) == value for name, value in settings.items()):
        return {}
    if Recipe.of(run.choices) != Recipe.of(base.choices) or unlike(row, keys, run):
        return None
    chosen = {
        group: option
        for group, option in run.choices.items()
        if group not in _NO_DIFFERENCE and base.choices.get(group) != option
    }
    gone = {group for group, option in chosen.items() if (group, option) in _GONE}
    there = [f"{group}={option}" for group, option in chosen.items() if group not in gone]
    whole = _attempt(_merged(row.overrides, there), row.script)
    if whole is None:  # chosen from yaml files that are not here
        chosen, gone, whole = {}, set(), base
    changes = {f"{group}={option}": str(base.choices.get(group, ABSENT)) for group, option in chosen.items()}
    for name, value in settings.items():
        if name.split(".")[0] in gone:
            continue
        if whole.settings.get(name, ABSENT) != value:
            changes[quoted(f"{name}={setting_text(value)}")] = setting_text(base.settings.get(name, ABSENT))
    return changes


class _Composed(NamedTuple):
    settings: dict[str, Any]
    choices: dict[str, str]


@functools.cache  # composing takes a fifth of a second, and runs share their rows
def _composed(overrides: tuple[str, ...], script: Script) -> _Composed:
    cfg = compose(list(overrides), config_name=script)
    settings = identity(cfg)
    del settings["seed"]
    return _Composed(settings, dict(cfg.choices))


def _attempt(overrides: tuple[str, ...], script: Script) -> _Composed | None:
    try:
        return _composed(overrides, script)
    except (HydraException, OmegaConfBaseException, UserError):
        return None


def _merged(overrides: Sequence[str], more: Sequence[str]) -> tuple[str, ...]:
    replaced = {key(word) for word in more}
    return (*(word for word in overrides if key(word) not in replaced), *more)


def _order(run: StoredRun) -> tuple[int, str]:
    return run.seed, run.path.name
