"""Support vector machines on features: the Gram matrix by torch, C by cross-validation, the rest by libsvm.

    settings = KernelMachine(kernel="rbf", C=(1.0, 10.0, 100.0), gamma=0.5, folds=5)
    fitted = fit(train, train_labels, settings, seed=0)
    predicted = fitted.predict(test)

libsvm's own kernels go through features one pair of images at a time, again for every C and every fold: in the thousands of
dimensions that scattering coefficients have some ten times slower than matrix products. So it gets the kernel's values.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from hybrid.errors import UserError
from hybrid.ranges import Positive, Range, check_ranges

if TYPE_CHECKING:
    from sklearn.svm import SVC

_BLOCK = 1024  # rows, and columns, of the Gram matrix that are computed at a time


@dataclass(frozen=True, kw_only=True)
class KernelMachine:
    """The settings of configs/svm/*.yaml, which say what each means. `place` is their section, which errors name.

    gamma is in units of 1/D for features (N, D); the linear kernel is divided by D, too, so that C means much the same in both.
    """

    place: ClassVar[str] = "svm"
    both_linear: ClassVar[str] = "svm=linear chooses both"
    takes_several_vectors: ClassVar[bool] = False
    kernel: Literal["rbf", "linear"]
    C: Positive | tuple[Positive, ...]
    gamma: Positive | tuple[Positive, ...] | None
    folds: Annotated[int, Range(2, 2**31 - 1)]

    def __post_init__(self) -> None:
        check_ranges(self, path=self.place)
        if not self.candidates:
            raise UserError(
                f"{self.place}.C={_listed(self.C)} is not valid: it must be a number above 0, or a list of such."
            )
        if len(set(self.candidates)) < len(self.candidates):
            raise UserError(f"{self.place}.C={_listed(self.C)} is not valid: it names a number twice.")
        if isinstance(self.gamma, tuple) and len(set(self.gamma)) < max(len(self.gamma), 1):
            raise UserError(f"{self.place}.gamma={_listed(self.gamma)} is not valid: it must name numbers, each once.")
        if self.kernel == "linear" and self.gamma is not None:
            raise UserError(
                f"{self.place}.gamma={_listed(self.gamma)} has no effect with {self.place}.kernel=linear: {self.both_linear}."
            )
        if self.kernel == "rbf" and self.gamma is None:
            raise UserError(f"{self.place}.gamma=null is not valid: it must be a number above 0.")

    @property
    def candidates(self) -> tuple[float, ...]:
        """The values of C, in increasing order."""
        return tuple(sorted(self.C)) if isinstance(self.C, tuple) else (self.C,)

    @property
    def searches(self) -> bool:
        """Whether C or gamma is to be chosen."""
        return len(self.candidates) > 1 or len(self.gammas) > 1

    @property
    def gammas(self) -> tuple[float | None, ...]:
        """The values of gamma, in increasing order; None stands for the linear kernel."""
        return tuple(sorted(self.gamma)) if isinstance(self.gamma, tuple) else (self.gamma,)

    def fit(self, train: Tensor, labels: Tensor, *, seed: int) -> Fitted:
        """Fit to features (N, D) and their classes (N,)."""
        return fit(train, labels, self, seed=seed)

    def gram(self, rows: Tensor, columns: Tensor) -> np.ndarray:
        """The kernel between features (N, D) and (M, D): (N, M) float64, on the CPU.

        Computed in float64, block by block, on the features' device: ‖x‖² + ‖y‖² - 2 x·y of float32 would lose the small
        distances. Memory beside the result: some blocks.
        """
        result = torch.empty(len(rows), len(columns), dtype=torch.float64)
        for some, part in zip(rows.split(_BLOCK), result.split(_BLOCK), strict=True):
            for others, cell in zip(columns.split(_BLOCK), part.split(_BLOCK, dim=1), strict=True):
                cell.copy_(self._values(some.double(), others.double()))
        return result.numpy()

    def _values(self, x: Tensor, y: Tensor) -> Tensor:
        products, dimensions = x @ y.T, x.shape[1]
        if self.kernel == "linear":
            return products / dimensions
        squares = x.square().sum(1)[:, None] + y.square().sum(1) - 2 * products
        return torch.exp(squares.clamp_min_(0) * (-self.gamma / dimensions))


class SupportVectorMachine(KernelMachine):
    """The same settings as a `classifier` of `hybrid classify`."""

    place: ClassVar[str] = "classifier"
    both_linear: ClassVar[str] = "classifier.gamma=null goes with it"


@dataclass(frozen=True)
class Fitted:
    """A support vector machine, and how its C was chosen.

    settings: with the gamma that was chosen. accuracies: C -> accuracy in % over all folds, each predicted by the others; empty
    where there was one candidate. gammas: gamma -> the best of these accuracies; empty where one gamma was given.
    """

    settings: KernelMachine
    C: float
    accuracies: dict[float, float]
    train: Tensor
    machine: SVC
    gammas: dict[float, float] = field(default_factory=dict)

    @property
    def support_vectors(self) -> int:
        """How many of the training images decide anything."""
        return int(self.machine.n_support_.sum())

    def about(self) -> dict[str, Any]:
        """C, and how it was chosen: accuracies in % by cross-validation, None where it was given."""
        searched = {f"{C:g}": accuracy for C, accuracy in self.accuracies.items()}
        return {
            "C": self.C,
            "cross_validation": self.accuracies.get(self.C),
            "candidates": searched or None,
            "support_vectors": self.support_vectors,
            **({"gamma": self.settings.gamma} if self.gammas else {}),
        }

    def predict(self, features: Tensor) -> Tensor:
        """(M, D) features -> (M,) int64 classes, on the CPU: of every two classes one gets a vote, the most votes win."""
        parts = [self.machine.predict(self.settings.gram(part, self.train)) for part in features.split(_BLOCK)]
        return torch.from_numpy(np.concatenate(parts))


def fit(train: Tensor, labels: Tensor, settings: KernelMachine, *, seed: int = 0) -> Fitted:
    """Fit to features (N, D) and their integer labels (N,); `seed` shuffles the folds of the cross-validation.

    The features are used as they are: gamma and C presume standardised ones. Raises UserError for labels of fewer than two
    classes, features that are not finite, and a class with fewer images than folds where C is to be chosen.
    """
    classes = labels.cpu().numpy()
    _check(train, classes, settings)
    best, gammas = None, {}
    for gamma in settings.gammas:
        single = replace(settings, gamma=gamma)
        gram = single.gram(train, train)
        accuracies = _cross_validate(gram, classes, settings, seed=seed) if settings.searches else {}
        C = max(accuracies, key=accuracies.get) if accuracies else settings.candidates[0]  # of equals the smallest
        if len(settings.gammas) > 1:
            gammas[gamma] = accuracies[C]
        if best is None or accuracies[C] > best.accuracies[best.C]:
            best = Fitted(single, C, accuracies, train, _machine(C).fit(gram, classes), gammas)
    return best


def bytes_needed(settings: KernelMachine, *, train: int, test: int, dimensions: int) -> int:
    """Memory for `fit` and `predict` at their most: the Gram matrix, the folds' copies of its parts, the float32 features.

    Of k folds the largest copies are (k - 1)² / k² of the matrix to fit to, and (k - 1) / k² to predict from.
    """
    copies = (settings.folds - 1) / settings.folds if settings.searches else 0.0
    return int(8 * train**2 * (1 + copies) + 8 * _BLOCK * train + 4 * (train + test) * dimensions)


def _cross_validate(gram: np.ndarray, labels: np.ndarray, settings: KernelMachine, *, seed: int) -> dict[float, float]:
    from sklearn.model_selection import StratifiedKFold

    hits = dict.fromkeys(settings.candidates, 0)
    folds = StratifiedKFold(settings.folds, shuffle=True, random_state=seed % 2**32)
    for rest, fold in folds.split(labels, labels):
        known, unknown = gram[np.ix_(rest, rest)], gram[np.ix_(fold, rest)]
        for C in hits:
            hits[C] += int((_machine(C).fit(known, labels[rest]).predict(unknown) == labels[fold]).sum())
    return {C: 100 * count / len(labels) for C, count in hits.items()}


def _machine(C: float) -> SVC:
    from sklearn.svm import SVC

    return SVC(kernel="precomputed", C=C)


def _check(train: Tensor, labels: np.ndarray, settings: KernelMachine) -> None:
    broken = int((~train.isfinite().all(dim=1)).sum())
    if broken:
        raise UserError(f"NaN or infinite features for {broken} of {len(train)} training images.")
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2:
        raise UserError(f"all training images are of class {classes[0]}: a support vector machine needs two or more.")
    least = int(counts.min())
    if settings.searches and least < settings.folds:
        place = settings.place
        folds = f"{place}.folds={least}, or " if least > 1 else ""
        raise UserError(
            f"class {classes[counts.argmin()]} has {least} training images, too few for {place}.folds={settings.folds}, which "
            f"choose {place}.C: {folds}one number as {place}.C."
        )


def _listed(C: float | tuple[float, ...]) -> str:
    return f"[{','.join(f'{each:g}' for each in C)}]" if isinstance(C, tuple) else f"{C:g}"
