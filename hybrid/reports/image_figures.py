"""Draw single images: contact sheets with captions, saliency beside the images, maps of an image through the layers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from hybrid.errors import UserError
from hybrid.reports.layer_names import short_names
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
    rows = -(-len(images) // columns)
    grid = _grid(rows, columns, _lines(captions), _aspect(images))
    for axes, image, words in zip(grid.flat, images, captions, strict=False):
        _picture(axes, image, words)
    return grid[0, 0].figure


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
    grid = _grid(len(pairs), columns, lines, _aspect(pairs[0][1]), above=2)
    for row, (name, images, captions) in zip(grid, pairs, strict=True):
        row[0].set_title(plain(name, 90), loc="left", size=SMALL)
        for axes, image, words in zip(row, images, captions, strict=False):
            _picture(axes, image, words)
    return grid[0, 0].figure


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
    grid = _grid(rows, across * each, _lines(captions), _aspect(images), heading=True)
    for k, (image, words) in enumerate(zip(images, captions, strict=True)):
        first, *others = grid[k // across, (k % across) * each : (k % across + 1) * each]
        _picture(first, image, words)
        for axes, (heading, maps) in zip(others, gradients, strict=True):
            _map(axes, maps[k])
            if k < across:
                axes.set_title(heading, size=_TEXT, pad=2)
    return grid[0, 0].figure


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
    grid = _grid(1 + len(chosen), _CHANNELS, 0, image.shape[1] / image.shape[2], names=True, heading=True)
    _picture(grid[0, 0], image, "")
    grid[0, 0].set_title(plain(heading, 90), loc="left", size=SMALL)
    for row, k in zip(grid[1:], chosen, strict=True):
        maps = layers[k][1]
        low, high = float(maps.min()), float(np.quantile(maps.numpy(), 0.995))
        spread = maps.flatten(1).var(1, correction=0)
        for axes, channel in zip(row, spread.sort(descending=True, stable=True).indices.tolist(), strict=False):
            _map(axes, maps[channel], low=low, high=high)
        size = "×".join(map(str, maps.shape))
        row[0].text(
            -0.06, 0.5, f"{plain(names[k])}\n{size}", size=_TEXT, ha="right", va="center", transform=row[0].transAxes
        )
    return grid[0, 0].figure


def _check(images: Tensor, captions: Sequence[str]) -> None:
    if images.ndim != 4 or not len(images) or len(captions) != len(images):
        raise UserError(
            f"images must be (N, C, H, W) with a caption each, got {tuple(images.shape)} and {len(captions)}."
        )


def _aspect(images: Tensor) -> float:
    return images.shape[-2] / images.shape[-1]


def _lines(captions: Sequence[str]) -> int:
    return max(words.count("\n") + 1 for words in captions)


def _grid(
    rows: int, columns: int, lines: int, aspect: float, *, above: int = 0, heading: bool = False, names: bool = False
) -> np.ndarray:
    """Make (rows, columns) empty axes for pictures of this height / width, with room for text.

    lines: of the captions below. above: lines above each row. heading: a line above the first row. names: room on the left.
    """
    width, margin = COLUMN if columns <= 4 else PAGE, 1.05 if names else 0.05
    cell = (width - margin - 0.05) / columns
    below, over = 0.05 + _CAPTION * lines, 0.03 + _CAPTION * above
    head = 0.05 + 1.3 * _CAPTION if heading else 0.0
    height = head + rows * (cell * 0.94 * aspect + below + over)
    figure = Figure(figsize=(width, height))
    grid = figure.subplots(rows, columns, squeeze=False)
    for (row, column), axes in np.ndenumerate(grid):
        top = height - head - row * (height - head) / rows - over
        place = (margin + column * cell, top - cell * 0.94 * aspect, cell * 0.94, cell * 0.94 * aspect)
        axes.set_position((place[0] / width, place[1] / height, place[2] / width, place[3] / height))
        axes.set_axis_off()
    return grid


def _picture(axes: Axes, image: Tensor, words: str) -> None:
    colours = image[:3] if len(image) >= 3 else image[:1].expand(3, -1, -1)  # of satellites the first three bands
    axes.imshow(colours.permute(1, 2, 0).clamp(0, 1).numpy(), interpolation="nearest", aspect="auto")
    if words:
        inches = axes.get_position().width * axes.figure.get_figwidth()
        cut = "\n".join(plain(line, max(4, int(_LETTERS_PER_INCH * inches))) for line in words.split("\n"))
        axes.text(0.5, -0.03, cut, size=_TEXT, ha="center", va="top", transform=axes.transAxes)


def _map(axes: Axes, values: Tensor, *, low: float = 0.0, high: float | None = None) -> None:
    top = float(torch.as_tensor(np.quantile(values.numpy(), 0.995))) if high is None else high
    axes.imshow(
        values.numpy(), cmap="magma", vmin=low, vmax=max(top, low + 1e-12), interpolation="nearest", aspect="auto"
    )
