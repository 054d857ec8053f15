"""The affine space classifier: each class is a mean and its principal directions, and the nearest of these spaces wins."""

from __future__ import annotations

import numbers
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import StratifiedKFold
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from hybrid.classification.validation import validate_data

_BLOCK = 2048  # vectors whose distances, in all dimensions, are computed at a time


class AffineClassifier(ClassifierMixin, BaseEstimator):
    """Tells classes apart by the distance to an affine space for each class (Bruna & Mallat, PAMI 2013).

    The space of a class goes through the mean μ of its training vectors, along the first D eigenvectors V of their covariance.
    A vector x belongs to the class with the least ‖x - μ‖² - ‖Vᵀ(x - μ)‖², its squared distance to the space. The projections
    on V are cumulated, so one pass gives the distances for every D. There is little to learn, so it does well on few samples
    of features in which a class varies along few directions, such as scattering coefficients.

        >>> import hybrid
        >>> from sklearn.datasets import load_digits
        >>> images, labels = load_digits(return_X_y=True)
        >>> classifier = hybrid.AffineClassifier(dimension=10).fit(images[:1000], labels[:1000])
        >>> round(classifier.score(images[1000:], labels[1000:]), 2)
        0.97

    A sample is a vector, or several vectors: X is (n, p) or (n, v, p). All vectors of all samples make the spaces of the
    classes. The distance of a sample is the mean of the distances, not squared, of its vectors.

    Args:
        dimension: D, from 0, which is the nearest mean. "search" takes the D that is best in a cross-validation on the training
            samples, of equals the smallest. "samples" takes the number of the class's training samples: with one vector each
            this is the space that they span (Sifre & Mallat, CVPR 2013), which must have fewer dimensions than the features.
            A class whose vectors span fewer than D dimensions takes them all.
        most: the largest D that "search" tries; None: no bound.
        folds: how many parts "search" makes of the training samples; as many as the smallest class has, where it has fewer.
        seed: shuffles the samples before they are divided.

    Attributes:
        classes_: (K,) the labels of the classes.
        means_: (K, p) the means.
        directions_: K arrays (r, p), the orthonormal directions of each class, the one with the largest variance first.
        dimensions_: (K,) the D that is used for each class.
        accuracies_: after "search", (D + 1,) accuracies in [0, 1] for D = 0, 1, …

    Raises:
        ValueError: a parameter is out of range, or X and y do not fit.
    """

    takes_several_vectors = True

    def __init__(
        self,
        dimension: int | Literal["samples", "search"] = "search",
        *,
        most: int | None = None,
        folds: int = 5,
        seed: int = 0,
    ) -> None:
        self.dimension, self.most, self.folds, self.seed = dimension, most, folds, seed

    def fit(self, X: Any, y: Any) -> AffineClassifier:
        """Compute the spaces of the classes of X (n, p) or (n, v, p), whose labels are y (n,)."""
        self.check_parameters()
        X, y = self._checked(X, y, fitting=True)
        self.classes_, codes = np.unique(y, return_inverse=True)
        counts = np.bincount(codes)
        if self.dimension == "search":
            self.accuracies_ = self._search(X, codes, counts)
            wanted = np.full(len(counts), self.accuracies_.argmax())
        elif self.dimension == "samples":
            wanted = counts
        else:
            wanted = np.full(len(counts), self.dimension)
        self.means_, self.directions_ = _spaces(X, codes, len(counts))
        self.dimensions_ = np.minimum(wanted, [len(each) for each in self.directions_])
        return self

    def distances(self, X: Any) -> np.ndarray:
        """(n, p) or (n, v, p) -> (n, K), the distances to the space of each class."""
        check_is_fitted(self)
        X = self._checked(X)
        parts = [self._distances(part) for part in _blocks(X)]
        return np.concatenate(parts)

    def predict(self, X: Any) -> np.ndarray:
        """(n, p) or (n, v, p) -> (n,) the labels of the nearest spaces."""
        nearest = self.distances(X).argmin(1)
        return self.classes_[nearest]

    def about(self) -> dict[str, Any]:
        """The largest dimension of a class, and after "search" its accuracy there in the cross-validation, in %."""
        searched = getattr(self, "accuracies_", None)
        return {
            "dimension": int(self.dimensions_.max()),
            "cross_validation": None if searched is None else 100 * float(searched.max()),
        }

    def scores(self, X: Any, y: Any) -> np.ndarray:
        """The accuracy in [0, 1] on X, y for every dimension D = 0, 1, … at once; beyond a class's own all of its directions."""
        check_is_fitted(self)
        X, y = self._checked(X), np.asarray(y)
        codes = np.searchsorted(self.classes_, y).clip(max=len(self.classes_) - 1)
        codes[self.classes_[codes] != y] = -1  # a class that was not learned is never right
        most = max(len(each) for each in self.directions_)
        return _hits(X, codes, (self.means_, self.directions_), most) / len(y)

    def _distances(self, X: np.ndarray) -> np.ndarray:
        """(n, v, p) -> (n, K)."""
        result = np.empty((len(X), len(self.classes_)))
        for code, (mean, directions) in enumerate(zip(self.means_, self.directions_, strict=True)):
            apart = X - mean
            inside = np.square(apart @ directions[: self.dimensions_[code]].T).sum(-1)
            result[:, code] = _root(np.square(apart).sum(-1) - inside).mean(1)
        return result

    def _search(self, X: np.ndarray, codes: np.ndarray, counts: np.ndarray) -> np.ndarray:
        if counts.min() < 2:
            raise ValueError(
                f"class {self.classes_[counts.argmin()]} has n_samples=1 to train on: dimension='search' needs two or more"
            )
        most = X.shape[1] * X.shape[2] * len(X) if self.most is None else self.most
        hits = np.zeros(min(most, X.shape[2]) + 1)
        folds = StratifiedKFold(min(self.folds, counts.min()), shuffle=True, random_state=self.seed)
        for rest, fold in folds.split(codes, codes):
            spaces = _spaces(X[rest], codes[rest], len(counts))
            hits += _hits(X[fold], codes[fold], spaces, len(hits) - 1)
        return hits / len(codes)

    def check_parameters(self) -> None:
        """Raises ValueError for a parameter that is out of range; `fit` does so, too."""
        whole = isinstance(self.dimension, numbers.Integral) and not isinstance(self.dimension, bool)
        if not (whole and self.dimension >= 0) and self.dimension not in ("samples", "search"):
            raise ValueError(f"dimension={self.dimension!r} is not valid: a number from 0, 'samples' or 'search'")
        if self.folds < 2:
            raise ValueError(f"folds={self.folds} is not valid: a number from 2")
        if self.most is not None and self.most < 0:
            raise ValueError(f"most={self.most} is not valid: a number from 0, or None")

    def _checked(self, X: Any, y: Any = None, *, fitting: bool = False) -> Any:
        """X as (n, v, p), with y where it is to be learned; p is then kept, and compared with later."""
        targets = {"y": y} if fitting else {}
        several = getattr(X, "ndim", 2) == 3
        shape = tuple(X.shape) if several else ()
        if several:
            X = np.asarray(X).reshape(shape[0] * shape[1], shape[2])
            targets = {"y": np.repeat(y, shape[1])} if fitting else {}
        checked = validate_data(self, X, **targets, reset=fitting, dtype=(np.float64, np.float32))
        X, labels = checked if fitting else (checked, None)
        X = X.reshape(shape) if several else X[:, None]
        if not fitting:
            return X
        check_classification_targets(labels)
        return X, labels[:: X.shape[1]]


