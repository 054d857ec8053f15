"""Figures of one run, as matplotlib figures that belong to the caller (no global state, no window)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure


def confusion_figure(counts: torch.Tensor, class_names: Sequence[str]) -> Figure:
    """Rows are the true classes, columns the predicted ones; shares of each row in %, written out for up to 20 classes."""
    shares = 100 * counts.double() / counts.sum(1, keepdim=True).clamp(min=1)
    few = len(class_names) <= 20
    side = 2.2 + 0.42 * len(class_names) if few else 8
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares.numpy(), vmin=0, vmax=100, cmap="cividis")
    figure.colorbar(image, ax=axes, label="% of the true class", shrink=0.85)
    axes.set(xlabel="predicted", ylabel="true")
    if few:
        names = [str(name)[:16] for name in class_names]
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), names)
        for (row, column), share in np.ndenumerate(shares.numpy()):
            if share >= 0.5:
                axes.text(
                    column,
                    row,
                    f"{share:.0f}",
                    ha="center",
                    va="center",
                    size=8,
                    color="black" if share > 55 else "white",
                )
    return figure


def filter_bank_figure(filters: Sequence[tuple[str, torch.Tensor]], *, columns: int) -> Figure:
    """Every filter twice: its real part in space, and beside it its modulus in Fourier space with frequency 0 in the middle.

    Args:
        filters: (title, Fourier transform of the filter) pairs, real or complex, each (H, W) with frequency 0 at [0, 0].
        columns: filters per row.
    """
    rows = -(-len(filters) // columns)
    figure = Figure(figsize=(2.1 * columns, 1.35 * rows), layout="constrained")
    grid = figure.subplots(rows, 2 * columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for k, (title, spectrum) in enumerate(filters):
        space = torch.fft.fftshift(torch.fft.ifft2(spectrum).real).numpy()
        left, right = grid[k // columns, 2 * (k % columns)], grid[k // columns, 2 * (k % columns) + 1]
        limit = np.abs(space).max()
        left.imshow(_middle(space), cmap="RdBu_r", vmin=-limit, vmax=limit)
        right.imshow(torch.fft.fftshift(spectrum.abs()).numpy(), cmap="cividis", vmin=0)
        left.set_title(title, size=7, loc="left", pad=2)
    return figure


def _middle(picture: np.ndarray, side: int = 24) -> np.ndarray:
    """The middle `side` x `side` pixels, where the filters live."""
    top, left = (max(0, (size - side) // 2) for size in picture.shape)
    return picture[top : top + side, left : left + side]
