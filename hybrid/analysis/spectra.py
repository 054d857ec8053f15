"""Class spectra: the eigenvalues of each class's covariance, and two numbers for how many directions the class takes.

Of eigenvalues λ_1 ≥ … ≥ λ_D ≥ 0 and shares p_i = λ_i / Σλ,

    effective rank       exp(-Σ p_i ln p_i)      Roy & Vetterli, "The effective rank", EUSIPCO 2007, definition 1 (stated
                                                 for singular values, which are the eigenvalues of a covariance)
    participation ratio  (Σλ)² / Σλ²             Gao et al., "A theory of multineuronal dimensionality", 2017

Both lie between 1 and the rank, equal r for r equal eigenvalues, and do not change with the scale of the features.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hybrid.analysis.checks import checked_features, checked_labels
from hybrid.analysis.pairs import class_order
from hybrid.errors import UserError


@dataclass(frozen=True)
class ClassSpectra:
    """Covariance eigenvalues of K classes with features of D coordinates.

    classes: (K,), the labels, ascending. counts: (K,), how many samples each class has. eigenvalues: (K, D) float64,
    descending in each class, in the square of the features' unit; with n samples at most n - 1 of them are above 0.
    """

    classes: Tensor
    counts: Tensor
    eigenvalues: Tensor

    @property
    def effective_rank(self) -> Tensor:
        """(K,) float64, the exponential of the entropy of the normalised eigenvalues."""
        shares = self._shares
        return torch.special.entr(shares).sum(1).exp()

    @property
    def participation_ratio(self) -> Tensor:
        """(K,) float64, the squared sum of the eigenvalues over the sum of their squares."""
        return 1 / self._shares.square().sum(1)

    @property
    def total_variance(self) -> Tensor:
        """(K,) float64, the sum of the eigenvalues, which is the sum of the variances of the coordinates."""
        return self.eigenvalues.sum(1)

    @property
    def _shares(self) -> Tensor:
        return self.eigenvalues / self.total_variance.unsqueeze(1)


def class_spectra(features: Tensor, labels: Tensor) -> ClassSpectra:
    """Eigenvalues of each class's covariance (divided by n - 1): features (N, ...) flattened to D, labels (N,) integers.

    They are computed in float64 on the features' device, from the D x D covariance or, if a class has fewer samples than D,
    from the n x n Gram matrix, which has the same eigenvalues but for zeros. Time grows with the cube of the smaller size; on a
    CPU some 4,000 is a practical limit, above which features should be averaged or subsampled.
    Raises UserError for features that are not finite, a class with one sample, and a class whose samples are all equal.
    """
    features = checked_features(features).flatten(1)
    labels = checked_labels(labels, len(features)).to(features.device)
    order, bounds = class_order(labels)
    classes = labels[order[[start for start, _ in bounds]]].cpu()
    spectra = [
        _spectrum(features[order[start:stop]], int(label)) for label, (start, stop) in zip(classes, bounds, strict=True)
    ]
    counts = torch.tensor([stop - start for start, stop in bounds])
    return ClassSpectra(classes, counts, torch.stack(spectra).cpu())


def _spectrum(group: Tensor, label: int) -> Tensor:
    """(n, D) -> (D,) eigenvalues, descending."""
    samples, size = group.shape
    if samples < 2:
        raise UserError(f"class {label} has one sample: a covariance needs two")
    if bool((group == group[:1]).all()):
        raise UserError(
            f"the {samples} samples of class {label} have equal features: there is no variance to share out"
        )
    centred = group.double()
    centred = centred - centred.mean(0)
    product = centred @ centred.T if samples < size else centred.T @ centred
    eigenvalues = torch.linalg.eigvalsh(product / (samples - 1)).flip(0).clamp(min=0)  # below 0 only by rounding
    return torch.cat([eigenvalues, eigenvalues.new_zeros(size - len(eigenvalues))])
