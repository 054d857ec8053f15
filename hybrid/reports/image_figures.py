"""Draw single images: contact sheets with captions, saliency beside the images, maps of an image through the layers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from hybrid.errors import UserError
from hybrid.reports.layer_names import short_names
from hybrid.reports.sheet import Place, Sheet
from hybrid.reports.style import COLUMN, PAGE, SMALL, paper_style, plain

_TEXT = SMALL - 1.5
_MOST_LAYERS, _CHANNELS = 12, 8  # rows and columns of the maps
_LETTERS_PER_INCH = 19  # of a caption
_CAPTION = 0.13  # inches for each line of a caption


@paper_style
def contact_sheet(images: Tensor, captions: Sequence[str], *, columns: int = 8) -> Figure:
    """Draw images in rows, each with its caption below; as wide as a column with up to four of them, else as a page.

    Args:
        images: (N, C, H, W) in [0, 1], of any number of channels (the first three are shown).
        captions: N of them; a line break is kept.
    """
    _check(images, captions)
    grid = _Grid(-(-len(images) // columns), columns, lines=_lines(captions), aspect=_aspect(images))
    for k, (image, words) in enumerate(zip(images, captions, strict=True)):
        grid.image(divmod(k, columns), image, words)
    return grid.figure


@paper_style
def confusion_sheet(pairs: Sequence[tuple[str, Tensor, Sequence[str]]], *, columns: int = 8) -> Figure:
    """Draw a row for each pair of classes: its name on top, and images of it.

    Args:
        pairs: [(name, images (n, C, H, W) in [0, 1], n captions), …].
    """
    if not pairs:
        raise UserError("there is no pair of classes to draw.")
    for _, images, captions in pairs:
        _check(images, captions)
    lines = max(_lines(captions) for _, _, captions in pairs)
    grid = _Grid(len(pairs), columns, lines=lines, aspect=_aspect(pairs[0][1]), above=2)
    for row, (name, images, captions) in enumerate(pairs):
        grid.heading((row, 0), plain(name, 90), ha="left", size=SMALL)
        for column, (image, words) in enumerate(zip(images[:columns], captions[:columns], strict=True)):
            grid.image((row, column), image, words)
    return grid.figure


@paper_style
def saliency_figure(images: Tensor, captions: Sequence[str], gradients: Sequence[tuple[str, Tensor]]) -> Figure:
    """Draw each image beside its saliency maps, each map on its own scale from 0 (black) to its 99.5 % quantile.

    Args:
        images: (N, C, H, W) in [0, 1].
        captions: N of them, below the images.
        gradients: [(heading, (N, H, W), non-negative), …], a column each.
    """
    _check(images, captions)
    across = max(1, 6 // (1 + len(gradients)))  # images side by side
    rows, each = -(-len(images) // across), 1 + len(gradients)
    grid = _Grid(rows, across * each, lines=_lines(captions), aspect=_aspect(images), heading=True)
    for k, (image, words) in enumerate(zip(images, captions, strict=True)):
        row, first = k // across, (k % across) * each
        grid.image((row, first), image, words)
        for column, (heading, maps) in enumerate(gradients, start=first + 1):
            grid.map((row, column), maps[k])
            if row == 0:
                grid.heading((row, column), heading, ha="center", size=_TEXT)
    return grid.figure


@paper_style
def map_figure(image: Tensor, layers: Sequence[tuple[str, Tensor]], *, heading: str = "") -> Figure:
    """Draw the maps of an image through the layers: a row a layer, its eight channels of the largest variance.

    All channels of a layer have one scale, from its smallest value to its 99.5 % quantile. Of more than twelve layers, twelve
    are drawn, evenly spread from the first to the last.

    Args:
        image: (C, H, W) in [0, 1].
        layers: [(layer, maps (C, h, w)), …] in depth order.
    """
    if not layers:
        raise UserError("no layer of this model has maps to draw: their outputs have no positions.")
    chosen = np.linspace(0, len(layers) - 1, min(len(layers), _MOST_LAYERS)).round().astype(int)
    names = short_names([name for name, _ in layers])
    aspect = image.shape[1] / image.shape[2]
    grid = _Grid(1 + len(chosen), _CHANNELS, lines=0, aspect=aspect, names=True, heading=True)
    grid.image((0, 0), image, "")
    grid.heading((0, 0), plain(heading, 90), ha="left", size=SMALL)
    for row, k in enumerate(chosen, start=1):
        maps = layers[k][1]
        low, high = float(maps.min()), float(np.quantile(maps.numpy(), 0.995))
        spread = maps.flatten(1).var(1, correction=0)
        for column, channel in enumerate(spread.sort(descending=True, stable=True).indices.tolist()[:_CHANNELS]):
            grid.map((row, column), maps[channel], low=low, high=high)
        grid.name(row, f"{plain(names[k])}\n{'×'.join(map(str, maps.shape))}")
    return grid.figure


def _check(images: Tensor, captions: Sequence[str]) -> None:
    if images.ndim != 4 or not len(images) or len(captions) != len(images):
        raise UserError(
            f"images must be (N, C, H, W) with a caption each, got {tuple(images.shape)} and {len(captions)}."
        )


def _aspect(images: Tensor) -> float:
    return images.shape[-2] / images.shape[-1]


def _lines(captions: Sequence[str]) -> int:
    return max(words.count("\n") + 1 for words in captions)


class _Grid:
    """A table of pictures that fills the width of a column, or of a page where it has more than four columns.

    Its places are (row, column).
    """

    def __init__(
        self,
        rows: int,
        columns: int,
        *,
        lines: int,
        aspect: float,
        above: int = 0,
        heading: bool = False,
        names: bool = False,
    ) -> None:
        """lines: of the captions below the pictures. aspect: of a picture, height / width. above: lines above each row.

        heading: there is a line above the first row. names: there is room on the left.
        """
        width, self._margin = COLUMN if columns <= 4 else PAGE, 1.05 if names else 0.05
        self._cell = (width - self._margin - 0.05) / columns
        self._size = self._cell * 0.94, self._cell * 0.94 * aspect
        self._over, self._head = 0.03 + _CAPTION * above, 0.05 + 1.3 * _CAPTION if heading else 0.0
        self._row = self._over + self._size[1] + 0.05 + _CAPTION * lines
        self._sheet = Sheet(width, self._head + rows * self._row)
        self.figure = self._sheet.figure

    def image(self, at: tuple[int, int], image: Tensor, words: str) -> None:
        """Show (C, H, W) in [0, 1], and words below it."""
        colours = image[:3] if len(image) >= 3 else image[:1].expand(3, -1, -1)  # of satellites the first three bands
        place = self._place(*at)
        self._sheet.picture(colours.permute(1, 2, 0).clamp(0, 1).numpy(), place, interpolation="nearest")
        if words:
            cut = "\n".join(plain(line, max(4, int(_LETTERS_PER_INCH * place.width))) for line in words.split("\n"))
            left, top = place.left + place.width / 2, place.top + 1.03 * place.height
            self._sheet.words(cut, left, top, size=_TEXT, ha="center", va="top")

    def map(self, at: tuple[int, int], values: Tensor, *, low: float = 0.0, high: float | None = None) -> None:
        """Show (H, W) values on a scale from `low` to `high`, by default to their 99.5 % quantile."""
        top = float(np.quantile(values.numpy(), 0.995)) if high is None else high
        look = {"cmap": "magma", "vmin": low, "vmax": max(top, low + 1e-12), "interpolation": "nearest"}
        self._sheet.picture(values.numpy(), self._place(*at), **look)

    def heading(self, at: tuple[int, int], words: str, *, ha: str, size: float) -> None:
        """Write words above a picture."""
        place = self._place(*at)
        left = place.left + (place.width / 2 if ha == "center" else 0)
        self._sheet.words(words, left, place.top - 0.04, ha=ha, va="baseline", size=size)

    def name(self, row: int, words: str) -> None:
        """Write words on the left of a row."""
        place = self._place(row, 0)
        left, middle = place.left - 0.06 * place.width, place.top + place.height / 2
        self._sheet.words(words, left, middle, size=_TEXT, ha="right", va="center")

    def _place(self, row: int, column: int) -> Place:
        top = self._head + row * self._row + self._over
        return Place(self._margin + column * self._cell, top, *self._size)
