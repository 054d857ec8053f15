"""Paths of scattering coefficients on one scale, each divided by the largest norm that it has on a training image."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from hybrid.classification.validation import validate_data


class PathScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Divides each path p by γ(p), the largest ‖S[p]x‖ over the training images x (Bruna & Mallat, PAMI 2013).

    The norm is over the positions of the path's map, so a path keeps the proportions of its map. A path that is 0 on all
    training images is left as it is. scikit-learn's MinMaxScaler((-1, 1)) is the papers' other scale, for a Gaussian kernel.

        >>> from hybrid.classification import PathScaler
        >>> PathScaler(positions=2).fit_transform([[3.0, 4.0, 1.0, 0.0], [0.0, 1.0, 0.0, 2.0]])
        array([[0.6, 0.8, 0.5, 0. ],
               [0. , 0.2, 0. , 1. ]])

    Args:
        positions: the number of positions of a path's map, h · w. A row of X has P · h · w features, path after path.

    Attributes:
        scale_: (P,) γ.

    Raises:
        ValueError: X has features that are no whole number of maps.
    """

    def __init__(self, positions: int = 1) -> None:
        self.positions = positions

    def fit(self, X: Any, y: Any = None) -> PathScaler:
        """Find γ on X (n, P · positions)."""
        X = validate_data(self, X, dtype=(np.float64, np.float32))
        if self.positions < 1 or X.shape[1] % self.positions:
            raise ValueError(
                f"positions={self.positions} is not valid for X with {X.shape[1]} features: a number that divides it"
            )
        norms = np.linalg.norm(X.reshape(len(X), -1, self.positions), axis=2).max(0)
        self.scale_ = np.where(norms > 0, norms, 1)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """(n, P · positions) -> the same, each path divided by γ."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=(np.float64, np.float32))
        return X / np.repeat(self.scale_, self.positions).astype(X.dtype)
