"""Find the runs that repeat a published experiment.

The command of each row is composed and compared with the configurations of the runs.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from hybrid.configuration.composition import compose
from hybrid.configuration.hydra_arguments import Script, program_of
from hybrid.errors import UserError
from hybrid.reports.differences import setting_text
from hybrid.reports.groups import ABSENT, Group
from hybrid.runs.folder import identity
from hybrid.runs.reading import StoredRun
from published.rows import Page, Row, Section

_DURATION = "trainer.duration"
_SCHEDULE = (_DURATION, "trainer.evaluate_every", "schedule")
_BUDGET = (_DURATION, "trainer.batch_size")  # on which the number of steps depends
_MACHINE = ("trainer.precision", "model.frontend.engine")  # how the same thing is computed
_CUT = (  # what debug=fast, overfit and profile set, and nothing else does
    "trainer.max_train_steps_per_epoch", "trainer.max_evaluation_batches", "trainer.overfit_batches", "trainer.profile",
)  # fmt: skip
_NO_DIFFERENCE = ("experiment", "analysis")  # the name of a recipe; what is measured beside the training
_TRAINING_IMAGES = {"cifar10": 50_000, "cifar100": 50_000, "mnist": 60_000, "stl10": 5_000, "digits": 1_437}
_QUOTED = set(' ,[](){}*;&|<>$"')
_LETTERS = 40  # of a row's value: of a longer list the first entries say enough


class Change(NamedTuple):
    """A setting or an option in which a run differs from its row's command: the run's value, and the row's."""

    name: str
    value: str
    wanted: str

    @property
    def override(self) -> str:
        """Return it as it is typed."""
        return quoted(f"{self.name}={self.value}")

    @property
    def of_schedule(self) -> bool:
        """Return whether it belongs to the schedule: the duration, or the learning rate over time."""
        return self.name in _SCHEDULE or self.name.startswith("schedule.")

    @property
    def of_machine(self) -> bool:
        """Return whether it changes only how the same thing is computed."""
        return self.name in _MACHINE


class Entry(NamedTuple):
    """Runs of a row with one configuration, seed by seed or fold by fold; without changes it is the row's own."""

    row: Row
    changes: tuple[Change, ...]
    group: Group

    @property
    def command(self) -> str:
        """Return the command that repeats these runs, but for the seed."""
        changed = {change.name for change in self.changes}
        words = [quoted(word) for word in self.row.overrides if _name(word) not in changed]
        return " ".join([program_of(self.row.script), *words, *(change.override for change in self.changes)])

    @property
    def stands_in(self) -> bool:
        """Return whether it may stand for the row's own command: only its precision, engine or a shorter schedule differ."""
        others = [change for change in self.changes if not change.of_machine]
        return bool(self.changes) and (not others or (self._is_shorter and all(c.of_schedule for c in others)))

    @property
    def _is_shorter(self) -> bool:
        for change in self.changes:
            if change.name == _DURATION:
                (done, own), (wanted, unit) = _length(change.value), _length(change.wanted)
                made = self.group.mean_std(unit)  # steps against epochs: as many as were made
                return (done if own == unit else made.mean if made else wanted) < wanted
        return False

    @property
    def diverged(self) -> int:
        """Return how many runs had a loss that was not finite: the others are no sample of all, so these runs have no mean."""
        return sum("not finite" in (run.error or "") for run in self.group.of("failed"))

    @property
    def steps(self) -> tuple[int | None, int | None]:
        """Return the steps that a run made and those of its row's command; None for each that is not known."""
        made = self.group.mean_std("steps")
        return None if made is None else round(made.mean), steps_of(self.row)

    @property
    def has_own_budget(self) -> bool:
        """Return whether it learned for as many steps as its row says; where nobody counted, whether its settings say so."""
        made, whole = self.steps
        if made is None or whole is None:
            return not any(change.name in _BUDGET for change in self.changes)
        return made == whole


def steps_of(row: Row) -> int | None:
    """Return the steps of a row's command; None for a support vector machine, and for data of unknown size."""
    if row.run is None or row.script != "train":
        return None
    facts = _composed(row.overrides, row.script).facts
    images = facts.get("data.subset.n") or _TRAINING_IMAGES.get(str(facts.get("data")))
    if facts.get("data") == "stl10" and facts.get("data.fold") != "all":
        images = 1000
    if images is None:
        return None
    held_out = facts.get("data.validation") or 0
    if facts.get("data.subset.n") is None:
        images -= round(held_out * images) if isinstance(held_out, float) else held_out
    number, unit = _length(str(facts[_DURATION]))
    return round(number * math.ceil(images / facts["trainer.batch_size"]) if unit == "epochs" else number)


