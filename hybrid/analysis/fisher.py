"""Fisher's ratio: how far the means of the classes are from each other, in the units of the variation within a class.

It is Tr(Σ_W⁻¹ Σ_B) / K for K classes, where Σ_W is the covariance within the classes and Σ_B that of their means: the figure by
which "Separation and Concentration in Deep Networks" (ICLR 2021) and "Phase Collapse in Neural Networks" (ICLR 2022) follow
their networks through the layers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hybrid.analysis.checks import checked_features, checked_labels
from hybrid.errors import UserError

_RIDGE = 1e-6  # of the mean variance: directions that do not vary count for little


@dataclass(frozen=True)
class FisherRatio:
    """value: the ratio, from 0; chance: its expectation for features that know nothing of the classes, on as many images."""

    value: float
    chance: float

    @property
    def above_chance(self) -> float:
        """How much of it is not chance."""
        return self.value - self.chance


def fisher_ratio(features: Tensor, labels: Tensor) -> FisherRatio:
    """Fisher's ratio of features (N, ...) with integer labels (N,), computed in float64.

    Raises UserError for a single class, and where there are not more images than dimensions and classes: within a class nothing
    would then vary along some direction.
    """
    features = checked_features(features).flatten(1).double()
    labels = checked_labels(labels, len(features)).to(features.device)
    classes, classed, counts = labels.unique(return_inverse=True, return_counts=True)
    count, dimension, groups = len(features), features.shape[1], len(classes)
    if groups < 2:
        raise UserError("labels name one class: Fisher's ratio needs at least two.")
    if count - groups <= dimension + 1:
        raise UserError(
            f"Fisher's ratio of {dimension} dimensions needs more than {dimension + groups + 1} images: {count}."
        )
    means = torch.zeros(groups, dimension, dtype=features.dtype, device=features.device).index_add_(
        0, classed, features
    )
    means = means / counts[:, None]
    within = features - means[classed]
    covariance = within.T @ within / (count - groups)
    covariance.diagonal().add_(_RIDGE * covariance.diagonal().mean() + torch.finfo(features.dtype).tiny)
    shares = counts.double() / count
    centred = means - shares @ means
    value = (torch.linalg.solve(covariance, centred.T) * (centred * shares[:, None]).T).sum().item() / groups
    chance = dimension * (groups - 1) / groups * (count - groups) / (count - groups - dimension - 1) / count
    return FisherRatio(value, chance)
