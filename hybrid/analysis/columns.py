"""The numbers and arrays that an analysis keeps of each measurement of a layer, and the columns of its table.

A name is `measure.detail`: "boundary.nested_1" is a column of the table, "boundary.nested" an array for figures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from hybrid.analysis.boundary import BoundaryCounts
from hybrid.analysis.contraction import ClassDistances, ContractionRatios
from hybrid.analysis.jacobian import JacobianNorms
from hybrid.analysis.layers import Layer
from hybrid.analysis.rotation import RotationChange
from hybrid.analysis.separation import Separation
from hybrid.analysis.shift_consistency import ShiftConsistency
from hybrid.analysis.spectra import ClassSpectra

_SPECTRA = 20_000  # eigenvalues that are kept of each layer; above it, their mean over the classes
_ORDER = (
    "contraction",
    "step",
    "classes",
    "spectra",
    "separation",
    "boundary",
    "probe",
    "jacobian",
    "stability",
    "rotation",
    "shift_consistency",
)
OF_VECTORS = ("classes", "spectra", "separation", "boundary", "probe")  # measured on one vector per image

Numbers, Arrays = dict[str, float], dict[str, Any]


@dataclass
class LayerFound:
    """The measurements of one layer so far.

    dimension: of its vectors, after pooling. constant: how many of their coordinates do not vary. vectors: how they were made,
    as `Features.vectors` says. All three are None where no vectors were measured.
    """

    layer: Layer
    vectors: str | None = None
    dimension: int | None = None
    constant: int | None = None
    numbers: dict[str, float] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, measure: str, found: Any) -> None:
        """Keep the numbers and arrays of a measurement: `measure` is a name of `AnalysisSettings.measures`, or "step"."""
        prefix = _PREFIX.get(measure, measure)
        numbers, arrays = _KEPT[measure](found)
        self.numbers |= {f"{prefix}.{name}": value for name, value in numbers.items() if math.isfinite(value)}
        self.arrays |= {f"{prefix}.{name}": as_array(value) for name, value in arrays.items()}

    def about(self) -> dict[str, Any]:
        """The layer as JSON: what it is, and its numbers in the order of the table's columns."""
        described = {name: getattr(self.layer, name) for name in ("name", "kind", "depth", "order", "channels")}
        sizes = {"vectors": self.vectors, "dimension": self.dimension, "constant": self.constant}
        return {**described, **sizes, "numbers": {name: self.numbers[name] for name in in_order(self.numbers)}}


def in_order(names: Iterable[str]) -> list[str]:
    """Names of numbers or arrays, measure by measure."""
    return sorted(names, key=lambda name: _ORDER.index(measure_of(name)))


def measure_of(name: str) -> str:
    """ "boundary" of "boundary.nested_1"."""
    return name.partition(".")[0]


def as_array(value: Any) -> np.ndarray:
    """A tensor or sequence as an array; float64 becomes float32, for figures need no more."""
    array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
    return array.astype(np.float32) if array.dtype == np.float64 else array


def _ratios(found: ContractionRatios) -> tuple[Numbers, Arrays]:
    groups = found.summary((0.5,))
    numbers = {group: groups[group].quantiles[0.5] for group in ("same", "different")}
    return {**numbers, "expanded": 100 * groups["all"].expanded}, {"same": found.same, "different": found.different}


def _classes(found: ClassDistances) -> tuple[Numbers, Arrays]:
    numbers = {"within": found.mean_within, "between": found.mean_between, "ratio": found.ratio}
    return numbers, {"labels": found.classes, "within": found.within}


def _spectra(found: ClassSpectra) -> tuple[Numbers, Arrays]:
    numbers = {"effective_rank": float(found.effective_rank.mean())}
    numbers["participation_ratio"] = float(found.participation_ratio.mean())
    values = found.eigenvalues
    return numbers, {"eigenvalues": values if values.numel() <= _SPECTRA else values.mean(0, keepdim=True)}


def _separation(found: Separation) -> tuple[Numbers, Arrays]:
    numbers = {"same_median": float(found.same.median()), "other_median": float(found.other.median())}
    numbers["other_minimum"] = found.minimum()
    return numbers, {"same": found.same, "other": found.other, "nearest_is_same": found.nearest_is_same}


def _boundary(found: BoundaryCounts) -> tuple[Numbers, Arrays]:
    share, last = 100 / found.samples, found.k_max
    numbers = {"nested_1": found.nested[0] * share, f"nested_{last}": found.nested[-1] * share}
    numbers |= {f"plain_{last}": found.plain[-1] * share, f"plurality_{last}": found.plurality[-1] * share}
    return numbers, {kind: getattr(found, kind) for kind in ("nested", "plain", "plurality")}


def _jacobian(found: JacobianNorms) -> tuple[Numbers, Arrays]:
    numbers = {"median": float(found.values.median()), "largest": float(found.values.max())}
    return numbers, {"values": found.values, "converged": found.converged}


def _rotation(found: RotationChange) -> tuple[Numbers, Arrays]:
    medians = found.changes.median(1).values
    return {"change": float(medians.mean())}, {"angles": found.angles, "change": medians}


def _shift_consistency(found: ShiftConsistency) -> tuple[Numbers, Arrays]:
    rates = {"flips": found.flip_rate, "diagonal_flips": found.diagonal_flip_rate}
    return rates, {"flips": found.flips.double().mean(1)}


_PREFIX = {"released_boundary": "boundary", "probes": "probe"}
_KEPT: Mapping[str, Callable[[Any], tuple[Numbers, Arrays]]] = {
    "contraction": _ratios,
    "step": _ratios,
    "classes": _classes,
    "spectra": _spectra,
    "separation": _separation,
    "boundary": _boundary,
    "released_boundary": lambda counts: ({}, {"released": counts}),
    "probes": lambda accuracies: (accuracies, {}),
    "jacobian": _jacobian,
    "rotation": _rotation,
    "shift_consistency": _shift_consistency,
}
