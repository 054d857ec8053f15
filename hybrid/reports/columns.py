"""Align columns of words as lines of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

_GAP = 2  # letters between columns


class Column(NamedTuple):
    """A column: the lines of its head, a cell per row, and whether they are aligned to the right."""

    head: Sequence[str]
    cells: Sequence[str]
    right: bool = False

    @property
    def width(self) -> int:
        """Letters of the widest cell or line of the head."""
        return max(map(len, [*self.head, *self.cells]))


def aligned(columns: Sequence[Column]) -> list[str]:
    """Return the lines of a table: the heads, bottom-aligned, a rule, and a line per row."""
    high = max(len(column.head) for column in columns)
    sides = []
    for head, cells, right in columns:
        width = Column(head, cells).width
        words = [*[""] * (high - len(head)), *head, "-" * width, *cells]
        sides.append([word.rjust(width) if right else word.ljust(width) for word in words])
    return [(" " * _GAP).join(line).rstrip() for line in zip(*sides, strict=True)]


def that_fit(columns: Sequence[Column], width: int | None) -> list[list[Column]]:
    """Split the columns into parts of at most `width` letters; None makes one part.

    A column wider than that is a part of its own. Several parts each begin with the number of the row.
    """
    if width is None or sum(column.width + _GAP for column in columns) <= width + _GAP:
        return [list(columns)]
    numbers = Column(["row"], [str(k) for k in range(1, len(columns[0].cells) + 1)], right=True)
    parts: list[list[Column]] = []
    for column in columns:
        if not parts or sum(each.width + _GAP for each in [*parts[-1], column]) > width + _GAP:
            parts.append([numbers])
        parts[-1].append(column)
    return parts
