"""Write a table over groups of runs as text, Markdown, CSV or LaTeX."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence

from hybrid.escaping import for_latex, for_markdown, for_spreadsheet, for_terminal
from hybrid.reports.columns import Column, aligned, that_fit
from hybrid.reports.groups import ABSENT
from hybrid.reports.layout import SETTINGS, Table, same_words

_LONG = 45  # rows: a longer table in LaTeX goes on over pages
_PAGE = 120  # letters of a line, where no terminal says how many


def text(table: Table, *, width: int | None = None) -> str:
    """Write aligned columns; above them the values that all rows share, below them the notes.

    width: of the terminal, in letters; None: 120 of them. Words are folded, and a table that is still wider is continued
    below, with
    numbered rows.
    """
    words, same, left_out = table.layout()
    width = width or _PAGE
    columns = [_column(name, [for_terminal(cell) for cell in cells], table) for name, cells in words.items()]
    told = for_terminal(same_words(same))
    lines = [*textwrap.wrap(f"The same in every row: {told}.", width), ""] if same else []
    for part in that_fit(columns, width):
        lines += [*aligned(part), ""]
    notes = [for_terminal(note) for note in [*table.notes, *_left_out(left_out)]]
    return "\n".join([*lines, *(line for note in notes for line in _wrapped(note, width))])


def _column(name: str, cells: Sequence[str], table: Table) -> Column:
    return Column(_head(for_terminal(name), max(map(len, cells))), cells, table.is_number(name))


def _wrapped(note: str, width: int) -> list[str]:
    """Fold a note between words: a path is never broken."""
    return textwrap.wrap(note, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _left_out(names: Sequence[str]) -> list[str]:
    return [f"Not shown: {', '.join(names)}; columns=[…] or columns=all shows them."] if names else []


def markdown(table: Table) -> str:
    """Write the table as GitHub renders it, with the notes below."""
    words, same, left_out = table.layout()
    rows = ([for_markdown(cell) for cell in row] for row in words.itertuples(index=False))
    lines = markdown_lines([for_markdown(name) for name in words], rows, right=list(map(table.is_number, words)))
    lines = [line.replace("\\\\|", "\\|") for line in lines]
    notes = [*_same_note(same), *table.notes, *_left_out(left_out)]
    return "\n".join([*lines, "", *(f"{for_markdown(note)}  " for note in notes)]).rstrip()


def _same_note(same: Mapping[str, str]) -> list[str]:
    return [f"The same in every row: {same_words(same)}."] if same else []


def markdown_lines(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[bool] | None = None
) -> list[str]:
    """Write the lines of a Markdown table; a | in a cell is escaped. right: the columns that are aligned to the right."""
    rule = ["---:" if side else "---" for side in right or [False] * len(head)]
    escaped = [[cell.strip().replace("|", "\\|") for cell in row] for row in [head, *rows]]
    return [f"| {' | '.join(row)} |" for row in [escaped[0], rule, *escaped[1:]]]


def latex(table: Table) -> str:
    r"""Write a tabular for booktabs, or a longtable from 46 rows on, with the notes as comments.

    The document needs \usepackage{booktabs} and, for a long table, \usepackage{longtable}.
    """
    words, same, left_out = table.layout()
    kind = "longtable" if len(words) > _LONG else "tabular"
    sides = "".join(
        "r" if table.is_number(name) else r"p{0.35\linewidth}" if name == SETTINGS else "l" for name in words
    )
    rows = [" & ".join(_tex(cell) for cell in row) + r" \\" for row in words.itertuples(index=False)]
    head = " & ".join(for_latex(name) for name in words) + r" \\"
    ends = [r"\endhead"] if kind == "longtable" else []
    body = [rf"\begin{{{kind}}}{{{sides}}}", r"\toprule", head, r"\midrule", *ends, *rows, r"\bottomrule"]
    notes = [for_terminal(note) for note in [*_same_note(same), *table.notes, *_left_out(left_out)]]
    return "\n".join([*(f"% {note}" for note in notes), *body, rf"\end{{{kind}}}"])


def _tex(cell: str) -> str:
    words = for_latex(cell.strip())
    words = re.sub(r"^([\d.,e+-]+) ± ([\d.,e+-]+)$", r"$\1 \\pm \2$", words)
    return "--" if words == ABSENT else words


def comma_separated(table: Table) -> str:
    """Write every digit of every column, for programs: a mean is followed by its NAME_std (empty for a single run).

    There are no notes. A word with which a spreadsheet would compute, such as =1+1, has a ' before it.
    """
    frame = table.frame.map(lambda cell: for_spreadsheet(for_terminal(cell)) if isinstance(cell, str) else cell)
    return frame.to_csv(index=False, lineterminator="\n").rstrip("\n")


WRITERS: Mapping[str, Callable[[Table], str]] = {
    "text": text, "markdown": markdown, "csv": comma_separated, "latex": latex,
}  # fmt: skip


def _head(title: str, width: int) -> list[str]:
    """Break the title at points and spaces into lines no longer than the column's cells."""
    lines = [""]
    for piece in re.findall(r"[^. ]+[. ]*", title):
        if lines[-1] and len(lines[-1] + piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return [line.rstrip() for line in lines]
