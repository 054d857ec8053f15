"""A table over groups of runs: what it says, not yet how it looks (that is table_formats)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from hybrid.errors import unknown_name
from hybrid.reports.groups import ABSENT, Figure, Group, telling_settings
from hybrid.reports.runs import Run, State

FIGURES = ("test.top1", "test.loss", "validation.best.top1", "parameters", "seconds", "images_per_second")
STATES: tuple[State, ...] = get_args(State)
_TITLES = {
    "test.top1": "test top-1 (%)",
    "test.top5": "test top-5 (%)",
    "validation.best.top1": "best validation (%)",
    "seconds": "training (s)",
    "images_per_second": "images/s",
}
_SMALLER_IS_BETTER = ("loss", "seconds", "parameters", "steps", "epochs")


@dataclasses.dataclass(frozen=True)
class Column:
    """`name` is the setting or the key in summary.json, `title` what readers see.

    The kind says what its cells are: a setting's value; a number of runs; the runs per state that are not finished, as a
    dict; a Figure or None. One that the reader asked for is shown also where it tells nothing apart.
    """

    name: str
    title: str
    kind: Literal["setting", "count", "states", "figure"]
    asked: bool = False


@dataclasses.dataclass(frozen=True)
class Table:
    """Columns, rows of one cell per column, and notes: lines that belong under the table."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    notes: Sequence[str]


def order(groups: Sequence[Group], *, metric: str, by: Sequence[str] = ()) -> list[Group]:
    """The groups in the order of the settings in `by`; or else data set by data set, the best by `metric` first.

    Raises UserError for a metric that no summary has.
    """
    valid = {name for group in groups for run in group.finished for name in run.numbers}
    if metric not in valid and valid:
        raise unknown_name(metric, valid, what="metric")
    best_first = sorted(groups, key=lambda group: (str(group.fact("data")), _rank(group.figure(metric), metric)))
    return sorted(best_first, key=lambda group: [sortable(group.fact(name)) for name in by])


def make_table(groups: Sequence[Group], *, metric: str, by: Sequence[str] = ()) -> Table:
    """One row per group, in the order given; `metric` gets a column if it has none. Raises UserError for unknown names."""
    settings = telling_settings(groups, by)
    figures = FIGURES if metric in FIGURES else (metric, *FIGURES)
    columns = [Column(name, name, "setting", asked=name in by) for name in settings]
    columns += [Column("finished", "seeds", "count"), Column("not_finished", "not finished", "states")]
    columns += [Column(name, title(name), "figure") for name in figures]
    rows = [[_cell(column, group) for column in columns] for group in groups]
    if len({_devices(group) for group in groups if group.finished}) > 1 or any(
        "+" in _devices(group) for group in groups
    ):
        columns.append(Column("device", "device", "setting"))
        rows = [[*row, _devices(group)] for row, group in zip(rows, groups, strict=True)]
    return Table(columns, rows, [*_twins(groups, settings), *_notes(groups)])


def without_the_same(table: Table) -> tuple[Table, str]:
    """The table without the columns that tell its rows nothing apart, and in words what they say; of one row all are kept.

    Those are settings and counts that are the same in every row, the number of parameters if it is, and figures that no run has.
    """
    if len(table.rows) < 2:
        return table, ""
    same = [k for k, column in enumerate(table.columns) if _is_same(column, [row[k] for row in table.rows])]
    kept = [k for k in range(len(table.columns)) if k not in same]
    said = [f"{table.columns[k].title} {_word(table.columns[k], [row[k] for row in table.rows])}" for k in same]
    smaller = Table([table.columns[k] for k in kept], [[row[k] for k in kept] for row in table.rows], table.notes)
    return smaller, f"The same in every row: {', '.join(said)}." if said else ""


def title(name: str) -> str:
    """What readers call a number of summary.json or of metrics.jsonl, with its unit."""
    words = name.replace(".", " ").replace("/", " ").replace("_", " ")
    words = words.replace("top1", "top-1 (%)").replace("top5", "top-5 (%)")
    return _TITLES.get(name, words)


def _is_same(column: Column, cells: Sequence[Any]) -> bool:
    if column.kind == "figure" and column.name != "parameters":
        return all(cell is None for cell in cells)
    if column.kind == "figure":
        return len({(cell.mean, cell.std or 0.0) for cell in cells if cell is not None}) <= 1
    return column.kind != "states" and not column.asked and len({str(cell) for cell in cells}) == 1


def _word(column: Column, cells: Sequence[Any]) -> str:
    if column.kind == "figure":
        return next((f"{cell.mean:,.0f}" for cell in cells if cell is not None), ABSENT)
    return setting_text(cells[0])


def _cell(column: Column, group: Group) -> Any:
    if column.kind == "setting":
        return group.fact(column.name)
    if column.kind == "count":
        return len(group.finished)
    if column.kind == "states":
        return {state: len(group.of(state)) for state in STATES if state != "finished"}
    return group.figure(column.name)


def _devices(group: Group) -> str:
    return " + ".join(sorted({str(run.device) for run in group.finished}))


def _rank(figure: Figure | None, metric: str) -> float:
    if figure is None or math.isnan(figure.mean):
        return math.inf
    return figure.mean if metric.endswith(_SMALLER_IS_BETTER) else -figure.mean


def setting_text(value: Any) -> str:
    """A setting as it is written on the command line."""
    if isinstance(value, list):
        return "[" + ",".join(setting_text(item) for item in value) + "]"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def sortable(value: Any) -> tuple[int, float, str]:
    """Numbers by size, "20 epochs" by its number, then words, then what is not there."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return 0, value, ""
    head, _, rest = str(value).partition(" ")
    try:
        return 0, float(head), rest
    except ValueError:
        return (2 if value is None else 1), 0.0, str(value)


def _twins(groups: Sequence[Group], settings: Sequence[str]) -> list[str]:
    """A note where the columns that were asked for do not tell rows apart."""
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
    for state in STATES[1:]:
        lines += [f"{state}: {_described(run)}" for group in groups for run in group.of(state)]
    return lines


def _described(run: Run) -> str:
    path: Path = run.path
    return f"{path}: {run.error}" if run.error else str(path)
