"""The images that train, validate and test: test images that are drawn, subsets by two protocols, the validation split.

Test images come first, where the data set has none or `Holdout` draws others; they take no part in what follows. The subset
comes next. It is drawn from the whole training part, because the published protocol has no validation images.
Then the validation images are drawn from those that the subset left over; without a subset they are cut out of the training
images. So the two never overlap, and `data.subset.n` is exactly the number of training images. Such a run looks at the labels of
its validation images, too, and says so. With `data.subset.validate_from=labels` they come out of the subset, and n is the number
of all labels that the run looks at.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np

from hybrid.data.holdout import Holdout
from hybrid.data.sources import Source
from hybrid.data.stored import Part, Split, joined
from hybrid.errors import UserError, unknown_name
from hybrid.lazy import LazyModule
from hybrid.ranges import Count, Range, Seed32, check_ranges
from hybrid.stratified import classes_or_one, stratified_positions

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = LazyModule("torch")

_log = logging.getLogger(__name__)
Validation = Annotated[int | float, Range(0, 2**31 - 1)] | None
_USUAL_VALIDATION = 0.1  # of the training images


class NoTestImages(UserError):
    """A data set has no test images of its own, and none are drawn."""


@dataclass(frozen=True)
class Subset:
    """A small training set.

    Attributes:
        n: its number of images; None: all.
        protocol: "published" (Oyallon et al. 2017, released code) draws one permutation of the positions within a class, by
            NumPy's RandomState(seed), and takes the first n / classes of them in every class. So n must be a multiple of the
            number of classes. Where classes differ in size, the permutation is over the smallest. "stratified" gives each
            class its share by size, and draws each class by itself.
        seed: decides which images; None: the seed of the run.
        validate_from: where validation images come from: "others" are images that the subset leaves, "labels" the n images.
    """

    n: Count | None = None
    protocol: Literal["published", "stratified"] = "published"
    seed: Seed32 | None = None
    validate_from: Literal["others", "labels"] = "others"

    def __post_init__(self) -> None:
        check_ranges(self, path="data.subset")
        if self.validate_from not in ("others", "labels"):
            raise unknown_name(str(self.validate_from), ("others", "labels"), what="data.subset.validate_from")
        if self.n is None and self.validate_from != "others":
            raise UserError("data.subset.validate_from=labels has no effect while data.subset.n is null")
        if self.n is None and (self.seed is not None or self.protocol != "published"):
            _log.warning("data.subset.protocol and data.subset.seed have no effect while data.subset.n is null.")

    def choose(self, labels: Tensor, *, num_classes: int, default_seed: int) -> Tensor | None:
        """The positions of the chosen images, ascending; None: all. `default_seed`, the run's, serves where `seed` is None."""
        if self.n is None:
            return None
        if self.n > len(labels):
            raise UserError(f"data.subset.n={self.n} is more than the {len(labels)} training images.")
        seed = default_seed if self.seed is None else self.seed
        if labels.is_floating_point():
            labels, num_classes = classes_or_one(labels), 1
        if self.protocol == "stratified":
            return stratified_positions(labels, self.n, seed=seed)
        return published_positions(labels, self.n, num_classes=num_classes, seed=seed)


