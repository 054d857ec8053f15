"""Tables over groups of runs, a row a group; hybrid/reports/writers.py writes them.

table = make_table(group_runs(find_runs("outputs")), metric="test.top1")
print(text(table))
table.frame                    # the same as a pandas table, every digit
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, get_args

from hybrid.errors import UserError, closest_name, unknown_name
from hybrid.reports.differences import (
    COLUMNS,
    PLACES,
    is_own,
    labels,
    named_settings,
    setting_text,
    telling_settings,
    varying,
)
from hybrid.reports.groups import ABSENT, SEED, Group, MeanStd, half_width, sortable
from hybrid.reports.numbers import mean_cells, number_text, title
from hybrid.runs.identity import INCIDENTAL
from hybrid.runs.numbers import first_of, limits, name_of, smaller_is_better
from hybrid.runs.reading import State, StoredRun

if TYPE_CHECKING:  # takes a while to load
    from pandas import DataFrame

_BEST = "validation.best."
METRICS = ("test.top1", "test.loss", f"{_BEST}top1", "parameters", "seconds", "images_per_second")
STATES: tuple[State, ...] = get_args(State)
ALL = ("all",)  # columns=all
MOST_COLUMNS = 6  # of a table where nobody asks for more
_SMALLER_IS_BETTER = ("seconds", "parameters", "steps", "epochs")
_EVALUATIONS = ("test.", "validation.final.", "validation.best.")  # parts of summary.json
_NO_RESULTS = ("test.images", "test.top5")  # of the test, but not shown unless somebody asks
_SEEDS, _RUNS, _OTHERS, _DEVICE, SETTINGS = "seeds", "runs", "not finished", "device", "settings"
_MAIN = "main result"
FOLDS = "Folds share training images, so that their results vary together: intervals and p are too small."
_COUNTS = (_SEEDS, _RUNS)
_NOT_TOLD = (*PLACES, "data.name", "seed")
_MOST_COMMON = 12
_FEW_RUNS = 3
_NAMED = 10  # runs that are not finished, of each state


class Layout(NamedTuple):
    """What of a table is shown: the columns as words under their titles, what is the same in every row, what is left out."""

    words: DataFrame
    same: Mapping[str, str]
    left_out: Sequence[str]


@dataclass(frozen=True)
class Table:
    """A row a group.

    Attributes:
        frame: settings as they are typed (None where a group has none), the number of runs in each state, each number's
            mean over the finished runs and, as NAME_std, its standard deviation (n - 1; NaN for a single run), for `metric`
            its confidence interval as NAME_low and NAME_high, and the device where the rows differ in it.
        settings: the columns that are settings.
        numbers: the columns that are numbers of summary.json.
        asked: settings and numbers that are shown in any case; "all": each of them has a column.
        names: what each row is, in words.
        metric: the number that the table is about.
        over: the keys that the means are taken over.
        level: of the confidence interval, in %; None: there is none.
        notes: lines that belong under the table.
        mains: where runs of several tasks are compared, the number that says how good each row is (None where it has none);
            one column then shows them.
        common: settings that the commands of all rows give in the same way, and that have no column.
    """

    frame: DataFrame
    settings: Sequence[str]
    numbers: Sequence[str]
    asked: Sequence[str]
    names: Sequence[str]
    metric: str
    over: Sequence[str]
    level: float | None
    notes: list[str]
    mains: Sequence[str | None] = ()
    common: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def layout(self) -> Layout:
        """Choose at most six columns, or as many as are asked for."""
        words = self._words()
        same = self._same(words)
        names = [name for name in words if name not in same]
        if tuple(self.asked) != ALL:
            names = self._few(names)
        elif SETTINGS in names:
            names.remove(SETTINGS)
        left_out = [name for name in self.numbers if title(name) not in (*names, *same) and name not in self.mains]
        shared = {**same, **self.common} if len(words) > 1 else {}
        return Layout(words[names], shared, [name for name in left_out if self.frame[name].notna().any()])

    def is_number(self, column: str) -> bool:
        """Return whether the column of this title is aligned to the right."""
        return column not in (*self.settings, _OTHERS, _DEVICE, SETTINGS, _MAIN)

    def _words(self) -> DataFrame:
        """Return every column as words."""
        import pandas

        states = self.frame[[state for state in STATES if state != "finished"]].to_dict("records")
        others = [", ".join(f"{count} {state}" for state, count in row.items() if count) for row in states]
        columns = {name: self.frame[name].fillna(ABSENT) for name in self.settings}
        columns |= {SETTINGS: [name or ABSENT for name in self.names]}
        columns |= {self._count: self.frame["finished"].astype(str)} | ({_OTHERS: others} if any(others) else {})
        columns |= {_DEVICE: self.frame[_DEVICE]} if _DEVICE in self.frame else {}
        columns |= {_MAIN: self._main_results()} if self.mains else {}
        for name in self.numbers:
            if name in self.mains and name not in self.asked and tuple(self.asked) != ALL:
                continue
            columns[title(name)] = mean_cells(name, self.frame[name], self.frame[f"{name}_std"])
            if (
                name == self.metric
                and not self.mains
                and self.frame[f"{name}_std"].notna().any()
                and self.level is not None
            ):
                columns[self._interval] = self._intervals()
        return pandas.DataFrame(columns)

    def _main_results(self) -> list[str]:
        """Return each row's main result with its name, such as "top-1 (%) 98.20 ± 0.11"."""
        rows = self.frame.to_dict("records")
        return [
            ABSENT
            if name is None
            else f"{title(name).removeprefix('test ')} {mean_cells(name, [row[name]], [row[f'{name}_std']])[0].strip()}"
            for name, row in zip(self.mains, rows, strict=True)
        ]

    @property
    def _count(self) -> str:
        return _SEEDS if tuple(self.over) == SEED else _RUNS

    @property
    def _interval(self) -> str:
        return f"{self.level:g} % interval"

    def _intervals(self) -> list[str]:
        low, high, mean = (self.frame[f"{self.metric}{end}"] for end in ("_low", "_high", ""))
        return [
            ABSENT if math.isnan(a) else f"[{number_text(self.metric, a, m)}, {number_text(self.metric, b, m)}]"
            for a, b, m in zip(low, high, mean, strict=True)
        ]

    def _same(self, words: DataFrame) -> dict[str, str]:
        """Return the columns that need not be shown, with their word: settings, seeds and parameters that all rows share."""
        if len(words) < 2:
            return {}
        found = {}
        for column in words:
            told = {cell.strip() for cell in words[column]}
            told -= {ABSENT} if column == "parameters" and len(told) == 2 else set()
            known = column in (*self.settings, self._count, "parameters") and column not in self.asked
            if len(told) == 1 and known:
                found[column] = told.pop()
        return found

    def _few(self, names: Sequence[str]) -> list[str]:
        """Of these columns keep those that tell the rows apart, the metric and what was asked for, then others up to six."""
        results = {title(name): name for name in self.numbers}
        must = [self._count, _OTHERS, _DEVICE, _MAIN, *([] if self.mains else [title(self.metric), self._interval])]
        must = [name for name in names if name in must or results.get(name) in self.asked]
        room = MOST_COLUMNS - len(must)
        settings = [name for name in names if name in self.settings]
        own = [name for name in settings if name in (*COLUMNS, *self.asked)]
        if not any(name in self.settings for name in self.asked) and len(settings) > max(room, len(own)):
            settings = [*own, SETTINGS]
        kept = {*settings, *must}
        more = [name for name in names if name in results and name not in kept and self._known(results[name])]
        kept |= set(more[: max(0, MOST_COLUMNS - len(kept))])
        return [name for name in names if name in kept]

    def _known(self, number: str) -> bool:
        return self.frame[number].notna().any()


