"""How representations contract space, keep classes apart and simplify their boundary: plain functions on tensors.

`analyse` makes all measurements of a model, layer by layer; the others are usable by themselves. Names are imported when
they are first used, so importing the package costs nothing.
"""

from typing import TYPE_CHECKING

from hybrid.lazy import lazy_names

if TYPE_CHECKING:  # for editors, type checkers and the site
    from hybrid.analysis.boundary import BoundaryCounts, boundary_counts, released_boundary_counts
    from hybrid.analysis.contraction import ClassDistances, ContractionRatios, class_distances, contraction_ratios
    from hybrid.analysis.features import Features, Standardizer, collect, pooled
    from hybrid.analysis.fisher import FisherRatio, fisher_ratio
    from hybrid.analysis.gradients import saliency
    from hybrid.analysis.jacobian import JacobianNorms, jacobian_norm
    from hybrid.analysis.layers import Layer, layers_of
    from hybrid.analysis.model import analyse
    from hybrid.analysis.nearest import Neighbours, nearest_neighbours
    from hybrid.analysis.observation import observe
    from hybrid.analysis.pairs import Pairs, distances_of, pair_distances, sample_pairs
    from hybrid.analysis.perturbations import PERTURBATIONS, perturb
    from hybrid.analysis.probes import knn_accuracy, probe_accuracies
    from hybrid.analysis.result import Analysis
    from hybrid.analysis.separation import Separation, class_separation
    from hybrid.analysis.settings import AnalysisSettings
    from hybrid.analysis.shift_consistency import ShiftConsistency, measure_shift_consistency
    from hybrid.analysis.spectra import ClassSpectra, class_spectra
    from hybrid.analysis.stability import Stability, measure_stability

__all__ = [
    "PERTURBATIONS", "Analysis", "AnalysisSettings", "BoundaryCounts", "ClassDistances", "ClassSpectra",
    "ContractionRatios", "Features", "FisherRatio", "JacobianNorms", "Layer", "Neighbours", "Pairs", "Separation",
    "ShiftConsistency", "Stability", "Standardizer", "analyse", "boundary_counts", "class_distances", "class_separation",
    "class_spectra", "collect", "contraction_ratios", "distances_of", "fisher_ratio", "jacobian_norm", "knn_accuracy",
    "layers_of", "measure_shift_consistency", "measure_stability", "nearest_neighbours", "observe", "pair_distances",
    "perturb", "pooled", "probe_accuracies", "released_boundary_counts", "saliency", "sample_pairs",
]  # fmt: skip

_MODULES = {
    "boundary": ("BoundaryCounts", "boundary_counts", "released_boundary_counts"),
    "contraction": ("ClassDistances", "ContractionRatios", "class_distances", "contraction_ratios"),
    "features": ("Features", "Standardizer", "collect", "pooled"),
    "fisher": ("FisherRatio", "fisher_ratio"),
    "jacobian": ("JacobianNorms", "jacobian_norm"),
    "layers": ("Layer", "layers_of"),
    "model": ("analyse",),
    "nearest": ("Neighbours", "nearest_neighbours"),
    "observation": ("observe",),
    "pairs": ("Pairs", "distances_of", "pair_distances", "sample_pairs"),
    "perturbations": ("PERTURBATIONS", "perturb"),
    "probes": ("knn_accuracy", "probe_accuracies"),
    "result": ("Analysis",),
    "gradients": ("saliency",),
    "separation": ("Separation", "class_separation"),
    "settings": ("AnalysisSettings",),
    "shift_consistency": ("ShiftConsistency", "measure_shift_consistency"),
    "spectra": ("ClassSpectra", "class_spectra"),
    "stability": ("Stability", "measure_stability"),
}

__getattr__, __dir__ = lazy_names(
    __name__, {name: f"{__name__}.{module}" for module, names in _MODULES.items() for name in names}
)
