"""Every figure of an analysis, or of several analyses laid over each other.

The figures themselves are in depth_figures, depth_distributions, layer_figures and stability_figures. They take plain arrays;
here these arrays are taken from the analyses.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from hybrid.reports.depth_distributions import contraction_ratios, intra_class_distances, jacobian_norms
from hybrid.reports.depth_figures import accuracy_by_depth, curves_by_depth
from hybrid.reports.layer_figures import boundary_curves, class_spectra, cumulative_distances
from hybrid.reports.stability_figures import StabilityPanel, stability_curves

if TYPE_CHECKING:  # its package loads torch, which drawing does not need
    from hybrid.analysis.result import Analysis

Records = Mapping[str, "Analysis"]
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
)
PROBES = {"probe.1nn": "1-NN", "probe.knn": "k-NN", "probe.linear": "linear", "probe.svm": "SVM"}


def analysis_figures(
    records: Records,
    *,
    reference: Mapping[str, float] | None = None,
    only: Collection[str] | None = None,
    stacked: bool = False,
) -> dict[str, Figure]:
    """Every figure that these analyses have the measurements for: name -> figure; {run: record}, "" for a single run.

    reference: {run: accuracy in %} of the networks themselves, lines in "accuracy_by_depth". only: the names wanted.
    stacked: panels below each other, so that no figure is wider than a column: TensorBoard's cards are as narrow.
    """
    makers = {
        "accuracy_by_depth": lambda records: _accuracy(records, reference),
        **_FIGURES,
        "cumulative_distances": lambda records: _distances(records, stacked=stacked),
    }
    drawn = {name: make(records) for name, make in makers.items() if only is None or name in only}
    if only is None or "stability" in only:
        drawn |= _stability(records, stacked=stacked)
    return {name: figure for name, figure in drawn.items() if figure is not None}


def _accuracy(records: Records, reference: Mapping[str, float] | None = None) -> Figure | None:
    probes = {label: _number(records, number) for number, label in PROBES.items()}
    curves = {run: {label: own[run] for label, own in probes.items() if run in own} for run in records}
    curves = {run: own for run, own in curves.items() if own}
    splits = sorted({str(record.about.get("probe_split") or "test") for record in records.values()})
    ylabel = f"{' or '.join(splits)} accuracy (%)"
    return accuracy_by_depth(_flat(curves), reference=reference, ylabel=ylabel) if curves else None


def _boundary(records: Records, kind: str, ylabel: str) -> Figure | None:
    layers = _arrays(records, f"boundary.{kind}", convert=lambda counts: counts.tolist())
    samples = max(record.about["images"] for record in records.values())
    if not layers or len({record.about["images"] for record in records.values()}) > 1:
        return None  # counts among different numbers of images do not compare
    return boundary_curves(_flat(layers), samples=samples, ylabel=ylabel)


def _distances(records: Records, *, stacked: bool) -> Figure | None:
    units, xlabel = _units(records)
    layers = {
        run: [(name, same / units[run][name], other / units[run][name]) for name, same, other in own]
        for run, own in _pairs(records, "separation.same", "separation.other").items()
    }
    return cumulative_distances(_flat(layers), xlabel=xlabel, stacked=stacked) if layers else None


def _nearest(records: Records) -> Figure | None:
    """As published: the distance to the nearest other image, apart by whether it has the same label."""
    layers: dict[str, list] = {}
    units, xlabel = _units(records)
    for run, record in records.items():
        for name in record.layers:
            same, other, own = (record.array(name, f"separation.{key}") for key in ("same", "other", "nearest_is_same"))
            if same is not None and own.any() and not own.all():
                nearest = np.minimum(same, other) / units[run][name]
                layers.setdefault(run, []).append((name, nearest[own], nearest[~own]))
    titles = ("nearest image, of the same class", "nearest image, of another class")
    return cumulative_distances(_flat(layers), titles=titles, xlabel=xlabel) if layers else None


def _spectra(records: Records) -> Figure | None:
    layers = _arrays(records, "spectra.eigenvalues")
    return class_spectra(_flat(layers)) if layers else None


def _intra_class(records: Records) -> Figure | None:
    classes: dict[str, dict[str, list]] = {}
    units, distance = _units(records)
    for run, record in records.items():
        names = record.about.get("class_names")
        for layer in record.layers:
            labels, within = record.array(layer, "classes.labels"), record.array(layer, "classes.within")
            for label, value in zip(labels, within, strict=True) if labels is not None else ():
                name = names[label] if names else f"class {label}"
                classes.setdefault(run, {}).setdefault(name, []).append((layer, float(value) / units[run][layer]))
    return intra_class_distances(_flat(classes), ylabel=f"mean intra-class {distance}") if classes else None


def _ratios(records: Records, name: str, ylabel: str) -> Figure | None:
    layers = _in_sequence(records, _pairs(records, f"{name}.same", f"{name}.different"))
    return contraction_ratios(_flat(layers), ylabel=ylabel) if layers else None


def _jacobian(records: Records) -> Figure | None:
    layers = _in_sequence(records, _arrays(records, "jacobian.values"))
    return jacobian_norms(_flat(layers)) if layers else None


def _curves(records: Records, number: str, ylabel: str) -> Figure | None:
    curves = {run: {"": curve} for run, curve in _number(records, number).items()}
    return curves_by_depth(_flat(curves), ylabel=ylabel) if curves else None


def _stability(records: Records, *, stacked: bool) -> dict[str, Figure]:
    """One figure per run: the layers of two networks do not share a colour map."""
    found = {}
    for run, record in records.items():
        panels = {
            about["label"]: StabilityPanel(
                about["strengths"], _layer_medians(record, kind), _bound(about, record.about.get("J"))
            )
            for kind, about in record.about["stability"].items()
        }
        if panels:
            found[f"stability_{run}" if run else "stability"] = stability_curves(panels, stacked=stacked)
    return found


def _layer_medians(record: Analysis, kind: str) -> list[tuple[str, np.ndarray]]:
    values = [(name, record.array(name, f"stability.{kind}")) for name in record.layers]
    return [(name, curve) for name, curve in values if curve is not None]


def _bound(about: Mapping[str, Any], J: int | None) -> np.ndarray | None:
    """2^-J ‖τ‖∞ + ‖∇τ‖∞ (Mallat 2012, Theorem 2.12, with C = 1), for models with a scattering transform."""
    if J is None or about["displacement"] is None:
        return None
    return 2.0**-J * np.array(about["displacement"]) + np.array(about["gradient"])


def _arrays(records: Records, quantity: str, *, convert: Callable = lambda array: array) -> dict[str, list]:
    """{run: [(layer, array), …]} for the layers that have it."""
    found: dict[str, list] = {}
    for run, record in records.items():
        for name in record.layers:
            if (array := record.array(name, quantity)) is not None:
                found.setdefault(run, []).append((name, convert(array)))
    return found


def _number(records: Records, number: str) -> dict[str, list]:
    """{run: [(layer, value), …]} of the layers in sequence, for the runs that have any."""
    return _in_sequence(records, {run: curve for run, record in records.items() if (curve := record.curve(number))})


def _pairs(records: Records, first: str, second: str) -> dict[str, list]:
    """{run: [(layer, first array, second array), …]}; a group may be empty, a layer has both or none."""
    one, other = _arrays(records, first), _arrays(records, second)
    return {run: [(name, a, b) for (name, a), (_, b) in zip(one[run], other[run], strict=True)] for run in one}


def _flat(runs: Mapping[str, Any]) -> Any:
    """A single run named "" as its data alone."""
    return runs[""] if list(runs) == [""] else runs


def _in_sequence(records: Records, layers: Mapping[str, list]) -> dict[str, list]:
    """Without S0, S1 and S2: they are parts of "scattering", side by side, and no line leads through them."""
    parts = {
        run: {layer["name"] for layer in record.about["layers"] if layer["order"] is not None}
        for run, record in records.items()
    }
    return {run: [layer for layer in own if layer[0] not in parts[run]] for run, own in layers.items()}


def _units(records: Records) -> tuple[dict[str, dict[str, float]], str]:
    """What a layer's distances are divided by, and the axis label.

    The distance of two independent standardised vectors of D coordinates is about √(2D); where layers differ in D,
    distances in that unit can be compared, and 1 means "like two unrelated images".
    """
    sizes = {
        run: {layer["name"]: layer["dimension"] for layer in record.about["layers"]} for run, record in records.items()
    }
    standardized = all(record.about["settings"]["standardize"] for record in records.values())
    if standardized and len({size for own in sizes.values() for size in own.values()}) > 1:
        units = {run: {name: (2 * (size or 1)) ** 0.5 for name, size in own.items()} for run, own in sizes.items()}
        return units, "distance / √(2·dimension)"
    label = "distance of standardised features" if standardized else "distance"
    return {run: dict.fromkeys(own, 1.0) for run, own in sizes.items()}, label


_FIGURES: dict[str, Callable[[Records], Figure | None]] = {
    "boundary": lambda records: _boundary(records, "nested", "boundary points"),
    "boundary_released": lambda records: _boundary(records, "released", "boundary points, released procedure"),
    "nearest_distances": _nearest,
    "spectra": _spectra,
    "intra_class_distances": _intra_class,
    "contraction": lambda records: _ratios(records, "contraction", "‖Φx − Φx'‖ / ‖x − x'‖"),
    "contraction_step": lambda records: _ratios(records, "step", "distance over that in the layer before"),
    "jacobian": _jacobian,
    "within_between": lambda records: _curves(records, "classes.ratio", "within / between class distance"),
    "effective_rank": lambda records: _curves(records, "spectra.effective_rank", "effective rank of a class"),
}
