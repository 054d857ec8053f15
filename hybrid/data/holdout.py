"""Test images that are drawn from a data set: a share of it, one of several folds, or all but a few of each class.

scikit-learn calls these splits StratifiedShuffleSplit (with a `test_size` or a `train_size`) and StratifiedKFold. They are
drawn here by NumPy's RandomState, whose streams do not change with the version, so that a split stays what it is.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np

from hybrid.errors import UserError
from hybrid.lazy import LazyModule
from hybrid.ranges import Count, Level, Range, check_ranges
from hybrid.stratified import classes_or_one, stratified_positions

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = LazyModule("torch")

_log = logging.getLogger(__name__)
_SHOWN = 5  # folds that an error spells out


@dataclass(frozen=True)
class Holdout:
    """Which images of a data set test, where its own files do not say it. Without arguments, its own test images do.

    Attributes:
        test: how many images test, as a fraction in (0, 1) or a number, every class in proportion.
        folds: the number of parts for cross-validation, every class in proportion; each image tests in one of them.
        fold: the part that tests, 0 to folds - 1.
        per_class: the number of images of every class that do not test; the others test, or as many of them as `test` says.
        pool: of a data set that has test images: "all" draws from all its images; "train" draws from its training images
            alone, and its own test images are not used.

    Raises:
        UserError: a value is out of range, has no effect, or excludes another.
    """

    test: Annotated[int | float, Range(0, 2**31 - 1, above=True)] | None = None
    folds: Annotated[int, Range(2, 2**31 - 1)] | None = None
    fold: Level | None = None
    per_class: Count | None = None
    pool: Literal["train", "all"] | None = None

    def __post_init__(self) -> None:
        check_ranges(self, path="data")
        if isinstance(self.test, float) and self.test >= 1:
            raise UserError(f"data.test={self.test} is neither a fraction between 0 and 1 nor a number of images")
        if self.pool is not None and not self.draws:
            raise UserError(f"data.pool={self.pool} has no effect without data.test, data.folds or data.per_class")
        if self.folds is not None:
            self._check_folds(self.folds)
        elif self.fold is not None:
            raise UserError(f"data.fold={self.fold} has no effect without data.folds, the number of folds")

    def _check_folds(self, folds: int) -> None:
        for name in ("test", "per_class"):
            if getattr(self, name) is not None:
                raise UserError(f"data.folds and data.{name} both choose the test images: set one of them")
        if self.fold is None or not 0 <= self.fold < folds:
            given = "null" if self.fold is None else self.fold
            every = ",".join(map(str, range(min(folds, _SHOWN)))) + (",…" if folds > _SHOWN else "")
            raise UserError(
                f"data.fold={given} must say which of the folds 0..{folds - 1} tests; a sweep over all of them is "
                f"hybrid train -m data.folds={folds} data.fold={every}"
            )

    @property
    def draws(self) -> bool:
        """Whether test images are drawn."""
        return any(value is not None for value in (self.test, self.folds, self.per_class))

    def divide(self, labels: Tensor, *, seed: int) -> tuple[Tensor, Tensor]:
        """(others, test) positions, ascending, among images with these labels (n,); the others train and validate.

        Raises UserError where there are too few images.
        """
        if self.fold is not None and self.folds is not None:
            test = fold_positions(labels, self.folds, seed=seed)[self.fold]
            return _without(len(labels), test), test
        if self.per_class is None:
            test = stratified_positions(labels, self._count(len(labels)), seed=seed)
            return _without(len(labels), test), test
        others = positions_of_each_class(labels, self.per_class, seed=seed)
        left = _without(len(labels), others)
        if self.test is not None:
            if (count := self._count(len(labels))) > len(left):
                raise UserError(f"data.test={self.test} takes {count} images, but data.per_class leaves {len(left)}.")
            left = left[stratified_positions(labels[left], count, seed=seed)]
        return others, left

    def _count(self, images: int) -> int:
        count = self.test if isinstance(self.test, int) else round((self.test or 0) * images)
        if not 0 < count < images:
            raise UserError(
                f"data.test={self.test} takes {count} of {images} images: some must test, and some must train."
            )
        return count


def fold_positions(labels: Tensor, folds: int, *, seed: int) -> list[Tensor]:
    """The positions of the images of each fold, ascending. No two folds share an image, and together they are all of them.

    The images of a class are shuffled by RandomState(seed), class after class, and then dealt to the folds in turn. So the
    folds differ by one image at most, and so does each class in them. Numbers in place of classes are dealt all together.
    """
    if folds > len(labels):
        raise UserError(f"data.folds={folds} is more than the {len(labels)} images.")
    random = np.random.RandomState(seed)
    classes = classes_or_one(labels).numpy()
    dealt = np.concatenate([random.permutation(np.flatnonzero(classes == label)) for label in np.unique(classes)])
    smallest = int(np.unique(classes, return_counts=True)[1].min())
    if smallest < folds:
        _log.warning("data.folds=%d: the smallest class has %d images, so some folds test none of it.", folds, smallest)
    return [torch.from_numpy(np.sort(dealt[fold::folds])) for fold in range(folds)]


def positions_of_each_class(labels: Tensor, count: int, *, seed: int) -> Tensor:
    """The positions of `count` images of every class, ascending, each class drawn by itself by RandomState(seed).

    Raises UserError where a class has no image beside these, or where the labels are no classes.
    """
    if labels.is_floating_point():
        raise UserError(
            f"data.per_class={count} needs one class for each image; data.test takes a share of any images."
        )
    random, classes = np.random.RandomState(seed), labels.numpy()
    sizes = np.unique(classes, return_counts=True)[1]
    if count >= sizes.min():
        raise UserError(f"data.per_class={count} leaves no test image of the smallest class, which has {sizes.min()}.")
    chosen = [random.permutation(np.flatnonzero(classes == label))[:count] for label in np.unique(classes)]
    return torch.from_numpy(np.sort(np.concatenate(chosen)))


def _without(count: int, positions: Tensor) -> Tensor:
    """The other positions of `count`, ascending."""
    keep = torch.ones(count, dtype=torch.bool)
    keep[positions] = False
    return keep.nonzero().flatten()