def same_words(same: Mapping[str, str]) -> str:
    """Return what is the same in every row in words: "data digits, loss focal, 2 runs each"."""
    counts = {
        name: f"{word} {name if word != '1' else name.rstrip('s')} each"
        for name, word in same.items()
        if name in _COUNTS and word != "0"
    }
    return ", ".join([*(f"{name} {word}" for name, word in same.items() if name not in counts), *counts.values()])


def _common(groups: Sequence[Group], shown: Sequence[str]) -> dict[str, str]:
    """Return the settings that every group has of its own, with one value, and that have no column: choices come first."""
    first = groups[0]
    names = [name for name in [*first.choices, *first.settings] if name not in (*shown, *_NOT_TOLD, *INCIDENTAL)]
    told = [name for name in dict.fromkeys(names) if not varying(groups, [name])]
    told = [name for name in told if all(is_own(name, group) for group in groups)]
    return {name: setting_text(first.fact(name)) for name in told[:_MOST_COMMON]}


def is_fold(key: str) -> bool:
    """Return whether a key that is averaged over counts the folds of a cross-validation."""
    return key.rpartition(".")[2] == "fold"


def default_metric(groups: Sequence[Group]) -> str:
    """Return the test's number that chose the best weights (trainer.best_metric), where it is one and the same in all runs.

    Otherwise it is "test.top1", or where no run has it the first result of a test, such as "test.mean_absolute_error".
    """
    asked = _best_metrics(groups)
    if len(asked) == 1 and all(f"test.{asked[0]}" in run.numbers for group in groups for run in group.finished):
        return f"test.{asked[0]}"
    found = {name for group in groups for run in group.finished for name in run.numbers}
    return f"test.{first_of(name.removeprefix('test.') for name in found)}" if found else METRICS[0]


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


