"""Draw the scattering transform: its filters, and the coefficients of an image by order, scale and angle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure, SubFigure

from hybrid.reports.sheet import Place, Sheet
from hybrid.scattering import Path

_HEIGHT, _TITLE, _POINTS = 4.2, 0.4, 15  # inches of the maps and of the line above them; points of its letters
_GAP = 0.06  # between the image, order 1 and order 2, as a share of the height
_SHARE_OF_IMAGE = 0.72  # of the height; order 0 has the rest
_CELL, _GAP_OF_FILTERS, _TITLE_OF_FILTER = 1.05, 0.05, 0.2  # inches: a filter's picture, between two, the line above


def scattering_figure(image: torch.Tensor, coefficients: torch.Tensor, paths: Sequence[Path]) -> Figure:
    """Draw the image, its order-0 and order-1 maps (scales down, angles across), and order 2 for the two finest scales.

    Args:
        image: (H, W) or (3, H, W), in [0, 1].
        coefficients: (P, h, w) of the grey image, of order 2.
        paths: the P paths, as `Scattering2D.paths` gives them.
    """
    J = 1 + max(path.j1 for path in paths if path.order == 1)
    L = 1 + max(path.theta1 for path in paths if path.order == 1)
    first = {(path.j1, path.theta1): coefficients[k] for k, path in enumerate(paths) if path.order == 1}
    second = {
        (path.theta1, path.theta2): coefficients[k]
        for k, path in enumerate(paths)
        if path.order == 2 and (path.j1, path.j2) == (0, 1)
    }
    aspect = image.shape[-1] / image.shape[-2]
    widths = [aspect * width for width in (_SHARE_OF_IMAGE, L / J, *[1] * bool(second))]  # parts of one height, 1
    figure = Figure(figsize=(_HEIGHT * (sum(widths) + _GAP * (len(widths) - 1)), _HEIGHT + _TITLE))
    space = _GAP / (sum(widths) / len(widths))
    left, middle, *right = figure.subfigures(1, len(widths), width_ratios=widths, wspace=space)
    axes = left.subplots(2, 1, height_ratios=[_SHARE_OF_IMAGE, 1 - _SHARE_OF_IMAGE])
    axes[0].imshow(image.numpy() if image.ndim == 2 else image.permute(1, 2, 0).numpy(), cmap="gray")
    axes[1].imshow(coefficients[0].numpy(), cmap="gray")
    _tighten(left, "image and order 0", axes)
    _mosaic(middle, [[first[j, theta] for theta in range(L)] for j in range(J)], f"order 1: {J} scales × {L} angles")
    for part in right:
        maps = [[second[one, two] for two in range(L)] for one in range(L)]
        _mosaic(part, maps, "order 2, scales 0 → 1: angle × angle")
    return figure


def _mosaic(part: SubFigure, rows: list[list[torch.Tensor]], title: str) -> None:
    """Draw maps in rows; each row has its own range, because energy falls with scale and order."""
    axes = part.subplots(len(rows), len(rows[0]), squeeze=False)
    for row, maps in zip(axes, rows, strict=True):
        limit = np.quantile(torch.stack(maps).numpy(), 0.995)
        for cell, values in zip(row, maps, strict=True):
            cell.imshow(values.numpy(), cmap="magma", vmin=0, vmax=limit)
    _tighten(part, title, axes)


def _tighten(part: SubFigure, title: str, axes: np.ndarray) -> None:
    """Put the title above, and use all the room below it for the maps."""
    top = _HEIGHT / (_HEIGHT + _TITLE)
    part.suptitle(title, fontsize=_POINTS, y=1 - 0.15 * (1 - top), va="top")
    part.subplots_adjust(left=0, right=1, bottom=0, top=top, wspace=0.03, hspace=0.03)
    for cell in axes.flat:
        cell.set_axis_off()


def filter_bank_figure(filters: Sequence[tuple[str, torch.Tensor]], *, columns: int) -> Figure:
    """Draw every filter twice: its real part in space, and below it its modulus in Fourier space, frequency 0 in the middle.

    Args:
        filters: (title, Fourier transform of the filter) pairs, real or complex, each (H, W) with frequency 0 at [0, 0].
        columns: filters per row.
    """
    pairs = [_in_space_and_frequency(spectrum) for _, spectrum in filters]
    heights = [_CELL * picture.shape[0] / picture.shape[1] for picture in pairs[0]]
    cell, row = _CELL + _GAP_OF_FILTERS, _TITLE_OF_FILTER + sum(heights) + 2 * _GAP_OF_FILTERS
    sheet = Sheet(cell * columns + _GAP_OF_FILTERS, row * -(-len(filters) // columns))
    for k, ((title, _), (space, modulus)) in enumerate(zip(filters, pairs, strict=True)):
        left, top = _GAP_OF_FILTERS + cell * (k % columns), _TITLE_OF_FILTER + row * (k // columns)
        sheet.words(title, left + _CELL / 2, top - 0.04, size=10, ha="center", va="baseline")
        limit, below = np.abs(space).max(), top + heights[0] + _GAP_OF_FILTERS
        sheet.picture(space, Place(left, top, _CELL, heights[0]), cmap="RdBu_r", vmin=-limit, vmax=limit)
        sheet.picture(modulus, Place(left, below, _CELL, heights[1]), cmap="cividis", vmin=0)
    return sheet.figure


def _in_space_and_frequency(spectrum: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The middle of a filter's real part, and the modulus of its Fourier transform."""
    space = torch.fft.fftshift(torch.fft.ifft2(spectrum).real).numpy()
    return _middle(space), torch.fft.fftshift(spectrum.abs()).numpy()


def wavelet_parameters_figure(parameters: Mapping[str, torch.Tensor]) -> Figure:
    """Draw the parameters of wavelets by scale (down) and angle (across), a panel for each.

    Args:
        parameters: name -> (J, L) values.
    """
    figure = Figure(figsize=(4.2 * len(parameters), 2.6), layout="constrained")
    for axes, (name, values) in zip(
        figure.subplots(1, len(parameters), squeeze=False)[0], parameters.items(), strict=True
    ):
        picture = axes.imshow(values.detach().cpu().numpy(), cmap="viridis", aspect="auto")
        axes.set(title=name, xlabel="angle", ylabel="scale", yticks=range(len(values)))
        figure.colorbar(picture, ax=axes)
    return figure


def _middle(picture: np.ndarray, side: int = 24) -> np.ndarray:
    """Return the middle `side` x `side` pixels, where the filters are not zero."""
    top, left = (max(0, (size - side) // 2) for size in picture.shape)
    return picture[top : top + side, left : left + side]
