"""How figures for a paper look: sizes, type, colours that colour-blind readers tell apart; and writing them to files.

Sizes are those of a two-column page (3.4 and 7 inches wide), type is 8-9 points at that size.
"""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Literal

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from hybrid.configuration.output_paths import PICTURES
from hybrid.errors import UserError

COLUMN, PAGE = 3.4, 7.0  # widths in inches: one column, the whole page
# Okabe and Ito's colours without the yellow that white paper swallows. Strokes and markers repeat the difference for
# black-and-white print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00")
STROKES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
QUIET = "0.45"  # the grey of reference lines and their labels
SMALL = 8  # points
STYLE = {
    "font.size": 9, "axes.labelsize": 9, "axes.titlesize": 9, "legend.fontsize": SMALL,
    "xtick.labelsize": SMALL, "ytick.labelsize": SMALL,
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.8, "axes.axisbelow": True,
    "lines.linewidth": 1.4, "lines.markersize": 3.5,
    "pdf.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "hybrid",  # text stays text; equal data, equal files
}  # fmt: skip
KINDS = tuple(ending.removeprefix(".") for ending in PICTURES)

paper_style = matplotlib.rc_context(STYLE)  # a decorator: @paper_style


def new_panels(
    width: float,
    height: float,
    *,
    rows: int = 1,
    columns: int = 1,
    share: bool | Literal["row"] = True,
    heights: Sequence[float] | None = None,
) -> np.ndarray:
    """(rows, columns) axes of a new figure of that size in inches; `share`: all of them, or a row's, have the same y axis.

    heights: of the rows, relative to each other. Sizes of tick labels are set here and not by the style alone: matplotlib makes
    ticks as late as when it draws.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=share, height_ratios=heights)
    for axes in grid.flat:
        axes.tick_params(which="both", labelsize=SMALL, width=0.8)
        axes.tick_params(which="minor", width=0.5)
        axes.grid(axis="y", color="0.9", linewidth=0.6)
    return grid


def legend_above(figure: Figure, handles: Sequence[Artist], labels: Sequence[str], *, letters: int = 44) -> None:
    """Above the axes, where it covers no curve; the figure grows by its rows. `letters`: about how many fit in a row."""
    if not handles:
        return
    most = next(count for count in range(len(labels), 0, -1) if count == 1 or _width(labels, count) <= letters)
    rows = -(-len(labels) // most)
    figure.set_figheight(figure.get_figheight() + 0.17 * rows)
    shown = [f" {label}" if label.startswith("_") else label for label in map(plain, labels)]  # "_" hides a label
    columns = -(-len(labels) // rows)
    figure.legend(
        handles, shown, loc="outside upper left", ncols=columns, frameon=False, handlelength=2.2, columnspacing=1.2
    )


def shades(colour: str, count: int) -> list[str]:
    """The colour and lighter ones: `count` of them, evenly apart, the lightest still legible on white."""
    lightest = min(0.6, 0.3 * (count - 1))
    rgb = np.array(to_rgb(colour))
    return [to_hex(rgb + (1 - rgb) * lightest * k / max(1, count - 1)) for k in range(count)]


def label_y(axes: Axes, words: str) -> None:
    """The y axis's label; a long one in lines, so that it is no longer than the axis."""
    axes.set_ylabel(textwrap.fill(words, 32))


def _width(labels: Sequence[str], columns: int) -> int:
    """Of a legend in letters; five for each handle."""
    return sum(5 + max(map(len, part)) for part in np.array_split(labels, columns))


def log_scale(axes: Axes, which: Literal["x", "y"] = "y", *, crowded: bool = False) -> None:
    """A logarithmic axis with plain numbers, fewer of them if `crowded`; call it after drawing. Values ≤ 0 lie below the axis."""
    getattr(axes, f"set_{which}scale")("log")
    axis: Axis = getattr(axes, f"{which}axis")
    low, high = axis.get_view_interval()
    decades = math.log10(high / low) if 0 < low < high else 9
    most = 2.5 if crowded else 3
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < most - 1 else (1, 3) if decades < most else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axis.set_minor_formatter(NullFormatter())


