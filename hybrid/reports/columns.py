"""Align columns of words as lines of text."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

_GAP = 2  # letters between columns
_LEAST = 24  # letters: a column of words is not folded to less


class Column(NamedTuple):
    """A column: the lines of its head, a cell per row, and whether they are aligned to the right.

    A cell may have several lines.
    """

    head: Sequence[str]
    cells: Sequence[str]
    right: bool = False

    @property
    def width(self) -> int:
        """Letters of the widest line of the head and the cells."""
        return max(wide(line) for words in [*self.head, *self.cells] for line in words.split("\n"))


def wide(words: str) -> int:
    """Return how many letters of a terminal the words take: two for a Chinese letter, none for an accent of its own."""
    if words.isascii():
        return len(words)
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in words
    )


def aligned(columns: Sequence[Column]) -> list[str]:
    """Return the lines of a table: the heads, bottom-aligned, a rule, and a line per row, or as many as its cells have."""
    high = max(len(column.head) for column in columns)
    rows = [
        max(cell.count("\n") for cell in cells) + 1 for cells in zip(*(each.cells for each in columns), strict=True)
    ]
    sides = []
    for column in columns:
        words = [*[""] * (high - len(column.head)), *column.head, "-" * column.width]
        for cell, lines in zip(column.cells, rows, strict=True):
            words += [*cell.split("\n"), *[""] * (lines - cell.count("\n") - 1)]
        sides.append([_padded(word, column.width, right=column.right) for word in words])
    return [(" " * _GAP).join(line).rstrip() for line in zip(*sides, strict=True)]


def that_fit(columns: Sequence[Column], width: int | None) -> list[list[Column]]:
    """Fold the columns of words, and split the table where that does not suffice: parts of at most `width` letters.

    None makes one part and folds nothing. A column wider than `width` is a part of its own. Several parts each begin with the
    number of the row.
    """
    if width is None or _total(columns) <= width:
        return [list(columns)]
    columns = _folded(columns, width)
    if _total(columns) <= width:
        return [columns]
    numbers = Column(["row"], [str(k) for k in range(1, len(columns[0].cells) + 1)], right=True)
    parts: list[list[Column]] = []
    for column in columns:
        if not parts or _total([*parts[-1], column]) > width:
            parts.append([numbers])
        parts[-1].append(column)
    return parts


def _total(columns: Sequence[Column]) -> int:
    return sum(column.width + _GAP for column in columns) - _GAP


def _folded(columns: Sequence[Column], width: int) -> list[Column]:
    """Fold the widest columns of words, one after the other, as far as the table is too wide."""
    columns = list(columns)
    for k in sorted((k for k, each in enumerate(columns) if not each.right), key=lambda k: -columns[k].width):
        head, cells, _ = columns[k]
        room = max(_LEAST, columns[k].width - max(0, _total(columns) - width))
        if room < columns[k].width:
            columns[k] = Column(head, ["\n".join(textwrap.wrap(cell, room)) for cell in cells])
    return columns


def _padded(word: str, width: int, *, right: bool) -> str:
    space = " " * (width - wide(word))
    return space + word if right else word + space
