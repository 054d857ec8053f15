"""Draw distributions against depth: contraction ratios of pairs, Jacobian norms of samples, distances within each class.

The functions take the data of one run or {run: data}, and have the x axis of depth_figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from hybrid.reports.depth_figures import AxisKind, Curve, DepthPanels, Samples
from hybrid.reports.layer_names import by_run
from hybrid.reports.style import (
    COLOURS,
    QUIET,
    STROKES,
    legend_below,
    paper_style,
)

_INNER, _OUTER = (0.25, 0.75), (0.05, 0.95)  # quantiles that bound the bands
_MOST_NAMED = 2 * len(COLOURS)  # classes with a colour and a name of their own


def contraction_ratios(
    layers: Sequence[tuple[str, ArrayLike, ArrayLike]] | Mapping[str, Sequence[tuple[str, ArrayLike, ArrayLike]]],
    *,
    ylabel: str = "contraction ratio",
    axis: AxisKind = "auto",
) -> Figure:
    """Draw ‖Φx − Φx'‖ / ‖x − x'‖ by depth for pairs of one class and of different classes; at the line 1 distances are kept.

    Lines are medians, on a logarithmic axis. Bands go from the 25 % to the 75 % quantile and, where there are at most two
    curves, a paler one from 5 % to 95 %.

    Args:
        layers: [(layer, ratios of same-class pairs (P,), of different-class pairs (Q,)), ...] in depth order, or {run: that}.
            Ratios may be to the pixels or to the layer before; say which in `ylabel`.
    """
    runs = {
        run: {"same class": [(name, same) for name, same, _ in own], "different classes": [(n, d) for n, _, d in own]}
        for run, own in by_run(layers).items()
    }
    return distributions_by_depth(runs, ylabel=ylabel, line=1.0, axis=axis)


def jacobian_norms(
    layers: Samples | Mapping[str, Samples],
    *,
    ylabel: str = "Jacobian norm ‖∂Φ/∂x‖",
    axis: AxisKind = "auto",
) -> Figure:
    """Draw the largest singular value of each layer's Jacobian at samples, by depth, as medians and quantile bands.

    Args:
        layers: [(layer, norms at N samples (N,)), ...] in depth order, or {run: that}.
    """
    runs = {run: {"": own} for run, own in by_run(layers).items()}
    return distributions_by_depth(runs, ylabel=ylabel, line=1.0, axis=axis)


@paper_style
def distributions_by_depth(
    runs: Mapping[str, Mapping[str, Samples]],
    *,
    ylabel: str,
    line: float | None = None,
    axis: AxisKind = "auto",
) -> Figure:
    """Draw medians and quantile bands of positive samples on a logarithmic axis.

    Samples that are not finite are left out; a layer without any is a gap.

    Args:
        runs: {run: {label: [(layer, samples), ...]}}.
        line: a value that a line across marks.
    """
    panels = DepthPanels(runs, axis, markers=False)
    few = sum(map(len, runs.values())) <= 2
    for axes in dict.fromkeys(panels.axes.values()):
        axes.margins(x=0.02)
        if line is not None:
            axes.axhline(line, color=QUIET, linewidth=0.9, zorder=1)
    for run, own in runs.items():
        for label, samples in own.items():
            x = panels.positions(run, [name for name, _ in samples])
            _draw_bands(panels.axes[label], x, [values for _, values in samples], panels.look(run, label), outer=few)
    panels.finish(ylabel, log=True)
    return panels.figure


@paper_style
def intra_class_distances(
    classes: Mapping[str, Curve] | Mapping[str, Mapping[str, Curve]],
    *,
    ylabel: str = "mean intra-class distance",
    axis: AxisKind = "auto",
) -> Figure:
    """Draw the mean distance of two images of a class by depth, one line per class.

    More than 14 classes are thin grey lines with their mean. Several runs are each the mean over classes, with a band from
    the smallest class to the largest.

    Args:
        classes: {class: [(layer, mean distance), ...]} in depth order, or {run: that}.
    """
    runs = by_run(classes, inner=Mapping)
    panels = DepthPanels(runs, axis, by_run=True)
    axes = panels.axes[""]
    for run, own in runs.items():
        x = panels.positions(run, panels.layers[run])
        values = np.array([_values(curve, panels.layers[run]) for curve in own.values()])
        if len(runs) > 1:
            look = panels.look(run, "")
            axes.fill_between(x, values.min(0), values.max(0), alpha=0.2, linewidth=0, color=look["color"])
            axes.plot(x, values.mean(0), **look)
        else:
            _draw_classes(axes, x, values, list(own))
    panels.finish(ylabel)
    if len(runs) == 1 and len(axes.lines) <= _MOST_NAMED:
        legend_below(panels.figure, axes.lines, [line.get_label() for line in axes.lines])
    elif len(runs) == 1:
        legend_below(panels.figure, axes.lines[-2:], ["one class", f"mean of {len(axes.lines) - 1} classes"])
    return panels.figure


def _draw_bands(axes: Axes, x: np.ndarray, samples: Sequence[ArrayLike], look: Mapping, *, outer: bool) -> None:
    every = (_OUTER[0], _INNER[0], 0.5, _INNER[1], _OUTER[1])
    table = np.array([_quantiles(values, every) for values in samples]).T
    axes.plot(x, table[2], **look)
    for low, high, alpha in [(table[1], table[3], 0.25)] + [(table[0], table[4], 0.12)] * outer:
        axes.fill_between(x, low, high, color=look["color"], alpha=alpha, linewidth=0)


def _quantiles(values: ArrayLike, shares: Sequence[float]) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    return np.quantile(values, shares) if values.size else np.full(len(shares), np.nan)


def _values(curve: Curve, layers: Sequence[str]) -> list[float]:
    """Return a value for every layer, NaN where the curve has none."""
    known = dict(curve)
    return [known.get(layer, np.nan) for layer in layers]


def _draw_classes(axes: Axes, x: np.ndarray, values: np.ndarray, names: Sequence[str]) -> None:
    named = len(names) <= _MOST_NAMED
    for k, (name, row) in enumerate(zip(names, values, strict=True)):
        look = {"color": COLOURS[k % len(COLOURS)], "linestyle": STROKES[k // len(COLOURS)]} if named else {}
        axes.plot(x, row, linewidth=1.1 if named else 0.5, label=name, **({"color": "0.7"} | look))
    if not named:
        axes.plot(x, values.mean(0), color=COLOURS[0], linewidth=2)
