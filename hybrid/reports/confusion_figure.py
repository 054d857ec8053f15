"""Draw a confusion matrix as a matplotlib figure that belongs to the caller (no global state, no window)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hybrid.reports.style import plain


def confusion_figure(counts: torch.Tensor, class_names: Sequence[str]) -> Figure:
    """Draw the shares of each true class (row) that were predicted as each class (column), in %.

    For up to 20 classes the numbers are written into the cells, and beside each true class its number of images; above that
    there is a colour scale.

    Args:
        counts: (classes, classes) images, counts[true class, predicted class].
    """
    shares = (100 * counts.double() / counts.sum(1, keepdim=True).clamp(min=1)).numpy()
    few = len(class_names) <= 20
    side = 1.2 + 0.36 * len(class_names) if few else 7
    figure = Figure(figsize=(max(3.2, side if few else side + 0.8), max(3.0, side)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, vmin=0, vmax=100, cmap="cividis")
    axes.set_title(f"% of the true class, {int(counts.sum()):,} images", size=10)
    axes.set(xlabel="predicted", ylabel="true (images)" if few else "true")
    if few:
        names = [plain(name, 16) for name in class_names]
        upright = max(map(len, names)) <= 2
        turned = {} if upright else {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
        axes.set_xticks(range(len(names)), names, **turned)
        rows = counts.sum(1).tolist()
        axes.set_yticks(
            range(len(names)), [f"{name} ({int(count):,})" for name, count in zip(names, rows, strict=True)]
        )
        _write_shares(axes, shares)
    else:
        figure.colorbar(image, ax=axes, shrink=0.85)
    return figure


def _write_shares(axes: Axes, shares: np.ndarray) -> None:
    """Write the numbers that do not round to zero into the cells."""
    for (row, column), share in np.ndenumerate(shares):
        if share >= 0.5:
            color = "black" if share > 55 else "white"
            axes.text(column, row, f"{share:.0f}", ha="center", va="center", size=10, color=color)