Rows = Sequence[tuple[Row, Sequence[Entry]]]


def entries(section: Section, runs: Sequence[StoredRun]) -> Rows:
    """Return every row with its runs, those of its own command first; a row without runs has an empty list.

    Raises what Hydra does for a row whose command does not compose.
    """
    return [(row, _entries(row, section.keys, runs)) for row in section.rows]


def why_left_out(page: Page, runs: Sequence[StoredRun]) -> list[str]:
    """Return a line for each reason why runs belong to no row: debug runs are counted, others named."""
    reasons: dict[str, list[StoredRun]] = {}
    for run in runs:
        reasons.setdefault(_reason(page, run), []).append(run)
    debug = len(reasons.pop("", []))
    counted = [f"left out, debug runs, cut short to see that everything runs: {debug}"] if debug else []
    return counted + [f"left out, {why}: {', '.join(str(run.path) for run in own)}" for why, own in reasons.items()]


def in_short(changes: Sequence[Change], *, beside_the_row: bool = False) -> list[str]:
    """Name a line or a curve by its changes, in parts: k=2, 300 epochs, other schedule, precision=bf16.

    beside_the_row: the duration together with the row's own: 300 of 20,000 epochs.
    """
    lasts = [re.split(r"[./]", change.name)[-1] for change in changes]
    words: dict[str, list[str]] = {"own": [], "duration": [], "schedule": [], "machine": []}
    for change, last in zip(changes, lasts, strict=True):
        if change.name == _DURATION:
            words["duration"].append(_duration_in_words(change) if beside_the_row else _in_words(change.value))
        elif change.of_schedule:
            words["schedule"] = ["other schedule"] if change.name.startswith("schedule") else words["schedule"]
        else:
            name = last if lasts.count(last) == 1 else change.name
            words["machine" if change.of_machine else "own"].append(f"{name}={change.value}")
    return [word for own in words.values() for word in own]


def in_full(changes: Sequence[Change]) -> str:
    """Write every override and the row's own value, as Markdown."""
    return "; ".join(f"`{change.override}`{_instead(change)}" for change in changes)


def _instead(change: Change) -> str:
    """Return the row's own value, but for a value that the row has, too, and that another change would have replaced."""
    return "" if change.value == change.wanted else f" instead of {_cut(change.wanted)}"


def quoted(override: str) -> str:
    """Quote key=value for a shell: trainer.duration='20 epochs'."""
    name, equals, value = override.partition("=")
    return f"{name}{equals}'{value}'" if set(value) & _QUOTED else override


class _Composed(NamedTuple):
    settings: dict[str, Any]
    choices: dict[str, str]

    @property
    def facts(self) -> dict[str, Any]:
        return {**self.settings, **self.choices}


@functools.cache  # composing takes a fifth of a second, and runs share their rows
def _composed(overrides: tuple[str, ...], script: Script) -> _Composed:
    cfg = compose(list(overrides), config_name=script)
    settings = identity(cfg)
    del settings["seed"]
    return _Composed(settings, dict(cfg.choices))


def _entries(row: Row, keys: Sequence[str], runs: Sequence[StoredRun]) -> list[Entry]:
    found: dict[tuple[Change, ...], list[StoredRun]] = {}
    for run in runs if row.run is not None else ():
        changes = _changes(row, keys, run)
        if changes is not None:
            found.setdefault(changes, []).append(run)
    groups = {changes: sorted(own, key=lambda run: (run.seed, run.path.name)) for changes, own in found.items()}
    return [Entry(row, changes, Group(tuple(groups[changes]))) for changes in sorted(groups, key=_place)]


