"""The tables of the scattering transform's verification, as Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

_HEAD = (
    "J", "padded", "A min", "A min, ω ≤ 3π/4", "A max", "W, largest", "S, largest", "A^1.5", "2^J S, padded", "2^J S, image",
    "order 0 %", "order 1 %", "order 2 %", "order 3… %", "lost %",
)  # fmt: skip


def scales_table(rows: list[dict[str, Any]]) -> str:
    """One row per J of the script's record; distances are the largest over all pairs."""
    lines = []
    for row in rows:
        A, largest = row["A"], {name: values[2] for name, values in row["expansion"].items()}
        ratios = [
            largest["W"],
            largest["S"],
            max(1, A["max"]) ** 1.5,
            largest["sampled_padded"],
            largest["sampled_image"],
        ]
        cells = [str(row["J"]), "x".join(map(str, row["padded"])), f"{A['min']:.3f}", f"{A['min_inner']:.3f}"]
        cells += [f"{A['max']:.4f}", *(f"{value:.3f}" for value in ratios)]
        cells += [f"{100 * share:.2f}" for share in row["energies"].values()]
        lines.append(cells + [f"{change:.3f}" for change in row["translations"].values()])
    shifts = (f"{float(pixels):g} px" for pixels in rows[0]["translations"])
    return _markdown((*_HEAD, *shifts), lines)


def constants_table(title: str, values: Mapping[str, Sequence[float]]) -> str:
    """One row per frequency: means over the images, and the largest of scattering's."""
    head = (f"{title}: ω / π", "pixels", "Fourier modulus", "scattering", "scattering, largest")
    columns = zip(*(values[name] for name in ("pixels", "fourier", "scattering", "scattering_largest")), strict=True)
    rows = zip(values["frequencies"], columns, strict=True)
    return _markdown(head, [[f"{w / math.pi:.3f}", *(f"{v:.2f}" for v in row)] for w, row in rows])


def _markdown(head: tuple[str, ...], rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    padded = [[cell.rjust(width) for cell, width in zip(row, widths, strict=True)] for row in [head, *rows]]
    rule = "|" + "|".join("-" * (width + 1) + ":" for width in widths) + "|"
    lines = ["| " + " | ".join(row) + " |" for row in padded]
    return "\n".join([lines[0], rule, *lines[1:]])
