"""How representations contract space, keep classes apart and simplify their boundary: plain functions on tensors.

`analyse` makes all measurements of a model, layer by layer; the others are usable by themselves.
"""

from hybrid.analysis.analyse import analyse
from hybrid.analysis.boundary import BoundaryCounts, boundary_counts, released_boundary_counts
from hybrid.analysis.contraction import (
    ClassDistances,
    ContractionRatios,
    class_distances,
    contraction_ratios,
    contraction_ratios_of,
)
from hybrid.analysis.features import Features, Standardizer, collect, pooled
from hybrid.analysis.jacobian import JacobianNorms, jacobian_norm
from hybrid.analysis.layers import Layer, layers_of
from hybrid.analysis.measuring import Abandoned
from hybrid.analysis.nearest.neighbours import Neighbours, knn_accuracy, nearest_neighbours
from hybrid.analysis.observation import observe
from hybrid.analysis.pairs import Pairs, distances_of, pair_distances, sample_pairs
from hybrid.analysis.perturbations import PERTURBATIONS, perturb
from hybrid.analysis.probes import probe_accuracies
from hybrid.analysis.record import Record
from hybrid.analysis.report import LayerReport, Report
from hybrid.analysis.separation import Separation, separation
from hybrid.analysis.settings import AnalysisSettings
from hybrid.analysis.spectra import ClassSpectra, class_spectra
from hybrid.analysis.stability import Stability, stability

__all__ = [
    "PERTURBATIONS",
    "Abandoned",
    "AnalysisSettings",
    "BoundaryCounts",
    "ClassDistances",
    "ClassSpectra",
    "ContractionRatios",
    "Features",
    "JacobianNorms",
    "Layer",
    "LayerReport",
    "Neighbours",
    "Pairs",
    "Record",
    "Report",
    "Separation",
    "Stability",
    "Standardizer",
    "analyse",
    "boundary_counts",
    "class_distances",
    "class_spectra",
    "collect",
    "contraction_ratios",
    "contraction_ratios_of",
    "distances_of",
    "jacobian_norm",
    "knn_accuracy",
    "layers_of",
    "nearest_neighbours",
    "observe",
    "pair_distances",
    "perturb",
    "pooled",
    "probe_accuracies",
    "released_boundary_counts",
    "sample_pairs",
    "separation",
    "stability",
]
