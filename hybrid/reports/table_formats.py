"""How a table looks: aligned text, a terminal's table, Markdown, CSV, LaTeX."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hybrid.reports.groups import ABSENT, Figure
from hybrid.reports.table import STATES, Column, Table, setting_text, without_the_same


def text(table: Table) -> str:
    """Aligned columns, two spaces apart; above them what is the same in every row, below them the notes."""
    table, same = without_the_same(table)
    columns, rows = _shown(table)
    heads = _heads(columns, rows)
    widths = _widths(heads, rows)
    high = max(map(len, heads))
    head = [list(line) for line in zip(*([""] * (high - len(words)) + words for words in heads), strict=True)]
    lines = []
    for row in [*head, ["-" * width for width in widths], *rows]:
        cells = zip(columns, row, widths, strict=True)
        lines.append("  ".join(f"{cell:{_align(column)}{width}}" for column, cell, width in cells).rstrip())
    return "\n".join([*([same, ""] if same else []), *lines, "", *table.notes])


def print_terminal(table: Table) -> None:
    """The same on a terminal; a table wider than it is continued below, with numbered rows."""
    import rich.box
    from rich.console import Console
    from rich.table import Table as RichTable

    console = Console(highlight=False, markup=False)
    table, same = without_the_same(table)
    columns, rows = _shown(table)
    heads = _heads(columns, rows)
    widths = [width + 2 for width in _widths(heads, rows)]
    if same:
        console.print(same)
    for part in _parts(widths, room=console.width - 2):
        shown = RichTable(box=rich.box.SIMPLE_HEAD, padding=(0, 1), collapse_padding=False)
        numbered = len(part) < len(columns)
        if numbered:
            shown.add_column("row", justify="right")
        for k in part:
            justify = "right" if _align(columns[k]) == ">" else "left"
            shown.add_column("\n".join(heads[k]), justify=justify, vertical="bottom", overflow="fold")
        for number, row in enumerate(rows, start=1):
            shown.add_row(*([str(number)] if numbered else []), *(row[k] for k in part))
        console.print(shown)
    for note in table.notes:
        console.print(note, soft_wrap=True)


def markdown(table: Table) -> str:
    """A table as GitHub renders it, the notes below."""
    columns, rows = _shown(table)
    rule = ["---:" if _align(column) == ">" else "---" for column in columns]
    escaped = [[cell.strip().replace("|", "\\|") for cell in row] for row in rows]
    lines = ["| " + " | ".join(row) + " |" for row in [[column.title for column in columns], rule, *escaped]]
    return "\n".join([*lines, "", *(f"{note}  " for note in table.notes)]).rstrip()


def latex(table: Table) -> str:
    r"""A tabular for booktabs (\usepackage{booktabs}), the notes as comments."""
    columns, rows = _shown(table)
    body = [" & ".join(_latex_cell(cell) for cell in row) + r" \\" for row in rows]
    lines = [
        rf"\begin{{tabular}}{{{''.join('r' if _align(column) == '>' else 'l' for column in columns)}}}",
        r"\toprule",
        " & ".join(_latex_escape(column.title) for column in columns) + r" \\",
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join([*(f"% {note}" for note in table.notes), *lines])


def comma_separated(table: Table) -> str:
    """Every digit, for programs: a figure has two columns, its name and its name_std (empty for a single run); no notes."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([name for column in table.columns for name in _csv_names(column)])
    for row in table.rows:
        writer.writerow(
            [value for column, cell in zip(table.columns, row, strict=True) for value in _csv_cells(column, cell)]
        )
    return file.getvalue().rstrip("\n")


WRITERS: Mapping[str, Callable[[Table], str]] = {
    "text": text, "markdown": markdown, "csv": comma_separated, "latex": latex,
}  # fmt: skip


