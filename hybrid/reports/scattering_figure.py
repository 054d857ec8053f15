"""One image and its scattering coefficients, arranged by what each of them measures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure

from hybrid.scattering import Path


def scattering_figure(image: torch.Tensor, coefficients: torch.Tensor, paths: Sequence[Path]) -> Figure:
    """The image, its order-0 and order-1 maps (scales down, angles across), and order 2 for the two finest scales.

    Args:
        image: (H, W) or (3, H, W), in [0, 1].
        coefficients: (P, h, w) of the grey image, of order 2.
        paths: the P paths, as `Scattering2D.paths` gives them.
    """
    J = 1 + max(path.j1 for path in paths if path.order == 1)
    L = 1 + max(path.theta1 for path in paths if path.order == 1)
    figure = Figure(figsize=(15, 4.6), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0.01, hspace=0.01)
    left, middle, right = figure.subfigures(1, 3, width_ratios=[0.9, 2.6, 1.3])
    axes = left.subplots(2, 1, height_ratios=[3, 1])
    axes[0].imshow(image.numpy() if image.ndim == 2 else image.permute(1, 2, 0).numpy(), cmap="gray")
    axes[1].imshow(coefficients[0].numpy(), cmap="gray")
    left.suptitle("image and order 0")
    _hide(axes)
    first = {(path.j1, path.theta1): coefficients[k] for k, path in enumerate(paths) if path.order == 1}
    _mosaic(middle, [[first[j, theta] for theta in range(L)] for j in range(J)])
    middle.suptitle(f"order 1: {J} scales × {L} angles")
    second = {
        (path.theta1, path.theta2): coefficients[k]
        for k, path in enumerate(paths)
        if path.order == 2 and (path.j1, path.j2) == (0, 1)
    }
    if second:
        _mosaic(right, [[second[one, two] for two in range(L)] for one in range(L)])
        right.suptitle("order 2, scales 0 → 1: angle × angle")
    return figure


def _mosaic(figure, rows: list[list[torch.Tensor]]) -> None:  # noqa: ANN001  (a matplotlib SubFigure)
    """Maps in rows; each row has its own range, because energy falls with scale and order."""
    axes = figure.subplots(len(rows), len(rows[0]), squeeze=False)
    for row, maps in zip(axes, rows, strict=True):
        limit = np.quantile(torch.stack(maps).numpy(), 0.995)
        for cell, values in zip(row, maps, strict=True):
            cell.imshow(values.numpy(), cmap="magma", vmin=0, vmax=limit)
    _hide(axes)


def _hide(axes: np.ndarray) -> None:
    for cell in axes.flat:
        cell.set_axis_off()
