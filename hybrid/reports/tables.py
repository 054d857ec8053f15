"""Tables over groups of runs, a row a group: as text, Markdown, CSV or LaTeX.

table = make_table(group_runs(find_runs("outputs")), metric="test.top1")
print(text(table))
table.frame                    # the same as a pandas table, every digit
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from hybrid.errors import unknown_name
from hybrid.reports.columns import Column, aligned, that_fit
from hybrid.reports.groups import ABSENT, Group, MeanStd, telling_settings
from hybrid.runs.reading import State, StoredRun

if TYPE_CHECKING:  # takes a while to load
    from pandas import DataFrame, Series

METRICS = ("test.top1", "test.loss", "validation.best.top1", "parameters", "seconds", "images_per_second")
STATES: tuple[State, ...] = get_args(State)
_TITLES = {
    "test.top1": "test top-1 (%)",
    "test.top5": "test top-5 (%)",
    "validation.best.top1": "best validation (%)",
    "seconds": "training (s)",
    "images_per_second": "images/s",
}
_SMALLER_IS_BETTER = ("loss", "seconds", "parameters", "steps", "epochs")
_SEEDS, _OTHERS, _DEVICE = "seeds", "not finished", "device"


@dataclass(frozen=True)
class Table:
    """A row a group.

    Attributes:
        frame: settings as they are typed (None where a group has none), the number of runs in each state, each number's
            mean over the finished runs and, as NAME_std, its standard deviation (n - 1; NaN for a single run), and the
            device where the rows differ in it.
        settings: the columns that are settings.
        numbers: the columns that are numbers of summary.json.
        asked: settings that are shown also where all rows agree in them.
        notes: lines that belong under the table.
    """

    frame: DataFrame
    settings: Sequence[str]
    numbers: Sequence[str]
    asked: Sequence[str]
    notes: Sequence[str]

    def words(self) -> DataFrame:
        """Return the cells as words, under the titles that readers see."""
        import pandas

        states = self.frame[[state for state in STATES if state != "finished"]].to_dict("records")
        others = [", ".join(f"{count} {state}" for state, count in row.items() if count) for row in states]
        columns = {name: self.frame[name].fillna(ABSENT) for name in self.settings}
        columns |= {_SEEDS: self.frame["finished"].astype(str)} | ({_OTHERS: others} if any(others) else {})
        columns |= {title(name): _cells(name, self.frame[name], self.frame[f"{name}_std"]) for name in self.numbers}
        columns |= {_DEVICE: self.frame[_DEVICE]} if _DEVICE in self.frame else {}
        return pandas.DataFrame(columns)

    def is_number(self, column: str) -> bool:
        """Return whether the column of this title is aligned to the right."""
        return column not in (*self.settings, _OTHERS, _DEVICE)

    def same(self, words: DataFrame) -> dict[str, str]:
        """Return the columns that need not be shown, with their word.

        These are settings, seeds and parameters that are the same in every row, and numbers that no run has.
        """
        if len(words) < 2:
            return {}
        found = {}
        for column in words:
            told = {cell.strip() for cell in words[column]}
            told -= {ABSENT} if column == "parameters" and len(told) == 2 else set()
            known = column in (*self.settings, _SEEDS, "parameters") and column not in self.asked
            if len(told) == 1 and (known or (self.is_number(column) and told == {ABSENT})):
                found[column] = told.pop()
        return found


def order(groups: Sequence[Group], *, metric: str, by: Sequence[str] = ()) -> list[Group]:
    """Sort the groups by the settings in `by`, and then data set by data set, the best by `metric` first.

    Raises UserError for a metric that no summary has.
    """
    valid = {name for group in groups for run in group.finished for name in run.numbers}
    if metric not in valid and valid:
        raise unknown_name(metric, valid, what="metric")
    best_first = sorted(groups, key=lambda group: (str(group.fact("data")), _rank(group.mean_std(metric), metric)))
    return sorted(best_first, key=lambda group: [sortable(group.fact(name)) for name in by])


def make_table(groups: Sequence[Group], *, metric: str, by: Sequence[str] = ()) -> Table:
    """Make a row per group, in the order given; `metric` gets a column if it has none. Raises UserError for unknown names."""
    import pandas

    settings = telling_settings(groups, by)
    numbers = METRICS if metric in METRICS else (metric, *METRICS)
    rows = [
        {name: setting_text(group.fact(name)) if name in group.facts else None for name in settings}
        | {state: len(group.of(state)) for state in STATES}
        | dict(pair for name in numbers for pair in _exact(name, group.mean_std(name)))
        | {_DEVICE: " + ".join(sorted({str(run.device) for run in group.finished}))}
        for group in groups
    ]
    frame = pandas.DataFrame(rows)
    devices = {device for device in frame[_DEVICE] if device}
    if len(devices) < 2 and not any("+" in device for device in devices):
        del frame[_DEVICE]
    return Table(frame, settings, numbers, by, [*_twins(groups, settings), *_notes(groups)])


def text(table: Table, *, width: int | None = None) -> str:
    """Write aligned columns; above them the values that all rows share, below them the notes.

    width: of the terminal, in letters; a wider table is continued below, with numbered rows.
    """
    words = table.words()
    same = table.same(words)
    columns = [
        Column(_head(name, max(map(len, cells))), cells, table.is_number(name))
        for name, cells in words.items()
        if name not in same
    ]
    told = ", ".join(f"{column} {word}" for column, word in same.items())
    lines = [*textwrap.wrap(f"The same in every row: {told}.", width or len(told) + 40), ""] if same else []
    for part in that_fit(columns, width):
        lines += [*aligned(part), ""]
    return "\n".join([*lines, *table.notes])


def markdown(table: Table) -> str:
    """Write the table as GitHub renders it, with the notes below."""
    words = table.words()
    lines = markdown_lines(list(words), words.itertuples(index=False), right=list(map(table.is_number, words)))
    return "\n".join([*lines, "", *(f"{note}  " for note in table.notes)]).rstrip()


def markdown_lines(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[bool] | None = None
) -> list[str]:
    """Write the lines of a Markdown table; a | in a cell is escaped. right: the columns that are aligned to the right."""
    rule = ["---:" if side else "---" for side in right or [False] * len(head)]
    escaped = [[cell.strip().replace("|", "\\|") for cell in row] for row in [head, *rows]]
    return [f"| {' | '.join(row)} |" for row in [escaped[0], rule, *escaped[1:]]]


def latex(table: Table) -> str:
    r"""Write a tabular for booktabs (\usepackage{booktabs}), with the notes as comments."""
    words = table.words().map(str.strip)
    sides = "".join("r" if table.is_number(column) else "l" for column in words)
    document = words.to_latex(index=False, escape=True, column_format=sides).strip()
    document = re.sub(r"([\d.,e+-]+) ± ([\d.,e+-]+)", r"$\1 \\pm \2$", document).replace(ABSENT, "--")
    return "\n".join([*(f"% {note}" for note in table.notes), document])


def comma_separated(table: Table) -> str:
    """Write every digit, for programs: a mean is followed by its NAME_std (empty for a single run). There are no notes."""
    return table.frame.to_csv(index=False, lineterminator="\n").rstrip("\n")


WRITERS: Mapping[str, Callable[[Table], str]] = {
    "text": text, "markdown": markdown, "csv": comma_separated, "latex": latex,
}  # fmt: skip


def title(name: str) -> str:
    """Return a title with the unit for a number of summary.json or of metrics.jsonl."""
    words = name.replace(".", " ").replace("/", " ").replace("_", " ")
    words = words.replace("top1", "top-1 (%)").replace("top5", "top-5 (%)")
    return _TITLES.get(name, words)


def setting_text(value: Any) -> str:
    """Write a setting as on the command line."""
    if isinstance(value, list):
        return "[" + ",".join(setting_text(item) for item in value) + "]"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def sortable(value: Any) -> tuple[int, float, str]:
    """Return a key that sorts numbers by size, "20 epochs" by its number, then words, then None."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return 0, value, ""
    head, _, rest = str(value).partition(" ")
    try:
        return 0, float(head), rest
    except ValueError:
        return (2 if value is None else 1), 0.0, str(value)


