"""Write numbers per layer as a table: aligned text for a console, CSV for programs.

A row is one layer: {"layer": "relu1", "depth": 2, "1nn": 47.31, "boundary_1": 21034}. Tables over runs are in tables.py.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path

from hybrid.errors import UserError
from hybrid.escaping import for_spreadsheet, for_terminal
from hybrid.files import write_text
from hybrid.reports.columns import Column, aligned

_ABSENT = "–"
_DIGITS = 4  # significant ones of a column's largest number
_MOST_DECIMALS = 4


def layer_table(rows: Sequence[Mapping[str, object]]) -> str:
    """Write the rows as text: one line each, columns two spaces apart, words to the left and numbers to the right.

    Columns stand in the order in which the rows first name them. All numbers of a column have the same decimals, four digits
    for its largest, so that layers compare; 3 digits each where the smallest would vanish. A value that a row does
    not have, or None, is shown as "–".

    Raises UserError for no rows, and for a value that is neither a word nor a number.
    """
    names = _columns(rows)
    numeric = [any(_is_number(row.get(name)) for row in rows) for name in names]
    cells = [_texts([row.get(name) for row in rows]) for name in names]
    return "\n".join(
        aligned([Column([for_terminal(name)], *rest) for name, *rest in zip(names, cells, numeric, strict=True)])
    )


def layer_csv(rows: Sequence[Mapping[str, object]]) -> str:
    """Write the rows as CSV with a header and every digit of every number; None and missing values are empty cells.

    Raises UserError as `layer_table`.
    """
    names = _columns(rows)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(map(for_spreadsheet, names))
    writer.writerows([_exact(row.get(name)) for name in names] for row in rows)
    return file.getvalue()


def write_layer_csv(path: Path | str, rows: Sequence[Mapping[str, object]]) -> None:
    """Write `layer_csv` into a file, whole or not at all; its folder is made. Raises UserError where it cannot be written."""
    content = layer_csv(rows)
    try:
        write_text(Path(path), content)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from error


def _columns(rows: Sequence[Mapping[str, object]]) -> list[str]:
    """Return all names in the order in which they appear first; raise UserError for a value that is no word or number."""
    if not rows:
        raise UserError("a table of layers needs at least one row.")
    for row in rows:
        for name, value in row.items():
            if not (value is None or isinstance(value, str) or _is_number(value)):
                kind = type(value).__name__
                raise UserError(f"table of layers: {name} is a {kind}; a cell holds a word, a number or nothing.")
    return list(dict.fromkeys(name for row in rows for name in row))


def _is_number(value: object) -> bool:
    return isinstance(value, Real)  # bool and NumPy's numbers too


def _texts(values: Sequence[object]) -> list[str]:
    """Return the cells of a column."""
    kinds = [value for value in values if _is_number(value)]
    if all(isinstance(value, Integral) for value in kinds):
        shown = "{:,}".format
    else:
        shown = _format([abs(float(value)) for value in kinds if math.isfinite(value) and value])
    return [_ABSENT if value is None else _text(value, shown) for value in values]


def _text(value: object, shown: Callable[[Real], str]) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return (
        shown(value if isinstance(value, Integral) else float(value)) if _is_number(value) else for_terminal(str(value))
    )


def _format(sizes: Sequence[float]) -> Callable[[Real], str]:
    """Return a formatter that suits numbers of these absolute values, none of them 0."""
    if not sizes:
        return "{:.1f}".format
    decimals = min(_MOST_DECIMALS, max(1, _DIGITS - 1 - math.floor(math.log10(max(sizes)))))
    vanishing = min(sizes) < 5 * 10.0 ** -(decimals + 1)
    return "{:.3g}".format if vanishing or max(sizes) >= 1e7 else f"{{:,.{decimals}f}}".format


def _exact(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return (
        for_spreadsheet(value)
        if isinstance(value, str)
        else int(value)
        if isinstance(value, Integral)
        else repr(float(value))
    )
