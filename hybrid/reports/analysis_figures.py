"""Draw the figures of an analysis, or of several analyses laid over each other.

The figures themselves are in depth_figures, depth_distributions, layer_figures and stability_figures. They take plain arrays;
here these arrays are taken from the analyses.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from hybrid.reports.captions import OF_MAPS, captioned, with_true_names
from hybrid.reports.depth_distributions import contraction_ratios, intra_class_distances, jacobian_norms
from hybrid.reports.depth_figures import accuracy_by_depth, curves_by_depth
from hybrid.reports.layer_figures import boundary_curves, class_spectra, cumulative_distances
from hybrid.reports.stability_figures import StabilityPanel, stability_curves

if TYPE_CHECKING:  # its package loads torch, which drawing does not need
    from hybrid.analysis.result import Analysis

Analyses = Mapping[str, "Analysis"]
# A run draws these while it trains. The others show details, or numbers that are curves in TensorBoard already.
MAIN_FIGURES = (
    "accuracy_by_depth",
    "boundary",
    "cumulative_distances",
    "spectra",
    "intra_class_distances",
    "contraction",
    "jacobian",
    "stability",
    "rotation",
)
ROTATION_LABEL, ROTATION_YLABEL = "rotation (degrees)", "change / distance of two images"
PROBES = {"probe.1nn": "1-NN", "probe.knn": "k-NN", "probe.linear": "linear", "probe.svm": "SVM"}


def analysis_figures(
    analyses: Analyses,
    *,
    reference: Mapping[str, float] | None = None,
    only: Collection[str] | None = None,
    stacked: bool = False,
) -> dict[str, Figure]:
    """Draw every figure that the measurements of these analyses allow: name -> figure.

    Args:
        analyses: {run: analysis}; a single run may be named "".
        reference: {run: accuracy in %} of the networks themselves, drawn as lines in "accuracy_by_depth".
        only: the names of the figures to draw; None draws all.
        stacked: put panels below each other, so that no figure is wider than a column. TensorBoard's cards are that narrow.
    """
    makers = {
        "accuracy_by_depth": lambda analyses: _accuracy(analyses, reference),
        **_FIGURES,
        "cumulative_distances": lambda analyses: _distances(analyses, stacked=stacked),
    }
    named = {run: with_true_names(analysis) for run, analysis in analyses.items()}
    drawn = {}
    for name, make in makers.items():
        own = analyses if name in OF_MAPS else named
        if (only is None or name in only) and (figure := make(own)) is not None:
            drawn[name] = captioned(figure, own, name)
    if (only is None or "rotation" in only) and (figure := _rotation(analyses)) is not None:
        drawn["rotation"] = captioned(figure, analyses, "rotation")
    if only is None or "stability" in only:
        drawn |= _stability(analyses, stacked=stacked)
    return drawn


def _accuracy(analyses: Analyses, reference: Mapping[str, float] | None = None) -> Figure | None:
    probes = {label: _number(analyses, number) for number, label in PROBES.items()}
    curves = {run: {label: own[run] for label, own in probes.items() if run in own} for run in analyses}
    curves = {run: own for run, own in curves.items() if own}
    splits = sorted({str(analysis.about.get("probe_split") or "test") for analysis in analyses.values()})
    ylabel = f"{' or '.join(splits)} accuracy (%)"
    return accuracy_by_depth(_flat(curves), reference=reference, ylabel=ylabel) if curves else None


def _boundary(analyses: Analyses, kind: str, ylabel: str) -> Figure | None:
    layers = _arrays(analyses, f"boundary.{kind}", convert=lambda counts: counts.tolist())
    samples = max(analysis.about["images"] for analysis in analyses.values())
    if not layers or len({analysis.about["images"] for analysis in analyses.values()}) > 1:
        return None  # counts among different numbers of images do not compare
    return boundary_curves(_flat(layers), samples=samples, ylabel=ylabel)


def _distances(analyses: Analyses, *, stacked: bool) -> Figure | None:
    units, xlabel = _units(analyses)
    layers = {
        run: [(name, same / units[run][name], other / units[run][name]) for name, same, other in own]
        for run, own in _in_sequence(analyses, _pairs(analyses, "separation.same", "separation.other")).items()
    }
    return cumulative_distances(_flat(layers), xlabel=xlabel, stacked=stacked) if layers else None


def _nearest(analyses: Analyses) -> Figure | None:
    """Draw the published form: distances to the nearest other image, split by whether that image has the same label."""
    layers: dict[str, list] = {}
    units, xlabel = _units(analyses)
    for run, analysis in analyses.items():
        for name in analysis.layers:
            same, other, own = (
                analysis.array(name, f"separation.{key}") for key in ("same", "other", "nearest_is_same")
            )
            if same is not None and own.any() and not own.all():
                nearest = np.minimum(same, other) / units[run][name]
                layers.setdefault(run, []).append((name, nearest[own], nearest[~own]))
    layers = _in_sequence(analyses, layers)
    titles = ("nearest image, of the same class", "nearest image, of another class")
    return cumulative_distances(_flat(layers), titles=titles, xlabel=xlabel) if layers else None


def _spectra(analyses: Analyses) -> Figure | None:
    layers = _arrays(analyses, "spectra.eigenvalues")
    return class_spectra(_flat(layers)) if layers else None


def _intra_class(analyses: Analyses) -> Figure | None:
    classes: dict[str, dict[str, list]] = {}
    units, distance = _units(analyses)
    for run, analysis in analyses.items():
        names = analysis.about.get("class_names")
        for layer in [each["name"] for each in analysis.about["layers"] if each["order"] is None]:
            labels, within = analysis.array(layer, "classes.labels"), analysis.array(layer, "classes.within")
            for label, value in zip(labels, within, strict=True) if labels is not None else ():
                name = names[label] if names else f"class {label}"
                classes.setdefault(run, {}).setdefault(name, []).append((layer, float(value) / units[run][layer]))
    return intra_class_distances(_flat(classes), ylabel=f"mean intra-class {distance}") if classes else None


def _ratios(analyses: Analyses, name: str, ylabel: str) -> Figure | None:
    layers = _in_sequence(analyses, _pairs(analyses, f"{name}.same", f"{name}.different"))
    return contraction_ratios(_flat(layers), ylabel=ylabel) if layers else None


def _jacobian(analyses: Analyses) -> Figure | None:
    layers = _in_sequence(analyses, _arrays(analyses, "jacobian.values"))
    return jacobian_norms(_flat(layers)) if layers else None


def _curves(analyses: Analyses, number: str, ylabel: str) -> Figure | None:
    curves = {run: {"": curve} for run, curve in _number(analyses, number).items()}
    return curves_by_depth(_flat(curves), ylabel=ylabel) if curves else None


def _stability(analyses: Analyses, *, stacked: bool) -> dict[str, Figure]:
    """Draw one figure per run, because the layers of two networks do not share a colour map."""
    found = {}
    for run, analysis in analyses.items():
        panels = {
            about["label"]: StabilityPanel(
                about["strengths"], _layer_medians(analysis, kind), _bound(about, analysis.about.get("J"))
            )
            for kind, about in analysis.about["stability"].items()
        }
        if panels:
            figure = captioned(stability_curves(panels, stacked=stacked), {"": analysis}, "stability")
            found[f"stability_{run}" if run else "stability"] = figure
    return found


def _rotation(analyses: Analyses) -> Figure | None:
    """Draw the change by rotations: of one run all layers, of several runs beside one another a few of each.

    These are the pixels, once, and of each run its scattering and its last non-linearity.
    """
    curves = {
        run: {name: (analysis.array(name, "rotation.angles"), change) for name, change in own}
        for run, own in _in_sequence(analyses, _arrays(analyses, "rotation.change")).items()
        for analysis in [analyses[run]]
    }
    if not curves:
        return None
    angles = next(angles for own in curves.values() for angles, _ in own.values())
    chosen = [
        (f"{run}: {name}" if run and kind != "pixels" else name, curves[run][name][1])
        for run, own in curves.items()
        for name, kind in _shown(analyses[run], own, all_of_them=len(analyses) == 1, first=run == next(iter(curves)))
        if np.array_equal(curves[run][name][0], angles)
    ]
    return stability_curves({ROTATION_LABEL: StabilityPanel(angles, chosen)}, ylabel=ROTATION_YLABEL)


def _shown(analysis: Analysis, own: Mapping[str, Any], *, all_of_them: bool, first: bool) -> list[tuple[str, str]]:
    """(name, kind) of the layers that the figure of rotations shows of one run."""
    kinds = [(each["name"], each["kind"]) for each in analysis.about["layers"] if each["name"] in own]
    if all_of_them:
        return kinds
    last = [each for each in kinds if each[1] not in ("pixels", "scattering", "logits")][-1:]
    return [each for each in kinds if each[1] == "scattering" or (each[1] == "pixels" and first)] + last


def _layer_medians(analysis: Analysis, kind: str) -> list[tuple[str, np.ndarray]]:
    values = [(name, analysis.array(name, f"stability.{kind}")) for name in analysis.layers]
    return [(name, curve) for name, curve in values if curve is not None]


def _bound(about: Mapping[str, Any], J: int | None) -> np.ndarray | None:
    """2^-J ‖τ‖∞ + ‖∇τ‖∞ (Mallat 2012, Theorem 2.12, with C = 1), for models with a scattering transform."""
    if J is None or about["displacement"] is None:
        return None
    return 2.0**-J * np.array(about["displacement"]) + np.array(about["gradient"])


def _arrays(analyses: Analyses, quantity: str, *, convert: Callable = lambda array: array) -> dict[str, list]:
    """Return {run: [(layer, array), …]} for the layers that have the quantity."""
    found: dict[str, list] = {}
    for run, analysis in analyses.items():
        for name in analysis.layers:
            if (array := analysis.array(name, quantity)) is not None:
                found.setdefault(run, []).append((name, convert(array)))
    return found


def _number(analyses: Analyses, number: str) -> dict[str, list]:
    """Return {run: [(layer, value), …]} of the layers in sequence, for the runs that have any."""
    return _in_sequence(
        analyses, {run: curve for run, analysis in analyses.items() if (curve := analysis.curve(number))}
    )


def _pairs(analyses: Analyses, first: str, second: str) -> dict[str, list]:
    """Return {run: [(layer, first array, second array), …]}. A layer has both arrays or none; an array may be empty."""
    one, other = _arrays(analyses, first), _arrays(analyses, second)
    return {run: [(name, a, b) for (name, a), (_, b) in zip(one[run], other[run], strict=True)] for run in one}


def _flat(runs: Mapping[str, Any]) -> Any:
    """Return the data alone where the only run is named ""."""
    return runs[""] if list(runs) == [""] else runs


def _in_sequence(analyses: Analyses, layers: Mapping[str, list]) -> dict[str, list]:
    """Leave out S0, S1 and S2: they are parts of "scattering", side by side, and no line leads through them."""
    parts = {
        run: {layer["name"] for layer in analysis.about["layers"] if layer["order"] is not None}
        for run, analysis in analyses.items()
    }
    return {run: [layer for layer in own if layer[0] not in parts[run]] for run, own in layers.items()}


def _units(analyses: Analyses) -> tuple[dict[str, dict[str, float]], str]:
    """Return the unit of each layer's distances, by which they are divided, and the axis label.

    The distance of two independent standardised vectors of D coordinates is about √(2D); where layers differ in D,
    distances in that unit can be compared, and 1 means "like two unrelated images".
    """
    sizes = {
        run: {layer["name"]: layer["dimension"] for layer in analysis.about["layers"]}
        for run, analysis in analyses.items()
    }
    standardized = all(analysis.about["settings"]["standardize"] for analysis in analyses.values())
    if standardized and len({size for own in sizes.values() for size in own.values()}) > 1:
        units = {run: {name: (2 * (size or 1)) ** 0.5 for name, size in own.items()} for run, own in sizes.items()}
        return units, "distance / √(2·dimension)"
    label = "distance of standardised features" if standardized else "distance"
    return {run: dict.fromkeys(own, 1.0) for run, own in sizes.items()}, label


_FIGURES: dict[str, Callable[[Analyses], Figure | None]] = {
    "boundary": lambda analyses: _boundary(analyses, "nested", "boundary points"),
    "boundary_released": lambda analyses: _boundary(analyses, "released", "boundary points, released procedure"),
    "nearest_distances": _nearest,
    "spectra": _spectra,
    "intra_class_distances": _intra_class,
    "contraction": lambda analyses: _ratios(analyses, "contraction", "‖Φx − Φx'‖ / ‖x − x'‖"),
    "contraction_step": lambda analyses: _ratios(analyses, "step", "distance over that in the layer before"),
    "jacobian": _jacobian,
    "within_between": lambda analyses: _curves(analyses, "classes.ratio", "within / between class distance"),
    "effective_rank": lambda analyses: _curves(analyses, "spectra.effective_rank", "effective rank of a class"),
}
