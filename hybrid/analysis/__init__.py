"""How representations contract space, keep classes apart and simplify their boundary: plain functions on tensors.

`analyse` makes all measurements of a model, layer by layer; the others are usable by themselves. Names are imported when
they are first used, so importing the package costs nothing.
"""

from hybrid.lazy import lazy_names

_MODULES = {
    "boundary": ("BoundaryCounts", "boundary_counts", "released_boundary_counts"),
    "contraction": ("ClassDistances", "ContractionRatios", "class_distances", "contraction_ratios"),
    "features": ("Features", "Standardizer", "collect", "pooled"),
    "jacobian": ("JacobianNorms", "jacobian_norm"),
    "layers": ("Layer", "layers_of"),
    "model": ("analyse",),
    "nearest": ("Neighbours", "nearest_neighbours"),
    "observation": ("observe",),
    "pairs": ("Pairs", "distances_of", "pair_distances", "sample_pairs"),
    "perturbations": ("PERTURBATIONS", "perturb"),
    "probes": ("knn_accuracy", "probe_accuracies"),
    "result": ("Analysis",),
    "separation": ("Separation", "class_separation"),
    "settings": ("AnalysisSettings",),
    "spectra": ("ClassSpectra", "class_spectra"),
    "stability": ("Stability", "measure_stability"),
}
_NAMES = {name: f"{__name__}.{module}" for module, names in _MODULES.items() for name in names}

__all__ = sorted(_NAMES)
__getattr__, __dir__ = lazy_names(__name__, _NAMES)