def _rank(found: MeanStd | None, metric: str) -> float:
    if found is None or math.isnan(found.mean):
        return math.inf
    return found.mean if metric.endswith(_SMALLER_IS_BETTER) else -found.mean


def _exact(name: str, found: MeanStd | None) -> list[tuple[str, float]]:
    mean, std = (math.nan, None) if found is None else (found.mean, found.std)
    return [(name, mean), (f"{name}_std", math.nan if std is None else std)]


def _cells(name: str, means: Series, stds: Series) -> list[str]:
    """Write mean ± std with the decimal points in line."""
    pairs = list(zip(means, stds, strict=True))
    plus = [
        "" if math.isnan(std) or (std == 0 and name == "parameters") else f" ± {_number(name, std, mean)}"
        for mean, std in pairs
    ]
    width = max(map(len, plus), default=0)
    shown = [ABSENT if math.isnan(mean) and math.isnan(std) else _number(name, mean, mean) for mean, std in pairs]
    return [f"{mean}{spread:<{width}}" for mean, spread in zip(shown, plus, strict=True)]


def _number(name: str, value: float, mean: float) -> str:
    """Write as many digits as the mean is worth."""
    last = name.rpartition(".")[2]
    if last in ("top1", "top5"):
        return f"{value:.2f}"
    if last == "loss":
        return f"{value:.4f}"
    if last in ("seconds", "test_seconds", "images_per_second"):
        return f"{value:,.0f}" if mean >= 100 else f"{value:,.1f}"
    return f"{value:,.0f}" if value == round(value) else f"{value:.4g}"


def _head(title: str, width: int) -> list[str]:
    """Break the title at points and spaces into lines no longer than the column's cells."""
    lines = [""]
    for piece in re.findall(r"[^. ]+[. ]*", title):
        if lines[-1] and len(lines[-1] + piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return [line.rstrip() for line in lines]


def _twins(groups: Sequence[Group], settings: Sequence[str]) -> list[str]:
    """Return a note where the columns that were asked for do not tell rows apart."""
    if len({str([group.fact(name) for name in settings]) for group in groups}) == len(groups):
        return []
    others = [name for name in telling_settings(groups) if name not in settings]
    return [f"rows that look the same differ in {', '.join(others) or 'settings that their choices bring with them'}."]


def _notes(groups: Sequence[Group]) -> list[str]:
    counts = {state: sum(len(group.of(state)) for group in groups) for state in STATES}
    told = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    runs = sum(counts.values())
    lines = [f"{runs} run{'s' * (runs != 1)} in {len(groups)} group{'s' * (len(groups) != 1)}: {told}."]
    if any(len(group.finished) > 1 for group in groups):
        lines.append("Means of the finished runs of a group, ± the standard deviation over their seeds (n - 1).")
    others = [(state, run) for state in STATES[1:] for group in groups for run in group.of(state)]
    return lines + [f"{state}: {_described(run)}" for state, run in others]


def _described(run: StoredRun) -> str:
    return f"{run.path}: {run.error}" if run.error else str(run.path)