def _changes(row: Row, keys: Sequence[str], run: StoredRun) -> tuple[Change, ...] | None:
    """Return the run's changes to the row; None: it is no run of this row, or a debug run.

    A setting that the run does not know was added later, with a default that changes nothing.
    """
    base = _composed(row.overrides, row.script)
    if _is_debug(run) or any(run.settings.get(name) not in values for name, values in row.repeats.items()):
        return None
    settings = {name: value for name, value in run.settings.items() if name not in row.repeats}
    if all(base.settings.get(name, ABSENT) == value for name, value in settings.items()):
        return ()
    if _recipe(run.script, run.choices) != _recipe(row.script, base.choices) or _unlike(row, keys, run):
        return None
    differing = run.choices.items() - base.choices.items()
    chosen = {group: run.choices[group] for group in run.choices if (group, run.choices[group]) in differing}
    chosen = {group: option for group, option in chosen.items() if group not in _NO_DIFFERENCE}
    whole = _attempt(row, set(chosen.items()))
    if whole is None:  # chosen from yaml files that are not here
        chosen, whole = {}, base
    changes = [Change(group, option, str(base.choices.get(group, ABSENT))) for group, option in chosen.items()]
    for name, value in settings.items():
        if whole.settings.get(name, ABSENT) != value:
            changes.append(Change(name, setting_text(value), setting_text(base.settings.get(name, ABSENT))))
    return tuple(changes)


def _attempt(row: Row, chosen: set[tuple[str, str]]) -> _Composed | None:
    """Compose the row's command with other options; None where that fails."""
    words = [word for word in row.overrides if _name(word) not in dict(chosen)]
    try:
        return _composed((*words, *(f"{group}={option}" for group, option in sorted(chosen))), row.script)
    except (HydraException, OmegaConfBaseException, UserError):
        return None


def _is_debug(run: StoredRun) -> bool:
    """Return whether it was only a trial: debug=…, or the limits that these set, given by hand."""
    return bool(run.choices.get("debug")) or any(run.settings.get(name) for name in _CUT)


def _recipe(script: Script, choices: Mapping[str, str]) -> tuple[Script, str | None]:
    """Return the recipe of a command; those of different recipes make no runs of each other's rows."""
    return script, choices.get("experiment")


def _recipe_of(row: Row) -> tuple[Script, str | None]:
    return _recipe(row.script, _composed(row.overrides, row.script).choices)


def _unlike(row: Row, keys: Sequence[str], run: StoredRun) -> list[str]:
    """Return the keys of the row's table, and `data`, in which the run differs from the row's command."""
    own, facts = _composed(row.overrides, row.script).facts, {**run.settings, **run.choices}
    wanted = {key: (own.get(key, ABSENT),) for key in ("data", *keys)} | dict(row.repeats)
    return [key for key, values in wanted.items() if facts.get(key, ABSENT) not in values]


def _reason(page: Page, run: StoredRun) -> str:
    """Say why a run is on no row; an empty text is for a debug run."""
    script, experiment = recipe = _recipe(run.script, run.choices)
    if _is_debug(run):
        return ""
    if recipe == ("train", None):
        return "of no recipe (experiment=…)"
    rows = [(row, section.keys) for section in page.sections for row in section.rows if row.run is not None]
    same = [(row, keys) for row, keys in rows if _recipe_of(row) == recipe]
    words = program_of(script) if experiment is None else f"experiment={experiment}"
    if not same:
        return f"no row is of {words}"
    nearest = min((_unlike(row, keys, run) for row, keys in same), key=len)
    facts = {**run.settings, **run.choices}
    return f"no row of {words} has {' '.join(f'{key}={setting_text(facts.get(key))}' for key in nearest)}"


def _place(changes: tuple[Change, ...]) -> tuple:
    """Return a key that sorts the lines of a row: by changes to the network or its training, then by duration."""
    own = [change.override for change in changes if not change.of_schedule and not change.of_machine]
    length = next((_length(change.value)[0] for change in changes if change.name == _DURATION), -1.0)
    return len(own), own, length, len(changes), [change.override for change in changes]


def _length(duration: str) -> tuple[float, str]:
    """Return number and unit, steps or epochs."""
    number, unit = duration.split()
    return float(number), f"{unit.removesuffix('s')}s"


def _in_words(duration: str) -> str:
    """Write a duration: 4,800 epochs; 1 step."""
    return f"{_length(duration)[0]:,.10g} {duration.split()[1]}"


def _duration_in_words(change: Change) -> str:
    (done, own), (_, unit) = _length(change.value), _length(change.wanted)
    return (
        f"{done:,.10g} of {_in_words(change.wanted)}"
        if own == unit
        else (f"{_in_words(change.value)} instead of {_in_words(change.wanted)}")
    )


def _name(override: str) -> str:
    return override.partition("=")[0]


def _cut(value: str) -> str:
    if len(value) <= _LETTERS or not value.startswith("["):
        return value
    first = value[1:-1].split(",")
    return f"[{','.join(first[:2])}, … {len(first)} in all]"
