"""A quantity against depth, one point per layer: accuracies, distances, contraction ratios, Jacobian norms.

Every function takes the data of one run, or a mapping of runs' names to such data, which are overlaid:

    accuracy_by_depth({"1-NN": [("pixels", 35.1), ("relu1", 47.3), ...], "SVM": [...]})
    accuracy_by_depth({"scat_resnet": {"1-NN": [...]}, "resnet18": {"1-NN": [...]}}, reference={"resnet18": 95.1})

Runs with the same layers have the layers' names on the x axis. Runs with different ones have the relative depth: a
layer's place among its run's layers, 0 for the first (pixels) and 1 for the last (logits), because "how far on the way from the
image to the decision" is what networks of different length have in common; `axis="layer"` counts layers instead.
A value that is not finite is a gap.
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
    QUIET,
    SMALL,
    STROKES,
    heights,
    label_y,
    legend_above,
    log_scale,
    new_panels,
    paper_style,
    plain,
    spread,
)

AxisKind = Literal["auto", "relative", "layer"]
Curve = Sequence[tuple[str, float]]
Samples = Sequence[tuple[str, ArrayLike]]
_LINE = 9.5  # points from one name to the next


class DepthAxis:
    """Where the layers of each run lie on a common x axis; see the module's docstring for the kinds."""

    def __init__(self, layers: Mapping[str, Sequence[str]], kind: AxisKind = "auto") -> None:
        if kind not in ("auto", "relative", "layer"):
            raise UserError(f"unknown axis: {kind}. Valid: auto, layer, relative.")
        self._layers = {run: list(names) for run, names in layers.items()}
        first = next(iter(self._layers.values()))
        self._same = all(names == first for names in self._layers.values())
        self._relative = kind == "relative" or (kind == "auto" and not self._same)
        self._ticks = first if self._same and not self._relative else []

    def positions(self, run: str, names: Sequence[str]) -> np.ndarray:
        """x of these layers of the run."""
        every = self._layers[run]
        places = np.array([every.index(name) for name in names], dtype=float)
        return places / max(1, len(every) - 1) if self._relative else places

    def describe(self, axes: Axes) -> None:
        """Ticks and label. Long names stand at an angle, and the figure grows so that the curves keep their height."""
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
        else:
            figure = axes.figure
            figure.set_figheight(figure.get_figheight() + 0.045 * longest)


@paper_style
def curves_by_depth(
    curves: Mapping[str, Curve] | Mapping[str, Mapping[str, Curve]],
    *,
    ylabel: str,
    scale: Literal["linear", "log"] = "linear",
    reference: Mapping[str, float] | None = None,
    axis: AxisKind = "auto",
) -> Figure:
    """One line per curve: any number per layer, such as a within/between ratio, an effective rank, the share of expanded pairs.

    Colours and markers are the curves', strokes the runs'; with one curve per run, colours are the runs'.

    Args:
        curves: {curve: [(layer, value), ...]} in depth order, or {run: that}. A curve may leave layers out.
        ylabel: with the unit.
        reference: {label: value}, horizontal lines; one with a run's name has the run's colour if the runs have colours.

    Raises UserError for no layers, and for a layer that a curve has twice.
    """
    runs = by_run(curves, inner=Mapping)
    layers = {run: layer_order([[name for name, _ in curve] for curve in own.values()]) for run, own in runs.items()}
    depth = DepthAxis(layers, axis)
    ((axes,),) = new_panels(COLUMN, 2.4)
    look = Looks(runs, [label for own in runs.values() for label in own])
    for run, own in runs.items():
        for label, curve in own.items():
            values = [value if np.isfinite(value) else np.nan for _, value in curve]
            axes.plot(depth.positions(run, [name for name, _ in curve]), values, **look.of(run, label))
    label_y(axes, ylabel)
    depth.describe(axes)
    if scale == "log":
        log_scale(axes)
    look.legend(axes.figure)
    _draw_references(axes, reference or {}, look)
    return axes.figure


def accuracy_by_depth(
    curves: Mapping[str, Curve] | Mapping[str, Mapping[str, Curve]],
    *,
    reference: Mapping[str, float] | None = None,
    ylabel: str = "test accuracy (%)",
    axis: AxisKind = "auto",
) -> Figure:
    """Accuracies in % of simple classifiers on each layer (Oyallon, CVPR 2017), such as "1-NN" and "SVM".

    Args:
        curves: {classifier: [(layer, accuracy), ...]}, or {run: that}.
        reference: {label: accuracy}, such as that of the network itself: horizontal lines.
    """
    return curves_by_depth(curves, ylabel=ylabel, reference=reference, axis=axis)


class Looks:
    """Colour, stroke and marker of a curve of a run, and the legend that explains them."""

    def __init__(
        self, runs: Sequence[str] | Mapping[str, object], labels: Sequence[str], *, markers: bool = True
    ) -> None:
        self._runs, self._labels = list(runs), list(dict.fromkeys(labels))
        self._by_run = len(self._labels) == 1
        self._markers = markers

    def of(self, run: str, label: str) -> dict[str, object]:
        """Properties of a line."""
        place = self._runs.index(run)
        colour = place if self._by_run else self._labels.index(label)
        look = {"color": COLOURS[colour % len(COLOURS)], "linestyle": STROKES[place % len(STROKES)]}
        if self._markers:
            look |= {"marker": MARKERS[colour % len(MARKERS)], "markerfacecolor": "white" if place % 2 else None}
        return {name: value for name, value in look.items() if value is not None}

    def reference(self, label: str) -> dict[str, object]:
        """Colour and stroke of a reference line: its run's; grey where colours tell curves apart."""
        own = self.of(label, "") if self._by_run and label in self._runs else {"color": QUIET}
        stroke = STROKES[self._runs.index(label) % len(STROKES)] if label in self._runs else STROKES[-1]
        return {"color": own["color"], "linestyle": stroke}

    def legend(self, figure: Figure) -> None:
        """Curves in colour; runs by their strokes in grey, or, with one curve each, in colour."""
        if self._by_run:
            named = [(": ".join(filter(None, (run, self._labels[0]))), run) for run in self._runs]
            entries = [(words, self.of(run, "")) for words, run in named if words]
        else:
            entries = [(label, self.of(self._runs[0], label)) for label in self._labels]
            if len(self._runs) > 1:
                entries += [(run, {"color": QUIET, "linestyle": self.of(run, label)["linestyle"]})
                            for run in self._runs for label in self._labels[:1]]  # fmt: skip
        legend_above(figure, [Line2D([], [], **look) for _, look in entries], [label for label, _ in entries])


def _draw_references(axes: Axes, references: Mapping[str, float], look: Looks) -> None:
    """Lines across, named at their left end, where accuracies that rise with depth leave room; the upper names above."""
    if not references:
        return
    ordered = sorted(references.items(), key=lambda item: item[1])
    for label, value in ordered:
        axes.axhline(value, linewidth=0.9, zorder=1, **look.reference(label))
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.06 * (high - low))
    places, _ = heights(axes, [value for _, value in ordered])
    above = np.arange(len(ordered)) >= len(ordered) // 2
    for (label, value), y in zip(ordered, spread(places + np.where(above, 6, -6), _LINE), strict=True):
        words = f"{plain(label)} {value:.1f}" if abs(value) >= 10 else f"{plain(label)} {value:.3g}"
        axes.annotate(words, (0, 0), (3, y), xycoords="axes fraction", textcoords="offset points", size=SMALL,
                      ha="left", va="center", color=look.reference(label)["color"])  # fmt: skip