def _spaces(X: np.ndarray, codes: np.ndarray, classes: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """The means (K, p), and the directions of each class, of samples (n, v, p)."""
    means, directions = np.zeros((classes, X.shape[-1])), []
    for code in range(classes):
        vectors = X[codes == code].reshape(-1, X.shape[-1]).astype(np.float64)
        means[code] = vectors.mean(0)
        vectors -= means[code]
        directions.append(_principal(vectors))
    return means, directions


def _principal(vectors: np.ndarray) -> np.ndarray:
    """(r, p) principal directions of centred vectors (n, p), those of no variance left out."""
    count, features = vectors.shape
    if count <= features:
        _, sizes, directions = np.linalg.svd(vectors, full_matrices=False)
        kept = sizes > sizes[0] * max(vectors.shape) * np.finfo(np.float64).eps
    else:  # the covariance is smaller, and its eigenvectors are the same
        variances, columns = np.linalg.eigh(vectors.T @ vectors)
        sizes, directions = variances[::-1], np.ascontiguousarray(columns[:, ::-1].T)
        kept = sizes > sizes[0] * count * np.finfo(np.float64).eps
    return directions[kept]


def _hits(X: np.ndarray, codes: np.ndarray, spaces: tuple[np.ndarray, list[np.ndarray]], most: int) -> np.ndarray:
    """(D + 1,) how many samples (n, v, p) are nearest to the space of their class, for D = 0 … most."""
    means, directions = spaces
    hits = np.zeros(most + 1)
    start = 0
    for part in _blocks(X, per_vector=most + 1):
        best, nearest = np.full((len(part), most + 1), np.inf), np.full((len(part), most + 1), -1)
        for code, (mean, axes) in enumerate(zip(means, directions, strict=True)):
            distances = _by_dimension(part, mean, axes[:most], most)
            closer = distances < best
            best[closer], nearest[closer] = distances[closer], code
        hits += (nearest == codes[start : start + len(part), None]).sum(0)
        start += len(part)
    return hits


def _by_dimension(X: np.ndarray, mean: np.ndarray, directions: np.ndarray, most: int) -> np.ndarray:
    """(n, most + 1) distances of samples (n, v, p) for D = 0 … most; they stay what they are once the directions end."""
    apart = X - mean
    steps = np.zeros((*apart.shape[:2], most + 1))
    steps[..., 0] = np.square(apart).sum(-1)
    steps[..., 1 : len(directions) + 1] = -np.square(apart @ directions.T)
    return _root(np.cumsum(steps, axis=-1, out=steps)).mean(1)


def _root(squares: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(squares, 0.0))


def _blocks(X: np.ndarray, per_vector: int = 1) -> Iterator[np.ndarray]:
    """Samples (n, v, p) in blocks of bounded memory, as float64."""
    size = max(1, int(_BLOCK * 1024 / max(X.shape[1] * max(per_vector, X.shape[2]), 1)))
    for start in range(0, len(X), size):
        yield X[start : start + size].astype(np.float64)
