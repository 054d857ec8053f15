"""Learning curves of one table: a colour per row, shades of it for runs that change settings of the row's command."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from hybrid.reports.curves import Line, lines_figure
from hybrid.reports.style import COLOURS, STROKES, shades
from hybrid.runs.reading import StoredRun
from published.changes import in_short
from published.entries import Entry, Rows

_MOST, _MOST_SHADES = 14, 6  # curves in a picture, and of one colour
_OWN = "the recipe's"


def parts_of(entry: Entry) -> list[str]:
    """Row, labels, and what is changed: what a legend calls the runs, in parts."""
    labels = [f"{entry.row.labels:,} labels"] if entry.row.labels else []
    return [entry.row.name, *labels, *in_short(entry.changes)]


def curves_of(rows: Rows) -> tuple[str, Figure] | None:
    """(what it shows, figure) over steps, of every run that has logged something while training; None where none has.

    Where a table has more of them than eyes can follow, those that change most are left out, and it is said how many.
    """
    found = [[entry for entry in own if any(map(_has_curve, entry.group.runs))] for _, own in rows]
    if not any(found):
        return None
    chosen = _chosen(found)
    words = ["Learning curves"]
    if any(run.state != "finished" for own in chosen for entry in own for run in entry.group.runs):
        words.append("thin, ending in ×: runs that failed or are not finished")
    if left := sum(map(len, found)) - sum(map(len, chosen)):
        words.append(f"not drawn: {left} more with other settings, in the table")
    return "; ".join(words), lines_figure(_lines(chosen), over="step", heading=", ".join(_shared(chosen)))


def _has_curve(run: StoredRun) -> bool:
    """Whether it has logged more than its test, which is all that a support vector machine logs."""
    return any(not key.startswith("test/") for record in run.records() for key in record.keys() - {"step", "epoch"})


def _chosen(found: Sequence[Sequence[Entry]]) -> list[list[Entry]]:
    """By colour: the first of every row, then the second of every row, and so on, until there are enough.

    Each row has its own colour, or a network's rows share one where there are more rows than colours.
    """
    by_network = sum(map(bool, found)) > len(COLOURS)
    families: dict[str, list[Entry]] = {}
    for entry in (own[k] for k in range(max(map(len, found))) for own in found if k < len(own)):
        own = families.setdefault(entry.row.name if by_network else f"{entry.row.name}, {entry.row.labels}", [])
        if len(own) < _MOST_SHADES and sum(map(len, families.values())) < _MOST:
            own.append(entry)
    return [own for own in families.values() if own]


def _lines(families: Sequence[Sequence[Entry]]) -> list[Line]:
    shared = _shared(families)
    lines = []
    for k, own in enumerate(families):
        for number, (entry, shade) in enumerate(zip(own, shades(COLOURS[k % len(COLOURS)], len(own)), strict=True)):
            label = ", ".join(part for part in parts_of(entry) if part not in shared) or _OWN
            lines.append(Line(entry.group, label, shade, STROKES[number % len(STROKES)]))
    return lines


def _shared(families: Sequence[Sequence[Entry]]) -> list[str]:
    """What all curves have in common: said once, above the legend; of a single curve nothing."""
    drawn = [parts_of(entry) for own in families for entry in own]
    return [part for part in drawn[0] if all(part in parts for parts in drawn)] if len(drawn) > 1 else []
