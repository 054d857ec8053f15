"""What is fitted to features: a support vector machine, or any classifier with scikit-learn's `fit` and `predict`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from torch import Tensor

from hybrid.configuration.instantiate import instantiate, signature_of
from hybrid.errors import UserError
from hybrid.ranges import Count, Positive

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

_SEEDS = ("seed", "random_state")  # arguments that take the seed of the split, where the configuration sets neither


class Fitted(Protocol):
    """A classifier that has seen its training images."""

    def predict(self, features: Tensor) -> Tensor:
        """(M, D) -> (M,) int64 classes, on the CPU. One that takes several vectors of an image gets (M, v, D)."""

    def about(self) -> dict[str, Any]:
        """What was chosen while it was fitted, for summary.json."""


class Learner(Protocol):
    """The settings of a classifier, which make a new one for each division of the images.

    takes_several_vectors: whether features may be (N, v, D), v vectors of each image.
    """

    takes_several_vectors: bool

    def fit(self, train: Tensor, labels: Tensor, *, seed: int) -> Fitted:
        """Learn from (N, D) features and their classes (N,)."""


def logistic(*, C: Positive = 1.0, max_iter: Count = 1000, seed: int = 0) -> LogisticRegression:
    """Logistic regression of all classes, whose squared weights count 1 / (2 C), by scikit-learn."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=C, max_iter=max_iter, random_state=seed)


class _Libsvm(ClassifierMixin, BaseEstimator):
    """scikit-learn's SVC with gamma in units of 1/D, where D is known once there are features."""

    def __init__(self, C: float, gamma: float, cache: float) -> None:
        self.C, self.gamma, self.cache = C, gamma, cache

    def fit(self, X: Any, y: Any) -> _Libsvm:
        from sklearn.svm import SVC

        self.machine_ = SVC(C=self.C, gamma=self.gamma / X.shape[1], cache_size=self.cache).fit(X, y)
        self.classes_ = self.machine_.classes_
        return self

    def predict(self, X: Any) -> Any:
        return self.machine_.predict(X)

    def about(self) -> dict[str, Any]:
        return {"support_vectors": int(self.machine_.n_support_.sum()), "C": self.C}


def libsvm(*, C: Positive = 10.0, gamma: Positive = 2.0, cache: Positive = 2000.0) -> _Libsvm:
    """A Gaussian support vector machine that computes its kernel as it goes, in `cache` MB of memory.

    gamma is in units of 1/D for D features, C as in `SVC`.
    """
    return _Libsvm(C, gamma, cache)


@dataclass(frozen=True)
class EstimatorLearner:
    """A classifier of scikit-learn's kind, from the `classifier` section of a configuration."""

    section: Mapping[str, Any]

    @classmethod
    def of(cls, section: Mapping[str, Any]) -> EstimatorLearner:
        """Raises UserError for a class that is no classifier, and for settings that it does not take."""
        learner = cls(section)
        machine = learner.make(seed=0)
        missing = [name for name in ("fit", "predict") if not callable(getattr(machine, name, None))]
        if missing:
            raise UserError(
                f"classifier._target_={section.get('_target_')} has no {' and no '.join(missing)}: a classifier of "
                "scikit-learn's kind has fit(X, y) and predict(X)."
            )
        if callable(check := getattr(machine, "check_parameters", None)):
            try:
                check()
            except ValueError as error:
                raise UserError(f"classifier: {error}") from error
        return learner

    def make(self, *, seed: int) -> Any:
        """A classifier that has seen nothing."""
        known = signature_of(self.section, path="classifier")
        seeds = {name: seed for name in _SEEDS if name in known and name not in self.section}
        return instantiate(self.section, path="classifier", **seeds)

    @property
    def takes_several_vectors(self) -> bool:
        """Whether the classifier says that its X may be (n, v, p)."""
        return bool(getattr(self.make(seed=0), "takes_several_vectors", False))

    def fit(self, train: Tensor, labels: Tensor, *, seed: int) -> FittedEstimator:
        """As `Learner.fit`. Raises UserError for what the classifier itself refuses."""
        machine = self.make(seed=seed)
        try:
            machine.fit(train.cpu().numpy(), labels.cpu().numpy())
        except ValueError as error:
            raise UserError(f"classifier: {error}") from error
        return FittedEstimator(machine)


@dataclass(frozen=True)
class FittedEstimator:
    """A fitted classifier of scikit-learn's kind."""

    machine: Any

    def predict(self, features: Tensor) -> Tensor:
        """(M, D) -> (M,) int64 classes."""
        return torch.as_tensor(self.machine.predict(features.cpu().numpy()))

    def about(self) -> dict[str, Any]:
        """What the classifier's own `about()` says, if it has one."""
        own = getattr(self.machine, "about", None)
        return dict(own()) if inspect.ismethod(own) else {}
