"""Classifiers on features that are not learned: estimators of scikit-learn, and the runs of `hybrid classify`.

`AffineClassifier` and `PathScaler` are imported when they are first used, because they need scikit-learn.
"""

from typing import TYPE_CHECKING

from hybrid.lazy import lazy_names

if TYPE_CHECKING:
    from hybrid.classification.affine import AffineClassifier
    from hybrid.classification.path_scaler import PathScaler

__all__ = ["AffineClassifier", "PathScaler"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {"AffineClassifier": "hybrid.classification.affine", "PathScaler": "hybrid.classification.path_scaler"},
)
