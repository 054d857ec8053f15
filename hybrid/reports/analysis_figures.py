"""Figures of what layers do to classes, from plain arrays: each returns a matplotlib figure, `save_figure` writes it.

Nothing here needs a model or a run; `hybrid.analysis` computes the arrays.
"""

from hybrid.reports.depth_distributions import (
    contraction_ratios,
    distributions_by_depth,
    intra_class_distances,
    jacobian_norms,
)
from hybrid.reports.depth_figures import accuracy_by_depth, curves_by_depth
from hybrid.reports.layer_figures import boundary_curves, class_spectra, cumulative_distances
from hybrid.reports.stability_figures import StabilityPanel, stability_curves
from hybrid.reports.style import picture, save_figure

__all__ = [
    "StabilityPanel",
    "accuracy_by_depth",
    "boundary_curves",
    "class_spectra",
    "contraction_ratios",
    "cumulative_distances",
    "curves_by_depth",
    "distributions_by_depth",
    "intra_class_distances",
    "jacobian_norms",
    "picture",
    "save_figure",
    "stability_curves",
]