def number(value: float) -> str:
    """A tick's number: 0.002, 30, 5,000, and a power of ten where zeros would have to be counted."""
    if value > 0 and not 1e-3 <= value < 1e5:
        exponent = math.floor(math.log10(value) + 1e-9)
        factor = round(value / 10**exponent)
        return ("" if factor == 1 else f"{factor}·") + f"$10^{{{exponent}}}$"
    return f"{value:,g}"


def spread(places: np.ndarray, distance: float, *, low: float = -math.inf, high: float = math.inf) -> np.ndarray:
    """The nearest places (least squares) to ascending ones that are `distance` or more apart, then moved into [low, high].

    Where they do not all fit in there, those at the bottom overlap.
    """
    offsets = np.arange(len(places)) * distance
    blocks: list[list[float]] = []  # of [mean of the wanted places less their offsets, how many]
    for value in places - offsets:
        blocks.append([value, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (one, m), (two, n) = blocks[-2:]
            blocks[-2:] = [[(one * m + two * n) / (m + n), m + n]]
    apart = np.concatenate([np.full(count, mean) for mean, count in blocks]) + offsets
    return np.clip(apart, low, high).clip(low + offsets).clip(max=high - offsets[::-1]).clip(low)


def heights(axes: Axes, values: Sequence[float]) -> tuple[np.ndarray, float]:
    """The values' heights above the x axis and the height of the axes, in points; the y limits stay as they are now."""
    axes.set_ylim(axes.get_ylim())
    axes.figure.draw_without_rendering()  # the layout is known only then
    height = axes.bbox.height * 72 / axes.figure.dpi
    pixels = axes.transData.transform([(0, value) for value in values])[:, 1]
    return (pixels - axes.bbox.y0) * 72 / axes.figure.dpi, height


def plain(words: str, most: int = 36) -> str:
    """Words that matplotlib does not take for a formula, cut to so many letters."""
    words = str(words)
    return (words if len(words) <= most else f"{words[: most - 1]}…").replace("$", r"\$")


def picture(figure: Figure, kind: str) -> bytes:
    """The figure as a file's content: "png" at 300 dots per inch, "svg" or "pdf". Equal figures give equal bytes."""
    file = io.BytesIO()
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    with matplotlib.rc_context(STYLE):
        figure.savefig(file, format=kind, dpi=300, metadata=undated.get(kind))
    return file.getvalue()


def pixels_of(figure: Figure, *, dpi: int = 150) -> np.ndarray:
    """The figure drawn: (H, W, 3) uint8."""
    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(dpi)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def write_png(file: BinaryIO, pixels: np.ndarray) -> None:
    """(H, W, 3) uint8 pixels as a PNG."""
    from PIL import Image

    Image.fromarray(pixels).save(file, format="png")


def save_figure(figure: Figure, path: Path | str, formats: Sequence[str] | None = None) -> list[Path]:
    """Write `path`.png, `path`.svg … each whole or not at all, and return their paths; folders are made.

    Args:
        path: where to, without an ending; or with one of .png, .svg, .pdf, which then is the only format.
        formats: of png, svg, pdf. None: as the path's ending says, or else png and svg.

    Raises UserError for an unknown format, for formats given twice, and where the file cannot be written.
    """
    from hybrid.files import write_atomically  # its package loads torch, which drawing does not need

    path = Path(path)
    ending = path.suffix.removeprefix(".")
    if ending in KINDS:
        if formats is not None:
            raise UserError(f"{path} ends in .{ending} already; give the formats there or in formats, not in both.")
        path, formats = path.with_suffix(""), (ending,)
    formats = ("png", "svg") if formats is None else formats
    if unknown := [kind for kind in formats if kind not in KINDS]:
        raise UserError(f"unknown format of a figure: {unknown[0]}. Valid: {', '.join(KINDS)}.")
    written = []
    for kind in formats:
        content = picture(figure, kind)
        written.append(path.with_name(f"{path.name}.{kind}"))
        try:
            write_atomically(written[-1], lambda file, content=content: file.write(content))
        except OSError as error:
            raise UserError(f"{written[-1]} cannot be written: {error.strerror}.") from error
    return written
