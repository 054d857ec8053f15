"""Draw a quantity against depth, one point per layer: accuracies, ratios, ranks.

Every function takes the data of one run, or a mapping of runs' names to such data, which are overlaid:

    accuracy_by_depth({"1-NN": [("pixels", 35.1), ("relu1", 47.3), ...], "SVM": [...]})
    accuracy_by_depth({"scat_resnet": {"1-NN": [...]}, "resnet18": {"1-NN": [...]}}, reference={"resnet18": 95.1})

Runs with the same layers have the layers' names on the x axis. Runs with different ones have the relative depth: a
layer's place among its run's layers, 0 for the first (pixels) and 1 for the last (logits), because "how far on the way from the
image to the decision" is what networks of different length have in common; `axis="layer"` counts layers instead.
A value that is not finite is a gap. More than three runs of several curves each would be a tangle: each curve then has a
panel of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from hybrid.errors import UserError
from hybrid.reports.layer_names import by_run, layer_order, short_names, tick_numbers
from hybrid.reports.style import (
    COLOURS,
    COLUMN,
    MARKERS,
    PAGE,
    QUIET,
    SMALL,
    STROKES,
    label_y,
    legend_below,
    log_scale,
    new_panels,
    paper_style,
    plain,
)

_MOST_OVERLAID = 3  # runs of several curves each in one panel
AxisKind = Literal["auto", "relative", "layer"]
Curve = Sequence[tuple[str, float]]
Samples = Sequence[tuple[str, ArrayLike]]


class DepthPanels:
    """A figure over depth: its panels, the x axis that the runs share, the looks of their curves, and the legend.

    Args:
        runs: {run: {label: [(layer, anything), ...]}}.
        axis: see the module's docstring.
        markers: whether lines have a marker at each layer.
        by_run: whether colours tell runs apart, whatever the labels are; otherwise only where there is one label, or many runs.
    """

    def __init__(
        self,
        runs: Mapping[str, Mapping[str, Sequence[tuple]]],
        axis: AxisKind,
        *,
        markers: bool = True,
        by_run: bool = False,
    ) -> None:
        if axis not in ("auto", "relative", "layer"):
            raise UserError(f"unknown axis: {axis}. Valid: auto, layer, relative.")
        self.layers = {run: layer_order([[n for n, *_ in c] for c in own.values()]) for run, own in runs.items()}
        first = next(iter(self.layers.values()))
        same = all(names == first for names in self.layers.values())
        self._relative = axis == "relative" or (axis == "auto" and not same)
        self._ticks = first if same and not self._relative else []
        self._runs = list(runs)
        self._labels = [""] if by_run else list(dict.fromkeys(label for own in runs.values() for label in own))
        self._apart = len(self._runs) > _MOST_OVERLAID and len(self._labels) > 1
        self._by_run = self._apart or len(self._labels) == 1
        self._markers = markers
        self.axes = self._panels()
        self.figure = next(iter(self.axes.values())).figure

    def positions(self, run: str, names: Sequence[str]) -> np.ndarray:
        """Return the x of these layers of the run."""
        every = self.layers[run]
        places = np.array([every.index(name) for name in names], dtype=float)
        return places / max(1, len(every) - 1) if self._relative else places

    def look(self, run: str, label: str) -> dict[str, object]:
        """Return the properties of the line of a curve of a run, as matplotlib takes them."""
        place = self._runs.index(run)
        colour = place if self._by_run else self._labels.index(label)
        look = {"color": COLOURS[colour % len(COLOURS)], "linestyle": STROKES[place % len(STROKES)]}
        if self._markers:
            look |= {"marker": MARKERS[colour % len(MARKERS)], "markerfacecolor": "white" if place % 2 else None}
        return {name: value for name, value in look.items() if value is not None}

    def finish(self, ylabel: str, *, reference: Mapping[str, float] | None = None, log: bool = False) -> None:
        """Add labels, ticks, lines across at the reference values, and the legend; call it after drawing."""
        panels = list(dict.fromkeys(self.axes.values()))
        lines = [self._draw_references(axes, reference or {}) for axes in panels][0]
        for axes in panels:
            self._describe_x(axes)
            if axes.get_subplotspec().colspan.start == 0:
                label_y(axes, ylabel)
            if log:
                log_scale(axes)
        self._legend(lines)

    def _panels(self) -> dict[str, Axes]:
        """Make the axes of each curve: the same for all, or a panel each, two side by side, with a common y axis."""
        if not self._apart:
            return dict.fromkeys(self._labels, new_panels(COLUMN, 2.4)[0, 0])
        rows = -(-len(self._labels) // 2)
        grid = new_panels(PAGE, 2.3 * rows, rows=rows, columns=2)
        for axes in grid.flat[len(self._labels) :]:
            axes.set_axis_off()
        for label, axes in zip(self._labels, grid.flat, strict=False):
            axes.set_title(plain(label))
        return dict(zip(self._labels, grid.flat, strict=False))

    def _describe_x(self, axes: Axes) -> None:
        """Add ticks and label. Long names stand at an angle, and the figure grows so that the curves keep their height."""
        if not self._ticks:
            axes.set_xlabel("relative depth (0: first layer, 1: last)" if self._relative else "layer")
            return
        names = short_names(self._ticks)
        shown = tick_numbers(len(names))
        longest = max(len(names[k]) for k in shown)
        upright = longest <= 2 or longest * len(shown) <= 36
        turned = {} if upright else {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
        size = SMALL if len(shown) <= 14 else SMALL - 1
        axes.set_xticks(shown, [plain(names[k]) for k in shown], size=size, **turned)
        if upright:
            axes.set_xlabel("layer")
        elif axes.get_subplotspec().colspan.start == 0:  # once a row
            self.figure.set_figheight(self.figure.get_figheight() + 0.045 * longest)

    def _draw_references(self, axes: Axes, references: Mapping[str, float]) -> list[Line2D]:
        """Draw lines across the axes, the lowest first; their labels are the names with the values."""
        lines = []
        for label, value in sorted(references.items(), key=lambda item: item[1]):
            words = f"{label} {value:.1f}" if abs(value) >= 10 else f"{label} {value:.3g}"
            look = self.look(label, "") if self._by_run and label in self._runs else {"color": QUIET}
            stroke = STROKES[self._runs.index(label) % len(STROKES)] if label in self._runs else STROKES[-1]
            look = {"color": look["color"], "linestyle": stroke, "linewidth": 0.9}
            lines.append(axes.axhline(value, zorder=1, label=words, **look))
        return lines

    def _legend(self, references: Sequence[Line2D]) -> None:
        """Explain curves by colour, runs by strokes in grey (or by colour, where colours are the runs'), and references."""
        if self._by_run:
            curve = "" if self._apart else self._labels[0]
            named = [(": ".join(filter(None, (run, curve))), run) for run in self._runs]
            entries = [(words, self.look(run, self._labels[0])) for words, run in named if words]
        else:
            entries = [(label, self.look(self._runs[0], label)) for label in self._labels]
            if len(self._runs) > 1:
                strokes = [self.look(run, self._labels[0])["linestyle"] for run in self._runs]
                entries += [(run, {"color": QUIET, "linestyle": s}) for run, s in zip(self._runs, strokes, strict=True)]
        handles = [*(Line2D([], [], **look) for _, look in entries), *references]
        legend_below(
            self.figure, handles, [*(words for words, _ in entries), *(line.get_label() for line in references)]
        )


@paper_style
def curves_by_depth(
    curves: Mapping[str, Curve] | Mapping[str, Mapping[str, Curve]],
    *,
    ylabel: str,
    scale: Literal["linear", "log"] = "linear",
    reference: Mapping[str, float] | None = None,
    axis: AxisKind = "auto",
) -> Figure:
    """Draw one line per curve: any number per layer, such as a within/between ratio or an effective rank.

    Colours and markers are the curves', strokes the runs'; with one curve per run or in a panel, colours are the runs'.

    Args:
        curves: {curve: [(layer, value), ...]} in depth order, or {run: that}. A curve may leave layers out.
        ylabel: with the unit.
        reference: {label: value}, horizontal lines that the legend names; one with a run's name has the run's colour if the
            runs have colours.

    Raises UserError for no layers, and for a layer that a curve has twice.
    """
    runs = by_run(curves, inner=Mapping)
    panels = DepthPanels(runs, axis)
    for run, own in runs.items():
        for label, curve in own.items():
            values = [value if np.isfinite(value) else np.nan for _, value in curve]
            places = panels.positions(run, [name for name, _ in curve])
            panels.axes[label].plot(places, values, **panels.look(run, label))
    panels.finish(ylabel, reference=reference, log=scale == "log")
    return panels.figure


def accuracy_by_depth(
    curves: Mapping[str, Curve] | Mapping[str, Mapping[str, Curve]],
    *,
    reference: Mapping[str, float] | None = None,
    ylabel: str = "test accuracy (%)",
    axis: AxisKind = "auto",
) -> Figure:
    """Draw the accuracies in % of simple classifiers on each layer (Oyallon, CVPR 2017), such as "1-NN" and "SVM".

    Args:
        curves: {classifier: [(layer, accuracy), ...]}, or {run: that}.
        reference: {label: accuracy}, such as that of the network itself: horizontal lines.
    """
    return curves_by_depth(curves, ylabel=ylabel, reference=reference, axis=axis)
