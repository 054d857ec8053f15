"""A table over groups of runs, and which of its columns are shown as words; hybrid/reports/writers.py writes it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, get_args

from hybrid.reports.differences import COLUMNS
from hybrid.reports.groups import ABSENT, SEED
from hybrid.reports.numbers import mean_cells, number_text, title
from hybrid.runs.reading import State

if TYPE_CHECKING:  # takes a while to load
    from pandas import DataFrame

STATES: tuple[State, ...] = get_args(State)
ALL = ("all",)  # columns=all
MOST_COLUMNS = 6  # of a table where nobody asks for more
DEVICE, SETTINGS = "device", "settings"
_SEEDS, _RUNS, _OTHERS = "seeds", "runs", "not finished"
_MAIN = "main result"
_COUNTS = (_SEEDS, _RUNS)


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
        return column not in (*self.settings, _OTHERS, DEVICE, SETTINGS, _MAIN)

    def _words(self) -> DataFrame:
        """Return every column as words."""
        import pandas

        states = self.frame[[state for state in STATES if state != "finished"]].to_dict("records")
        others = [", ".join(f"{count} {state}" for state, count in row.items() if count) for row in states]
        columns = {name: self.frame[name].fillna(ABSENT) for name in self.settings}
        columns |= {SETTINGS: [name or ABSENT for name in self.names]}
        columns |= {self._count: self.frame["finished"].astype(str)} | ({_OTHERS: others} if any(others) else {})
        columns |= {DEVICE: self.frame[DEVICE]} if DEVICE in self.frame else {}
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
        must = [self._count, _OTHERS, DEVICE, _MAIN, *([] if self.mains else [title(self.metric), self._interval])]
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