@dataclass(frozen=True)
class Division:
    """How a data set is divided into images that train, validate and test.

    Attributes:
        subset: the images that train; `Subset()` is all of them.
        validation: how many images validate, as a fraction in (0, 1) or a number; 0: none; None: the split that the data set
            brings, or a tenth of the images where it brings none, but none of a few `per_class`.
        split_seed: decides which images test and validate, whatever the seed of the run.
        holdout: which images test; `Holdout()` is the data set's own test images.
        needs_test: whether a source without test images is refused; otherwise it has no split "test".
    """

    subset: Subset = Subset()
    validation: Validation = 0
    split_seed: Seed32 = 0
    holdout: Holdout = Holdout()
    needs_test: bool = True

    def __post_init__(self) -> None:
        check_ranges(self, path="data")
        if self.subset.validate_from == "labels" and not self.validation:
            raise UserError("data.subset.validate_from=labels has no effect without data.validation: how many of them")
        if isinstance(self.validation, float) and self.validation >= 1:
            raise UserError(
                f"data.validation={self.validation}: a fraction is below 1; a number of images has no point"
            )

    def split(self, source: Source, *, seed: int) -> dict[str, Split]:
        """The splits "train", "test" and, if there is one, "validation" of a source, whose files must be there.

        seed: chooses the subset, if it has no seed of its own.
        Raises UserError where the source has no test images and none are drawn, and for numbers that it has not images for.
        """
        whole, own, test = self._stored(source)
        train, held_out = self.divide(
            whole.labels,
            source.train_positions(),
            num_classes=source.num_classes,
            seed=seed,
            has_own_validation=own is not None,
        )
        splits = {"train": whole.take(train)}
        if len(held_out):
            splits["validation"] = whole.take(held_out)
        elif own is not None and self.validation is None:
            splits["validation"] = own
        if own is not None and (wanted := self.validation) is not None:
            _log.warning(
                "%s: its own validation images are not used, because data.validation=%s; null uses them.",
                source.name,
                wanted,
            )
        return splits if test is None else {**splits, "test": test}

    def _stored(self, source: Source) -> tuple[Split, Split | None, Split | None]:
        """(what trains and validates, the validation images that the source brings, what tests)."""
        parts: dict[Part, Split | None] = {part: source.stored(part) for part in ("train", "validation", "test")}
        train, own, test = parts["train"], parts["validation"], parts["test"]
        if not self.holdout.draws:
            if test is None and self.needs_test:
                raise NoTestImages(
                    f"{source.name} has no test images of its own. data.test=0.2 draws a fifth of its images; "
                    "data.folds=5 data.fold=0 is the first of five folds; data.per_class=10 tests on all but ten of each class."
                )
            return train, own, test
        if source.train_positions() is not None:
            raise UserError(
                f"{source.name}: its predefined folds and data.test, folds or per_class exclude each other."
            )
        pool = self._pool(source, train, own, test)
        others, drawn = self.holdout.divide(pool.labels, seed=self.split_seed)
        return pool.take(others), own if pool is train else None, pool.take(drawn)

    def _pool(self, source: Source, train: Split, own: Split | None, test: Split | None) -> Split:
        """The images from which test images are drawn."""
        if test is None:
            if self.holdout.pool is not None:
                raise UserError(f"data.pool has no effect: {source.name} has no test images of its own.")
            return train
        if self.holdout.pool is None:
            raise UserError(
                f"{source.name} has {len(test):,} test images of its own. To draw others, choose from where: data.pool=all, "
                "all its images, or data.pool=train, its training images; then its own test images are not used."
            )
        return (
            train if self.holdout.pool == "train" else joined([part for part in (train, own, test) if part is not None])
        )

    def divide(
        self, labels: Tensor, pool: Tensor | None, *, num_classes: int, seed: int, has_own_validation: bool = False
    ) -> tuple[Tensor, Tensor]:
        """(training, validation) positions among all images of the training part, whose classes are `labels` (n,).

        Args:
            pool: the positions that the data set itself trains on; None: all.
            seed: chooses the subset, if it has no seed of its own.
            has_own_validation: whether the data set brings a validation split.
        """
        candidates = torch.arange(len(labels)) if pool is None else pool
        within = self.subset.choose(labels[candidates], num_classes=num_classes, default_seed=seed)
        wanted = self.validation
        if wanted is None:
            wanted = 0 if has_own_validation or self.holdout.per_class is not None else _USUAL_VALIDATION
        if self.subset.validate_from == "labels" and within is not None:
            chosen = candidates[within]
            train, held_out = divide(labels[chosen], chosen=None, validation=wanted, seed=self.split_seed)
            return chosen[train], chosen[held_out]
        return divide(
            labels, chosen=pool if within is None else candidates[within], validation=wanted, seed=self.split_seed
        )


def published_positions(labels: Tensor, n: int, *, num_classes: int, seed: int) -> Tensor:
    """The positions of n images by the published protocol of `Subset`, ascending: the same within every class.

    Raises UserError where n is no multiple of the number of classes, or the smallest class has too few images.
    """
    if n % num_classes:
        near = max(num_classes, round(n / num_classes) * num_classes)
        raise UserError(f"data.subset.n={n} is not a multiple of the {num_classes} classes; {near} would be.")
    members = [np.flatnonzero(labels.numpy() == label) for label in range(num_classes)]
    smallest = min(len(positions) for positions in members)
    if n // num_classes > smallest:
        raise UserError(
            f"data.subset.n={n} needs {n // num_classes} images of every class, but the smallest class has {smallest}: use "
            f"{smallest * num_classes} or less, or data.subset.protocol=stratified."
        )
    within = np.random.RandomState(seed % 2**32).permutation(smallest)[: n // num_classes]
    return torch.from_numpy(np.sort(np.concatenate([positions[within] for positions in members])))


def validation_count(validation: int | float, available: int) -> int:
    """The number of images for a fraction in (0, 1) or a number. Raises UserError if these are all images, or none."""
    if validation == 0:
        return 0
    count = round(validation * available) if isinstance(validation, float) else validation
    if not 0 < count < available:
        raise UserError(
            f"data.validation={validation} takes {count} of {available} images: use a fraction above 0 and below 1, or a "
            "whole number of images, or 0 for no validation split."
        )
    return count


def divide(labels: Tensor, *, chosen: Tensor | None, validation: int | float, seed: int) -> tuple[Tensor, Tensor]:
    """(training, validation) positions. `chosen` are the training images of a subset; None: all but the validation images."""
    everything = torch.arange(len(labels))
    if chosen is None or len(chosen) == len(labels):
        pool = everything
    else:
        left = torch.ones(len(labels), dtype=torch.bool)
        left[chosen] = False
        pool = everything[left]
    count = validation_count(validation, len(labels))
    if count > len(pool):
        raise UserError(
            f"data.validation={validation} wants {count} images, but the subset leaves {len(pool)} of {len(labels)}: lower "
            "data.validation or data.subset.n."
        )
    held_out = pool[stratified_positions(labels[pool], count, seed=seed)]
    if pool is not everything:
        return chosen, held_out
    keep = torch.ones(len(labels), dtype=torch.bool)
    keep[held_out] = False
    return everything[keep], held_out
