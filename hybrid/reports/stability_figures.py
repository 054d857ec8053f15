"""Draw how much each layer changes with its image: relative change against the strength of a perturbation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from hybrid.errors import UserError
from hybrid.reports.layer_names import layer_bar, layer_colours
from hybrid.reports.style import COLUMN, PAGE, label_y, legend_below, log_scale, new_panels, paper_style, plain

_COLUMNS = 3
_BOUND = "_bound"
_SPAN = 8  # ratio of the largest to the smallest strength from which both axes are logarithmic


class StabilityPanel(NamedTuple):
    """One perturbation.

    `strengths`: (S,). `layers`: [(layer, ‖Φ(x_τ) − Φ(x)‖ / ‖Φ(x)‖ of shape (S,) or, of N images, (S, N)), ...] in depth
    order. `bound`: (S,), what a theorem allows; None: nothing is drawn.
    """

    strengths: ArrayLike
    layers: Sequence[tuple[str, ArrayLike]]
    bound: ArrayLike | None = None


@paper_style
def stability_curves(
    panels: Mapping[str, StabilityPanel],
    *,
    ylabel: str = "relative change",
    bound_label: str = "bound, C = 1",
    stacked: bool = False,
) -> Figure:
    """Draw one panel per perturbation and one line per layer (the median over images); a bound is a dashed black line.

    Both axes are logarithmic, so that a Lipschitz layer is a line of slope 1, where the strengths are not negative and span
    a factor of 8 or more; strength 0 is then left out. Else they are linear. The axes follow the layers; a bound may leave them.

    Args:
        panels: {x label with its unit: the panel}, for example {"translation (pixels)": StabilityPanel(...)}. All panels need
            the same layers; draw another figure for another network.
        stacked: all panels below each other, as wide as a column.
    """
    if not panels or not next(iter(panels.values())).layers:
        raise UserError("a figure of stability needs at least one perturbation and one layer.")
    names = [name for name, _ in next(iter(panels.values())).layers]
    for label, panel in panels.items():
        if [name for name, _ in panel.layers] != names:
            raise UserError(f"stability: the panel {label} has other layers than the first one.")
    columns = 1 if stacked else 2 if len(panels) == 4 else min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    grid = new_panels(COLUMN if columns == 1 else PAGE, 0.4 + 1.9 * rows, rows=rows, columns=columns, share=False)
    for axes, (label, panel) in zip(grid.flat, panels.items(), strict=False):
        _draw(axes, panel)
        axes.set_xlabel(plain(label))
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_axis_off()
    for row in grid:
        label_y(row[0], ylabel)
    figure = grid[0, 0].figure
    layer_bar(figure, list(grid.flat), names)
    bounds = [line for axes in grid.flat for line in axes.lines if line.get_label() == _BOUND]
    legend_below(figure, bounds[:1], [bound_label])
    return figure


def _draw(axes: Axes, panel: StabilityPanel) -> None:
    strengths = np.asarray(panel.strengths, dtype=float)
    positive = strengths[strengths > 0]
    logarithmic = strengths.min() >= 0 and positive.size > 1 and positive.max() >= _SPAN * positive.min()
    kept = strengths > 0 if logarithmic else np.full(len(strengths), True)
    for (name, relative), colour in zip(panel.layers, layer_colours(len(panel.layers)), strict=True):
        values = np.asarray(relative, dtype=float)
        values = values if values.ndim == 1 else np.median(values, axis=1)
        axes.plot(strengths[kept], values[kept], color=colour, linewidth=1.2, label=name)
    low, high = axes.get_ylim()
    if logarithmic:
        log_scale(axes, "x", crowded=True)
        log_scale(axes, "y")
        low, high = axes.get_ylim()
    if panel.bound is not None:
        bound = np.asarray(panel.bound, dtype=float)[kept]
        axes.plot(strengths[kept], bound, color="black", linewidth=1.1, linestyle=(0, (4, 1.5)), label=_BOUND)
    axes.set_ylim(low if logarithmic else 0, high)
