"""Draw one curve per layer, coloured from the first layer to the last: boundary points, distances, spectra.

Every function takes the layers of one run, in depth order, or {run: layers}: then each run has a panel of its own, with
common axes, because the curves of two networks in one panel cannot be told apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from hybrid.errors import UserError
from hybrid.reports.layer_names import LABEL_POINTS, by_run, label_lines, layer_bar, layer_colours
from hybrid.reports.style import COLUMN, PAGE, label_y, log_scale, new_panels, paper_style, plain

_WIDE = 10  # ratio between layers from which a linear axis would squeeze some of them
_POINTS = 200  # of a cumulative distribution, at each of its ends
_MOST_DISTRIBUTIONS = 8  # steep curves in a panel
_FEW = 0.005  # share of the images whose smaller distances may leave a logarithmic axis


@paper_style
def boundary_curves(
    layers: Sequence[tuple[str, Sequence[int]]] | Mapping[str, Sequence[tuple[str, Sequence[int]]]],
    *,
    samples: int,
    scale: Literal["log", "linear"] = "log",
    ylabel: str = "boundary points",
) -> Figure:
    """Draw |Γ_n^k| against k, one curve per layer n: samples whose class k or fewer neighbours do not settle, in %.

    The name of each layer stands at the end of its line.

    The definition is that of Oyallon, "Building a Regular Decision Boundary with Deep Networks", CVPR 2017.

    Args:
        layers: [(layer, counts for k = 1, 2, ...), ...] in depth order, or {run: that}.
        samples: number of samples that were counted among, at least every count.
        scale: "log" is logarithmic from one sample on and linear from there to 0, so that the first and the last layers can
            be read in one picture; "linear" as published.
    """
    runs = by_run(layers)
    for run, own in runs.items():
        for name, counts in own:
            if not all(0 <= count <= samples for count in counts):
                raise UserError(f"{_of(run)}layer {name} has a count outside 0 ... {samples}, the number of samples.")
    most = max(map(len, runs.values()))
    grid = _panels(runs, bars=False, height=max(2.4, 0.7 + most * LABEL_POINTS / 72))
    for axes, own in zip(grid, runs.values(), strict=True):
        _draw(axes, own, lambda counts: (np.arange(1, len(counts) + 1), 100 * np.asarray(counts) / samples))
        axes.set_xlabel("number of neighbours k")
        axes.set_xlim(1, max(2, *(len(counts) for _, counts in own)))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=2))
    for axes in grid[::2]:
        label_y(axes, f"{ylabel} (% of {samples:,} images)")
    top = max(max(counts, default=0) for own in runs.values() for _, counts in own) / samples
    for axes in grid:
        if scale == "log":
            _split_scale(axes, 100 / samples, 120 * max(top, 1 / samples))
        axes.set_ylim(bottom=0)
    for axes, own in zip(grid, runs.values(), strict=True):
        label_lines(axes, [name for name, _ in own])
    return grid[0].figure


def _split_scale(axes: Axes, one: float, top: float) -> None:
    """Make the y axis logarithmic from `one` to `top`, and linear from 0 to `one`: half a decade high."""
    axes.set_yscale("symlog", linthresh=one, linscale=0.5)
    axes.set_ylim(0, top)
    decades = 10.0 ** np.arange(np.floor(np.log10(one)), np.log10(top))
    steps = (1, 2, 5) if top < 30 * one else (1, 3) if top < 1000 * one else (1,)
    ticks = [each for decade in decades for step in steps if 0.999 * one <= (each := step * decade) <= min(100, top)]
    axes.set_yticks([0, *ticks], [f"{each:g}" for each in (0, *ticks)])
    axes.minorticks_off()


@paper_style
def class_spectra(
    layers: Sequence[tuple[str, ArrayLike]] | Mapping[str, Sequence[tuple[str, ArrayLike]]],
    *,
    share: bool = True,
) -> Figure:
    """Draw the cumulated variance within classes along their principal components; a steep curve means few directions.

    The x axis is linear if all layers have the same dimension, as published, and else logarithmic.

    Args:
        layers: [(layer, eigenvalues of the classes' covariances (classes, D) or of one class (D,)), ...], or {run: that}.
        share: of each class's own variance, in %; False: the variance itself, as published. Both are means over classes.
    """
    runs = by_run(layers)
    curves = {run: [(name, _cumulated(values, share=share)) for name, values in own] for run, own in runs.items()}
    sizes = {len(curve) for own in curves.values() for _, curve in own}
    grid = _panels(runs)
    for axes, own in zip(grid, curves.values(), strict=True):
        _draw(axes, own, lambda curve: (np.arange(1, len(curve) + 1), curve))
        axes.set_xlabel("principal components")
        axes.set_xlim(1, max(2, *sizes))
        axes.set_ylim(0, 101 if share else None)
        if len(sizes) > 1:
            log_scale(axes, "x")
    for axes in grid[::2]:
        label_y(axes, "cumulated variance" + share * " (%)")
    return grid[0].figure


@paper_style
def cumulative_distances(
    layers: Sequence[tuple[str, ArrayLike, ArrayLike]] | Mapping[str, Sequence[tuple[str, ArrayLike, ArrayLike]]],
    *,
    titles: tuple[str, str] = ("nearest of the same class", "nearest of another class"),
    xlabel: str = "distance",
    stacked: bool = False,
) -> Figure:
    """Draw cumulative distributions of nearest-neighbour distances: the same class on the left, another on the right.

    A curve that starts far from 0 on the right separates the classes. One row per run. The distances' axis is linear as
    published, and logarithmic where the layers' medians differ by a factor of ten or more; it then begins where 0.5 % of the
    images of some layer are nearer. Of more than eight layers, eight are drawn: the first two, and others evenly to the last.
    Distances that are not finite are left out.

    Args:
        layers: [(layer, distances to the same class (N,), to another class (M,)), ...] in depth order, or {run: that}.
        titles: of the two panels, for another split of the neighbours.
        stacked: the other class below the same class, as wide as a column.
    """
    runs = {run: _evenly(own) for run, own in by_run(layers).items()}
    rows, columns = (2 * len(runs), 1) if stacked else (len(runs), 2)
    grid = new_panels(COLUMN if stacked else PAGE, 0.3 + 2.1 * rows, rows=rows, columns=columns)
    every = [[_finite(same), _finite(other)] for own in runs.values() for _, same, other in own]
    medians = [np.median(values) for pair in every for values in pair if values.size]
    wide = len(medians) > 1 and min(medians) > 0 and max(medians) >= _WIDE * min(medians)
    top = max((np.quantile(values, 0.995) for pair in every for values in pair if values.size), default=1.0)
    pairs = grid.reshape(len(runs), 2)
    for pair, (run, own) in zip(pairs, runs.items(), strict=True):
        for side, axes in enumerate(pair):
            _draw(axes, [(layer[0], layer[1 + side]) for layer in own], _distribution)
        layer_bar(pair[0].figure, pair, [name for name, *_ in own])
        for axes in pair if stacked else pair[:1]:
            axes.set_ylabel(f"{plain(run)}\nshare of the images" if run else "share of the images")
    for axes, title in zip(pairs[0], titles, strict=True):
        axes.set_title(title)
    for axes in grid[-1]:
        axes.set_xlabel(xlabel)
    positive = [values[values > 0] for pair in every for values in pair]
    start = min((np.quantile(values, _FEW, method="lower") for values in positive if values.size), default=None)
    _scale_distances(grid, start=start if wide else None, top=top, samples=max(v.size for pair in every for v in pair))
    return grid[0, 0].figure


def _evenly(layers: Sequence[tuple]) -> list[tuple]:
    """Return at most eight of the layers: the first two, which no training may have changed, and others to the last."""
    if len(layers) <= _MOST_DISTRIBUTIONS:
        return list(layers)
    chosen = np.linspace(1, len(layers) - 1, _MOST_DISTRIBUTIONS - 1).round().astype(int)
    return [layers[k] for k in (0, *chosen)]


def _scale_distances(grid: np.ndarray, *, start: float | None, top: float, samples: int) -> None:
    """Give all panels the same axes; the shares go from one image to all, on a logarithmic axis."""
    for axes in grid.flat:
        axes.set_ylim(0.7 / max(2, samples), 1.3)
        log_scale(axes)
        if start is not None:
            axes.set_xscale("log")
            axes.set_xlim(start, 1.1 * top)
            log_scale(axes, "x")
        else:
            axes.set_xlim(0, top)


def _distribution(values: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return distances and the share of values up to each of them, at some hundred points, dense at both ends."""
    values = np.sort(_finite(values))
    if not values.size:
        return values, values
    few = np.concatenate([np.geomspace(1, values.size, _POINTS), np.linspace(1, values.size, _POINTS)])
    chosen = np.unique(values[np.unique(few.round().astype(int)) - 1])
    return chosen, np.searchsorted(values, chosen, side="right") / values.size


def _cumulated(eigenvalues: ArrayLike, *, share: bool) -> np.ndarray:
    """Return the (D,) mean over classes of the cumulated eigenvalues, largest first; classes without variance are left out."""
    values = np.atleast_2d(np.asarray(eigenvalues, dtype=float))
    sums = np.cumsum(-np.sort(-values, axis=1), axis=1)
    if not share:
        return sums.mean(0)
    spread = sums[:, -1] > 0
    return (100 * sums[spread] / sums[spread, -1:]).mean(0) if spread.any() else np.full(values.shape[1], np.nan)


def _finite(values: ArrayLike) -> np.ndarray:
    values = np.asarray(values, dtype=float).ravel()
    return values[np.isfinite(values)]


def _panels(runs: Mapping[str, Sequence[tuple]], *, bars: bool = True, height: float = 2.4) -> list[Axes]:
    """Make a panel per run, two side by side, with a colour bar of its layers, or one bar for all where the layers are equal."""
    columns = min(2, len(runs))
    rows = -(-len(runs) // columns)
    grid = new_panels(COLUMN if len(runs) == 1 else PAGE, height * rows, rows=rows, columns=columns)
    panels = list(grid.flat)[: len(runs)]
    for axes in list(grid.flat)[len(runs) :]:
        axes.set_axis_off()
    names = [[layer[0] for layer in own] for own in runs.values()]
    if not bars:
        pass
    elif all(own == names[0] for own in names):
        layer_bar(panels[0].figure, list(grid.flat), names[0])
    else:
        for axes, own in zip(panels, names, strict=True):
            layer_bar(axes.figure, [axes], own)
    for axes, run in zip(panels, runs, strict=True):
        axes.set_title(plain(run))
    return panels


def _draw(axes: Axes, layers: Sequence[tuple[str, Any]], points: Callable[[Any], tuple[Any, Any]]) -> None:
    """Draw the layers in order, so that the deepest is on top."""
    for (name, data), colour in zip(layers, layer_colours(len(layers)), strict=True):
        axes.plot(*points(data), color=colour, linewidth=1.2, label=name)


def _of(run: str) -> str:
    return f"{run}: " if run else ""
