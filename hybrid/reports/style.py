"""Give figures for a paper their look (sizes, type, colours that colour-blind readers tell apart), and write their files.

A two-column page sets the sizes: a figure is 3.4 or 7 inches wide, and its type has 8 to 9 points at that width.
A legend always stands below the axes, where it covers no data.
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

from hybrid.errors import UserError
from hybrid.escaping import for_terminal
from hybrid.files import write_atomically

COLUMN, WIDE, PAGE = 3.4, 5.2, 7.0  # widths in inches: one column, a figure of its own, the whole page
# Okabe and Ito's colours without the yellow that white paper swallows. Strokes and markers repeat the difference for
# black-and-white print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00")
STROKES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
QUIET = "0.45"  # the grey of reference lines and their labels
SMALL = 8  # points
_LINE, _LETTERS_PER_INCH = 0.17, 14  # of a legend: the height of a row in inches, and what fits side by side
STYLE = {
    "font.size": 9, "axes.labelsize": 9, "axes.titlesize": 9, "legend.fontsize": SMALL, "legend.title_fontsize": SMALL,
    "xtick.labelsize": SMALL, "ytick.labelsize": SMALL,
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.8, "axes.axisbelow": True,
    "lines.linewidth": 1.4, "lines.markersize": 3.5,
    "pdf.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "hybrid",  # text stays text; equal data, equal files
}  # fmt: skip
FORMATS = ("png", "svg", "pdf")  # of a picture's file

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
    """Make a new figure of that size in inches, and return its (rows, columns) axes.

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


def legend_below(figure: Figure, handles: Sequence[Artist], labels: Sequence[str], *, heading: str = "") -> None:
    """Add a legend below all axes, in as many columns as fit; the figure grows by its rows, so that the axes keep their size.

    Args:
        heading: a line above the legend, such as the names of the settings whose values are its labels.
    """
    if not handles:
        return
    letters = _LETTERS_PER_INCH * figure.get_figwidth()
    fitting = (count for count in range(len(labels), 1, -1) if _width(labels, count) <= letters)
    rows = -(-len(labels) // next(fitting, 1))
    title = textwrap.fill(plain(heading, len(heading)), int(letters))
    figure.set_figheight(figure.get_figheight() + _LINE * (rows + bool(title) + title.count("\n")) + 0.05)
    cut = [plain(label, int(letters)) for label in labels]
    shown = [f" {label}" if label.startswith("_") else label for label in cut]  # "_" hides a label
    figure.legend(
        handles, shown, title=title or None, loc="outside lower left", ncols=-(-len(labels) // rows), frameon=False,
        handlelength=2.2, columnspacing=1.2, alignment="left",
    )  # fmt: skip


def shades(colour: str, count: int) -> list[str]:
    """Return the colour and lighter ones, `count` in all and evenly apart; the lightest is still legible on white."""
    lightest = min(0.6, 0.3 * (count - 1))
    rgb = np.array(to_rgb(colour))
    return [to_hex(rgb + (1 - rgb) * lightest * k / max(1, count - 1)) for k in range(count)]


def label_y(axes: Axes, words: str) -> None:
    """Label the y axis; a long label is broken into lines, so that it is no longer than the axis."""
    axes.set_ylabel(textwrap.fill(plain(words, 90), 32))


def _width(labels: Sequence[str], columns: int) -> int:
    """Return the width of a legend in letters; a handle takes five."""
    return sum(5 + max(map(len, part)) for part in np.array_split(labels, columns))


def log_scale(axes: Axes, which: Literal["x", "y"] = "y", *, crowded: bool = False) -> None:
    """Make an axis logarithmic with plain numbers, fewer if `crowded`; call it after drawing. Values ≤ 0 lie below it."""
    getattr(axes, f"set_{which}scale")("log")
    axis: Axis = getattr(axes, f"{which}axis")
    low, high = axis.get_view_interval()
    decades = math.log10(high / low) if 0 < low < high else 9
    most = 2.5 if crowded else 3
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < most - 1 else (1, 3) if decades < most else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axis.set_minor_locator(LogLocator(subs=(2, 5)) if decades >= most else LogLocator(subs=range(2, 10)))
    axis.set_minor_formatter(NullFormatter())


def number(value: float) -> str:
    """Write the number of a tick: 0.002, 30, 5,000, or a power of ten where zeros would have to be counted."""
    if value > 0 and not 1e-3 <= value < 1e5:
        exponent = math.floor(math.log10(value) + 1e-9)
        factor = round(value / 10**exponent)
        return ("" if factor == 1 else f"{factor}·") + f"$10^{{{exponent}}}$"
    return f"{value:,g}"


def plain(words: str, most: int = 36) -> str:
    """Escape words, so that matplotlib takes none for a formula, and cut them to `most` letters; no control characters."""
    words = for_terminal(str(words))
    return (words if len(words) <= most else f"{words[: most - 1]}…").replace("$", r"\$")


def picture(figure: Figure, kind: str, *, dpi: int = 300) -> bytes:
    """Return a file's content: "png" with `dpi` dots per inch, "svg" or "pdf". Equal figures give equal bytes."""
    file = io.BytesIO()
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    with matplotlib.rc_context(STYLE):
        figure.savefig(file, format=kind, dpi=dpi, metadata=undated.get(kind))
    return file.getvalue()


def pixels_of(figure: Figure, *, dpi: int = 150) -> np.ndarray:
    """Draw the figure and return its (H, W, 3) uint8 pixels."""
    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(dpi)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def write_png(file: BinaryIO, pixels: np.ndarray) -> None:
    """Write (H, W, 3) uint8 pixels as a PNG."""
    from PIL import Image

    Image.fromarray(pixels).save(file, format="png")


def save_figure(figure: Figure, path: Path | str, formats: Sequence[str] | None = None) -> list[Path]:
    """Write `path`.png, `path`.svg … each whole or not at all, and return their paths; folders are made.

    Args:
        path: where to, without an ending; or with one of .png, .svg, .pdf, which then is the only format.
        formats: of png, svg, pdf. None: as the path's ending says, or else png and svg.

    Raises UserError for an unknown format, for formats given twice, and where the file cannot be written.
    """
    path = Path(path)
    ending = path.suffix.removeprefix(".")
    if ending in FORMATS:
        if formats is not None:
            raise UserError(f"{path} ends in .{ending} already; give the formats there or in formats, not in both.")
        path, formats = path.with_suffix(""), (ending,)
    formats = ("png", "svg") if formats is None else formats
    if unknown := [kind for kind in formats if kind not in FORMATS]:
        raise UserError(f"unknown format of a figure: {unknown[0]}. Valid: {', '.join(FORMATS)}.")
    written = []
    for kind in formats:
        content = picture(figure, kind)
        written.append(path.with_name(f"{path.name}.{kind}"))
        try:
            write_atomically(written[-1], lambda file, content=content: file.write(content))
        except OSError as error:
            raise UserError(f"{written[-1]} cannot be written: {error.strerror}.") from error
    return written