def make_table(
    groups: Sequence[Group],
    *,
    metric: str,
    by: Sequence[str] = (),
    columns: Sequence[str] = (),
    level: float | None = 95,
    mains: Sequence[str | None] = (),
) -> Table:
    """Make a row per group, in the order given.

    Args:
        metric: the number that the table is about.
        by: settings that have columns, in place of those in which the groups differ.
        columns: further numbers and settings that have columns; ("all",): everything has one.
        level: of the metric's confidence interval, in %; None leaves it out.
        mains: the main result of each group, if one column shall show them in place of the metric (`main_results`).

    Raises UserError for unknown names.
    """
    import pandas

    more = _asked(groups, columns)
    settings = telling_settings(groups, by)
    settings = list(dict.fromkeys([*settings, *(name for name in more if more[name] == "setting")]))
    numbers = _numbers_of(groups, metric, [name for name in more if more[name] == "number"])
    rows = [
        {name: setting_text(group.fact(name)) if name in group.facts else None for name in settings}
        | {state: len(group.of(state)) for state in STATES}
        | dict(pair for name in numbers for pair in _exact(name, group.mean_std(name)))
        | _interval_of(metric, group, level)
        | {_DEVICE: " + ".join(sorted({str(run.device) for run in group.finished}))}
        for group in groups
    ]
    frame = pandas.DataFrame(rows)
    devices = {device for device in frame[_DEVICE] if device}
    if len(devices) < 2 and not any("+" in device for device in devices):
        del frame[_DEVICE]
    return Table(
        frame,
        settings,
        numbers,
        columns if tuple(columns) == ALL else [*named_settings(groups, by), *more],
        labels(groups, by=by, without=COLUMNS),
        metric,
        groups[0].over,
        level,
        [*_twins(groups, settings), *_notes(groups, level), *_few_runs(groups, metric, level)],
        mains,
        _common(groups, settings),
    )


def _asked(groups: Sequence[Group], columns: Sequence[str]) -> dict[str, str]:
    """Return what each name in columns= is, a "number" of summary.json or a "setting", under its whole name."""
    if tuple(columns) == ALL:
        return {}
    numbers = {name for group in groups for run in group.finished for name in run.numbers}
    facts = {name for group in groups for name in group.facts}
    found = {}
    for name in columns:
        if name in numbers:
            found[name] = "number"
        elif any(each == name or each.endswith((f".{name}", f"/{name}")) for each in facts):
            found[named_settings(groups, [name])[0]] = "setting"
        else:
            raise unknown_name(name, numbers, what="number or setting in columns")
    return found


def _check_numbers(names: Sequence[str], groups: Sequence[Group], *, what: str) -> None:
    valid = {name for group in groups for run in group.finished for name in run.numbers}
    for name in names:
        if name not in valid and valid:
            error = unknown_name(name, valid, what=what)
            if name_of(name) != name and (close := closest_name(name_of(name), valid)):
                error = UserError(str(error).replace(f": {name}.", f": {name}. Did you mean {close}?", 1))
            raise error


