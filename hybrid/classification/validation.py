"""scikit-learn's check of what an estimator is given, in all versions that hybrid takes."""

from __future__ import annotations

from typing import Any

try:
    from sklearn.utils.validation import validate_data
except ImportError:  # before 1.6 it was a method

    def validate_data(estimator: Any, X: Any, y: Any = "no_validation", **options: Any) -> Any:
        """What scikit-learn 1.6 has under this name."""
        return estimator._validate_data(X, y, **options)


__all__ = ["validate_data"]