def _shown(table: Table) -> tuple[list[Column], list[list[str]]]:
    """Columns and cells as words; without the column of unfinished runs where there are none."""
    columns, shown = [], []
    for column, *cells in zip(table.columns, *table.rows, strict=True):
        words = _column_text(column, cells)
        if column.kind != "states" or any(words):
            columns.append(column)
            shown.append(words)
    return columns, [list(row) for row in zip(*shown, strict=True)]


def _heads(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Each title in lines that are no longer than its column's cells, where it has a point or a space to break at."""
    heads = []
    for k, column in enumerate(columns):
        width = max(len(row[k]) for row in rows)
        lines = [""]
        for piece in re.findall(r"[^. ]+[. ]*", column.title):
            if lines[-1] and len(lines[-1] + piece.rstrip()) > width:
                lines.append("")
            lines[-1] += piece
        heads.append([line.rstrip() for line in lines])
    return heads


def _widths(heads: Sequence[Sequence[str]], rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, [*head, *(row[k] for row in rows)])) for k, head in enumerate(heads)]


def _parts(widths: Sequence[int], *, room: int) -> list[list[int]]:
    """Column numbers, cut into parts that fit; all in one where they do."""
    if sum(widths) + len(widths) - 1 <= room:
        return [list(range(len(widths)))]
    parts: list[list[int]] = []
    left = 0
    for k, width in enumerate(widths):
        if not parts or width + 1 > left:
            parts.append([])
            left = room - 6  # the rows' numbers
        parts[-1].append(k)
        left -= width + 1
    return parts


def _column_text(column: Column, cells: Sequence[Any]) -> list[str]:
    if column.kind == "setting":
        return [setting_text(cell) for cell in cells]
    if column.kind == "count":
        return [str(cell) for cell in cells]
    if column.kind == "states":
        return [", ".join(f"{count} {state}" for state, count in cell.items() if count) for cell in cells]
    means = [_number(column.name, cell.mean, cell.mean) if cell else ABSENT for cell in cells]
    spreads = [_spread(column.name, cell) for cell in cells]
    width = max(map(len, spreads), default=0)
    return [f"{mean}{spread:<{width}}" for mean, spread in zip(means, spreads, strict=True)]  # decimal points in line


def _spread(name: str, cell: Figure | None) -> str:
    if cell is None or cell.std is None or (cell.std == 0 and name == "parameters"):
        return ""
    return f" ± {_number(name, cell.std, cell.mean)}"


def _number(name: str, value: float, mean: float) -> str:
    """As many digits as the mean is worth."""
    last = name.rpartition(".")[2]
    if last in ("top1", "top5"):
        return f"{value:.2f}"
    if last == "loss":
        return f"{value:.4f}"
    if last in ("seconds", "test_seconds", "images_per_second"):
        return f"{value:,.0f}" if mean >= 100 else f"{value:,.1f}"
    return f"{value:,.0f}" if value == round(value) else f"{value:.4g}"


def _align(column: Column) -> str:
    return ">" if column.kind in ("figure", "count") else "<"


def _csv_names(column: Column) -> list[str]:
    if column.kind == "states":
        return [state for state in STATES if state != "finished"]
    return [column.name, f"{column.name}_std"] if column.kind == "figure" else [column.name]


def _csv_cells(column: Column, cell: Any) -> list[Any]:
    if column.kind == "states":
        return list(cell.values())
    if column.kind == "figure":
        return ["" if cell is None else cell.mean, "" if cell is None or cell.std is None else cell.std]
    return ["" if cell == ABSENT else setting_text(cell)] if column.kind == "setting" else [cell]


def _latex_cell(cell: str) -> str:
    mean, plus_minus, std = cell.strip().partition(" ± ")
    return rf"${mean} \pm {std}$" if plus_minus else _latex_escape(cell.strip())


def _latex_escape(words: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", ABSENT: "--"}
    return "".join(special.get(letter, "\\" + letter if letter in "&%$#_{}" else letter) for letter in words)