def _best_metrics(groups: Sequence[Group]) -> list[str]:
    """Return what trainer.best_metric is in the groups, without those that leave it to the task."""
    asked = [group.fact("trainer.best_metric") for group in groups]
    return list(dict.fromkeys(str(name) for name in asked if name not in (None, ABSENT)))


def _is_result(name: str) -> bool:
    return name.startswith("test.") and "/" not in name and name.count(".") == 1 and name not in _NO_RESULTS


def _numbers_of(groups: Sequence[Group], metric: str, more: Sequence[str]) -> list[str]:
    """Return the metric, what was asked for, the other results of the test, and the rest of METRICS, as far as a run has them."""
    found = dict.fromkeys(name for group in groups for run in group.finished for name in run.numbers)
    results = [name for name in found if _is_result(name)]
    head, *rest = METRICS
    chosen = [f"{_BEST}{name}" for name in _best_metrics(groups)] or [f"{_BEST}top1"]
    rest = [each for name in rest for each in (chosen if name.startswith(_BEST) else [name])]
    names = [metric, *more, *([head] if head in results else []), *results, *rest]
    return list(dict.fromkeys(name for name in names if name in found or name == metric))


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


def _exact(name: str, found: MeanStd | None) -> list[tuple[str, float]]:
    mean, std = (math.nan, None) if found is None else (found.mean, found.std)
    return [(name, mean), (f"{name}_std", math.nan if std is None else std)]


def _interval_of(metric: str, group: Group, level: float | None) -> dict[str, float]:
    found = group.mean_std(metric) if level is not None else None
    if level is None:
        return {}
    low, high = (found and found.interval(level / 100)) or (math.nan, math.nan)
    least, most = limits(metric)
    low, high = max(low, least), min(high, most)  # NaN stays, as the first of the two
    return {f"{metric}_low": low, f"{metric}_high": high}


def _twins(groups: Sequence[Group], settings: Sequence[str]) -> list[str]:
    """Return a note where the columns that were asked for do not tell rows apart."""
    if len({str([group.fact(name) for name in settings]) for group in groups}) == len(groups):
        return []
    others = [name for name in telling_settings(groups) if name not in settings]
    return [f"rows that look the same differ in {', '.join(others) or 'settings that their choices bring with them'}."]


def _notes(groups: Sequence[Group], level: float | None) -> list[str]:
    counts = {state: sum(len(group.of(state)) for group in groups) for state in STATES}
    told = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    runs = sum(counts.values())
    lines = [f"{runs} run{'s' * (runs != 1)} in {len(groups)} group{'s' * (len(groups) != 1)}: {told}."]
    if any(len(group.finished) > 1 for group in groups):
        lines += [_meaning(groups[0].over, level), *([FOLDS] if any(map(is_fold, groups[0].over)) else [])]
    for state in STATES[1:]:
        runs_there = [run for group in groups for run in group.of(state)]
        lines += [f"{state}: {_described(run)}" for run in runs_there[:_NAMED]]
        if len(runs_there) > _NAMED:
            lines.append(f"{state}: {len(runs_there) - _NAMED} more; where=[state={state}] shows them alone.")
    return lines


def _few_runs(groups: Sequence[Group], metric: str, level: float | None) -> list[str]:
    """Return a note where intervals are those of two or three runs, which tell little; they end where the metric does."""
    found = [group.mean_std(metric) for group in groups]
    counts = {each.n for each in found if each is not None and 1 < each.n <= _FEW_RUNS}
    if level is None or not counts:
        return []
    of = " or ".join(str(n) for n in sorted(counts))
    factor = max(half_width(n, level / 100) for n in counts)
    return [
        f"An interval of {of} runs says little: it reaches {factor:.3g} standard deviations to each side, as far as the "
        "values can lie at all. Five runs and more tell settings apart."
    ]


def _meaning(over: Sequence[str], level: float | None) -> str:
    keys = "their seeds" if tuple(over) == SEED else ", ".join(over)
    words = f"Means of the finished runs of a group, ± the standard deviation over {keys} (n - 1)"
    words += f"; {level:g} % interval of the mean by Student's t" if level is not None else ""
    return f"{words}."


def _described(run: StoredRun) -> str:
    return f"{run.path}: {run.error}" if run.error else str(run.path)
