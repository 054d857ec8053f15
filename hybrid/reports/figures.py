"""Figures of one run, as matplotlib figures that belong to the caller (no global state, no window)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure


def confusion_figure(counts: torch.Tensor, class_names: Sequence[str]) -> Figure:
    """Rows are the true classes, columns the predicted ones; shares of each row in %, written out for up to 20 classes."""
    shares = (100 * counts.double() / counts.sum(1, keepdim=True).clamp(min=1)).numpy()
    few = len(class_names) <= 20
    side = 1.2 + 0.36 * len(class_names) if few else 7
    figure = Figure(figsize=(max(3.2, side if few else side + 0.8), max(3.0, side)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, vmin=0, vmax=100, cmap="cividis")
    axes.set_title("% of the true class", size=10)
    axes.set(xlabel="predicted", ylabel="true")
    if few:
        names = [str(name)[:16] for name in class_names]
        upright = max(map(len, names)) <= 2
        turned = {} if upright else {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
        axes.set_xticks(range(len(names)), names, **turned)
        axes.set_yticks(range(len(names)), names)
        _write_shares(axes, shares)
    else:
        figure.colorbar(image, ax=axes, shrink=0.85)
    return figure


def _write_shares(axes: Axes, shares: np.ndarray) -> None:
    """The numbers into the cells, where they do not round to zero."""
    for (row, column), share in np.ndenumerate(shares):
        if share >= 0.5:
            color = "black" if share > 55 else "white"
            axes.text(column, row, f"{share:.0f}", ha="center", va="center", size=10, color=color)


def filter_bank_figure(filters: Sequence[tuple[str, torch.Tensor]], *, columns: int) -> Figure:
    """Every filter twice: its real part in space, and below it its modulus in Fourier space with frequency 0 in the middle.

    Args:
        filters: (title, Fourier transform of the filter) pairs, real or complex, each (H, W) with frequency 0 at [0, 0].
        columns: filters per row.
    """
    rows = -(-len(filters) // columns)
    figure = Figure(figsize=(1.1 * columns, 2.3 * rows), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)
    grid = figure.subplots(2 * rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for k, (title, spectrum) in enumerate(filters):
        space = torch.fft.fftshift(torch.fft.ifft2(spectrum).real).numpy()
        above, below = grid[2 * (k // columns), k % columns], grid[2 * (k // columns) + 1, k % columns]
        limit = np.abs(space).max()
        above.imshow(_middle(space), cmap="RdBu_r", vmin=-limit, vmax=limit)
        below.imshow(torch.fft.fftshift(spectrum.abs()).numpy(), cmap="cividis", vmin=0)
        above.set_title(title, size=10, pad=3)
    return figure


def _middle(picture: np.ndarray, side: int = 24) -> np.ndarray:
    """The middle `side` x `side` pixels, where the filters live."""
    top, left = (max(0, (size - side) // 2) for size in picture.shape)
    return picture[top : top + side, left : left + side]
