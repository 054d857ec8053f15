"""What an analysis found, layer by layer, and in two plainer shapes: numbers for tables and logs, arrays for figures."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from hybrid.analysis.boundary import BoundaryCounts
from hybrid.analysis.contraction import ClassDistances, ContractionRatios
from hybrid.analysis.jacobian import JacobianNorms
from hybrid.analysis.layers import Layer
from hybrid.analysis.record import Record
from hybrid.analysis.separation import Separation
from hybrid.analysis.settings import AnalysisSettings
from hybrid.analysis.spectra import ClassSpectra
from hybrid.analysis.stability import Stability

_SPECTRA = 20_000  # eigenvalues that are kept of each layer; above it, their mean over the classes


@dataclass(frozen=True, kw_only=True)
class LayerReport:
    """The measurements of one layer; None where one was not wanted or not possible.

    dimension: of the vectors, after pooling; constant: how many of their coordinates did not vary. contraction: distances of
    pairs over those of the model's inputs; step: over those in the layer before. The rest: see each type.
    """

    layer: Layer
    dimension: int | None = None
    constant: int | None = None
    contraction: ContractionRatios | None = None
    step: ContractionRatios | None = None
    classes: ClassDistances | None = None
    spectra: ClassSpectra | None = None
    separation: Separation | None = None
    boundary: BoundaryCounts | None = None
    released_boundary: tuple[int, ...] | None = None
    probes: dict[str, float] = field(default_factory=dict)
    jacobian: JacobianNorms | None = None

    def numbers(self) -> dict[str, float]:
        """measure.detail -> value: medians of ratios, shares in %, accuracies in %, distances in the features' unit."""
        values: dict[str, float] = {}
        for name, ratios in (("contraction", self.contraction), ("step", self.step)):
            if ratios is not None:
                groups = ratios.summary((0.5,))
                values |= {f"{name}.{group}": groups[group].quantiles[0.5] for group in ("same", "different")}
                values[f"{name}.expanded"] = 100 * groups["all"].expanded
        if self.classes is not None:
            values |= {"classes.within": self.classes.mean_within, "classes.between": self.classes.mean_between}
            values["classes.ratio"] = self.classes.ratio
        if self.spectra is not None:
            values["spectra.effective_rank"] = float(self.spectra.effective_rank.mean())
            values["spectra.participation_ratio"] = float(self.spectra.participation_ratio.mean())
        if self.separation is not None:
            values |= _separation_numbers(self.separation)
        if self.boundary is not None:
            values |= _boundary_numbers(self.boundary)
        values |= {f"probe.{name}": accuracy for name, accuracy in self.probes.items()}
        if self.jacobian is not None:
            values["jacobian.median"] = float(self.jacobian.values.median())
            values["jacobian.largest"] = float(self.jacobian.values.max())
        return {name: value for name, value in values.items() if math.isfinite(value)}

    def arrays(self) -> dict[str, np.ndarray]:
        """quantity -> array, for figures."""
        found: dict[str, Any] = {}
        for name, ratios in (("contraction", self.contraction), ("step", self.step)):
            if ratios is not None:
                found |= {f"{name}.same": ratios.same, f"{name}.different": ratios.different}
        if self.classes is not None:
            found |= {"classes.labels": self.classes.classes, "classes.within": self.classes.within}
        if self.spectra is not None:
            values = self.spectra.eigenvalues
            found["spectra.eigenvalues"] = values if values.numel() <= _SPECTRA else values.mean(0, keepdim=True)
        if self.separation is not None:
            found |= {"separation.same": self.separation.same, "separation.other": self.separation.other}
            found["separation.nearest_is_same"] = self.separation.nearest_is_same
        if self.boundary is not None:
            found |= {f"boundary.{kind}": getattr(self.boundary, kind) for kind in ("nested", "plain", "plurality")}
        if self.released_boundary is not None:
            found["boundary.released"] = self.released_boundary
        if self.jacobian is not None:
            found |= {"jacobian.values": self.jacobian.values, "jacobian.converged": self.jacobian.converged}
        return {name: _array(value) for name, value in found.items()}


@dataclass(frozen=True, kw_only=True)
class Report:
    """An analysis of a model.

    images, test_images: how many were measured. J: of its scattering transform, None without one. problems: what could not be
    measured, and why.
    """

    layers: tuple[LayerReport, ...]
    stability: dict[str, Stability]
    images: int
    test_images: int
    J: int | None
    settings: AnalysisSettings
    problems: tuple[str, ...]

    def record(self, **about: Any) -> Record:
        """Everything that figures need; `about` is added to what the record says of itself."""
        layers = [
            {**dataclasses.asdict(each.layer), "dimension": each.dimension, "constant": each.constant}
            | {"numbers": each.numbers()}
            for each in self.layers
        ]
        arrays = {f"{each.layer.name}: {name}": value for each in self.layers for name, value in each.arrays().items()}
        for kind, found in self.stability.items():
            medians = found.quantiles((0.5,))
            arrays |= {f"{name}: stability.{kind}": _array(value[0]) for name, value in medians.items()}
        described = {
            "layers": layers,
            "stability": {kind: _described(found) for kind, found in self.stability.items()},
            "images": self.images,
            "test_images": self.test_images,
            "J": self.J,
            "settings": dataclasses.asdict(self.settings),
            "problems": list(self.problems),
        }
        return Record({**about, **described}, arrays)


def _described(found: Stability) -> dict[str, Any]:
    moves = found.displacement is not None and found.gradient is not None
    return {
        "label": found.label,
        "strengths": list(found.strengths),
        "displacement": found.displacement.mean(1).tolist() if moves else None,
        "gradient": found.gradient.mean(1).tolist() if moves else None,
    }


def _separation_numbers(found: Separation) -> dict[str, float]:
    return {
        "separation.same_median": float(found.same.median()),
        "separation.other_median": float(found.other.median()),
        "separation.other_minimum": float(found.other.min()),
    }


def _boundary_numbers(found: BoundaryCounts) -> dict[str, float]:
    """In % of the images."""
    share, last = 100 / found.samples, len(found.nested)
    numbers = {"boundary.nested_1": found.nested[0] * share, f"boundary.nested_{last}": found.nested[-1] * share}
    numbers[f"boundary.plain_{last}"] = found.plain[-1] * share
    numbers[f"boundary.plurality_{last}"] = found.plurality[-1] * share
    return numbers


def _array(value: Any) -> np.ndarray:
    """float32 for distances and the like: figures need no more."""
    array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
    return array.astype(np.float32) if array.dtype == np.float64 else array
