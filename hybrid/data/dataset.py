"""A data set, split and ready to load."""

from __future__ import annotations

import copy
import dataclasses
import logging
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING

from hybrid.data.augmentation import Augmentation
from hybrid.data.batch import Batching, Loader
from hybrid.data.changes import class_change, described, image_change
from hybrid.data.facts import Facts
from hybrid.data.scale import PixelStatistics, Scale
from hybrid.data.sources import Source
from hybrid.data.splits import Division, NoTestImages
from hybrid.data.stored import FileSplit, MemorySplit, Split
from hybrid.data.tasks import OUTPUT_WORDS, Task
from hybrid.distributed.rank_slices import ALONE, Shares
from hybrid.errors import UserError, unknown_name
from hybrid.lazy import LazyModule
from hybrid.stratified import stratified_positions

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image
    from torch import Tensor, nn

    from hybrid.data.preprocessing import Normalize
else:
    torch = LazyModule("torch")

_log = logging.getLogger(__name__)
_MEND = "Put them back; or begin a new run with run.name=…, or this one again with run.restart=true."
_USUAL_BATCH = 128  # images
_MEASURED = 10_000  # images at most, whose mean and standard deviation are measured
_CONSTANT = 1e-6  # a standard deviation of pixels in 0..1 that is rounding alone


class Data:
    """A data set with its splits, preprocessing and loaders. `hybrid.load_data` and `hybrid.data.build` make one.

    Files are read, and downloaded where that is allowed, when `splits`, `loader` or `prepare` needs them for the first time.

    Attributes:
        source: the data set itself.
        augmentation: the random changes of training images.
        exact: whether it is an error that the images are others than those of known facts; otherwise a line says it.
    """

    exact: bool = False

    def __init__(
        self,
        source: Source,
        *,
        scale: Scale,
        augmentation: Augmentation,
        division: Division,
        seed: int,
    ) -> None:
        self.source, self.augmentation, self._scale = source, augmentation, scale
        self._division, self._seed = division, seed
        self._without_test: Division | None = None
        self._resident: dict[tuple[str, torch.device], MemorySplit] = {}
        self._known = Facts()

    def __repr__(self) -> str:
        if "splits" not in self.__dict__:
            return f"Data({self.name!r}: not read yet)"
        counts = ", ".join(f"{len(split):,} {name}" for name, split in self.splits.items())
        shape = " x ".join(map(str, self.image_shape))
        return f"Data({self.name!r}: {counts} images of {shape}, {self.num_classes} {OUTPUT_WORDS[self.source.task]})"

    @property
    def name(self) -> str:
        """The data set's name."""
        return self.source.name

    @property
    def task(self) -> Task:
        """What the labels are: "classification", "multilabel" or "regression"."""
        self.prepare()
        return self.source.task

    @property
    def class_names(self) -> tuple[str, ...]:
        """One name for each class, label or value, in the order of the labels."""
        self.prepare()
        return self.source.class_names

    @property
    def num_classes(self) -> int:
        """The number of classes, labels or values: a network has one output for each."""
        return self.source.num_classes

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images as the model sees them."""
        return self.source.image_shape

    def prepare(self) -> None:
        """Make sure that the files are there, and download them where that is allowed. Raises UserError if they are not."""
        _ = self._prepared

    @property
    def unofficial_files(self) -> dict[str, str] | None:
        """Name -> MD5 of the files that differ from the published ones; None where nobody publishes checksums."""
        self.prepare()
        return self.source.unofficial_files()

    @cached_property
    def _prepared(self) -> bool:
        self.source.prepare()
        return True

    @cached_property
    def preprocessing(self) -> nn.Module:
        """A module: images (N, C, H, W), uint8 or float in [0, 1], → float32 as the model takes them."""
        from hybrid.data.preprocessing import preprocessing

        return preprocessing(self.scale, channels=self.image_shape[0])

    @cached_property
    def measured(self) -> PixelStatistics | None:
        """With normalize="auto", the mean and standard deviation of the training images, which are measured at first use.

        At most 10,000 images are read, each class in proportion, as evaluation sees them. A channel that is the same
        everywhere has the standard deviation 1. Otherwise None.
        """
        if self._scale != "auto":
            return None
        from hybrid.data.statistics import pixel_statistics

        found = pixel_statistics(self.loader("train", batch_size=_USUAL_BATCH, most=_MEASURED, raw=True))
        return PixelStatistics(found.mean, tuple(std if std > _CONSTANT else 1.0 for std in found.std))

    @property
    def scale(self) -> Scale:
        """By what pixels are standardised: the statistics that were given or measured, "none" or "contrast"."""
        return self._scale if self.measured is None else self.measured

    def facts(self) -> Facts:
        """What was learned from the files, and a run keeps. The labels are read, and with normalize="auto" the images."""
        images = {name: described(split.labels) for name, split in self.splits.items()}
        return Facts(self.image_shape, self.measured, self.source.left_out, images, self.class_names)

    def know(self, facts: Facts) -> None:
        """Take facts of `facts()` as known, in place of what the files say; what changed since is found when they are read."""
        self._known = facts
        if facts.image_shape is not None:
            self.source.assume(facts.image_shape)
        if facts.left_out is not None:
            self.source.left_out = facts.left_out
        if self._scale == "auto" and facts.measured is not None:
            self.measured = facts.measured

    @property
    def draws_test(self) -> bool:
        """Whether test images are drawn from the data set, and are not those that it brings."""
        return self._division.holdout.draws

    def redrawn(self, number: int) -> Data:
        """The same data set in another random division, that of split_seed + number and seed + number; 0 is this one."""
        division = dataclasses.replace(self._division, split_seed=self._division.split_seed + number)
        kept = {"scale": self._scale, "augmentation": self.augmentation, "division": division}
        return Data(self.source, **kept, seed=self._seed + number)

    def holding(self, images: Split) -> Data:
        """Data with these images alone, as the split "train", and everything else as here."""
        held = copy.copy(self)
        held._resident = {}
        held.splits = {"train": images}
        return held

    def allow_no_test(self) -> None:
        """Let the data be described without test images; all images then train, unless data.validation names a number."""
        validation = 0 if self._division.validation is None else self._division.validation
        self._without_test = dataclasses.replace(self._division, validation=validation, needs_test=False)

    @cached_property
    def splits(self) -> dict[str, Split]:
        """The splits "train", "test" and, if there is one, "validation"; `len()` of each is its number of images.

        Raises UserError where the classes are others than those that are known (`know`).
        """
        self.prepare()
        if (change := class_change(self._known.class_names, self.class_names)) is not None:
            raise UserError(f"{self.name}: {change}. {_MEND}")
        splits = self._divided()
        if (change := image_change(self._known.images, splits)) is not None:
            if self.exact:
                raise UserError(f"{self.name}: {change}. {_MEND}")
            _log.warning("%s: %s; the results are not those of the run's own images.", self.name, change)
        return splits

    def _divided(self) -> dict[str, Split]:
        try:
            return self._division.split(self.source, seed=self._seed)
        except NoTestImages:
            if self._without_test is None:
                raise
            return self._without_test.split(self.source, seed=self._seed)

    @cached_property
    def train(self) -> Loader:
        """The training images in batches of 128, shuffled and augmented anew each time: `for images, labels in data.train`."""
        return self.loader("train", batch_size=_USUAL_BATCH, train=True)

    @cached_property
    def validation(self) -> Loader:
        """The validation images in batches of 128, in order and as they are. Raises UserError where there are none."""
        return self.loader("validation", batch_size=_USUAL_BATCH)

    @cached_property
    def test(self) -> Loader:
        """The test images in batches of 128, in order and as they are."""
        return self.loader("test", batch_size=_USUAL_BATCH)

    def loader(
        self,
        split: str,
        *,
        batch_size: int,
        device: torch.device | str = "cpu",
        train: bool = False,
        drop_last: bool = False,
        most: int | None = None,
        classes: int | None = None,
        indices: Tensor | None = None,
        raw: bool = False,
        shares: Shares = ALONE,
    ) -> Loader:
        """Batches of one split.

        Args:
            split: "train", "validation" or "test".
            batch_size: images of a batch.
            device: where batches lie, such as "cpu" or "cuda".
            train: shuffle and augment; without it images come in order and as they are.
            drop_last: leave out a last batch that is smaller.
            most: take at most so many images, each class in proportion, and the same ones every time.
            classes: take images of at most so many classes, evenly spread over their numbers.
            indices: take the images at these positions of the data set's own files, as `Batch.indices` has them, in this
                order.
            raw: leave images in [0, 1], for `preprocessing` to follow.
            shares: which part of each batch this process takes; all of it by default.

        Raises:
            UserError: the split, the device or an image does not exist, or the batch size does not fit.
        """
        from hybrid.data.file_loader import FileLoader
        from hybrid.data.finish_batch import BatchFinisher
        from hybrid.data.memory_loader import MemoryLoader

        if split not in self.splits:
            raise unknown_name(split, self.splits, what=f"split of {self.name}")
        chosen, place = self.splits[split], _device(device)
        chosen = self._sample(chosen if indices is None else _at(chosen, indices), most=most, classes=classes)
        finisher = BatchFinisher(
            augmentation=self.augmentation,
            preprocessing=(self._unchanged if raw else copy.deepcopy(self.preprocessing)).to(place),
            fill=self._fill if train else torch.empty(0, dtype=torch.uint8),  # it is a colour of augmentation
            num_classes=self.num_classes,
            device=place,
            seed=self._seed,
        )
        batching = Batching(batch_size, train=train, drop_last=drop_last, seed=self._seed, shares=shares)
        if isinstance(chosen, FileSplit):
            return FileLoader(split, chosen, batching, finisher, self.source)
        on_cpu = train and self.augmentation.policy is not None
        if not on_cpu:
            chosen = self._on(place, split) if chosen is self.splits[split] else chosen.to(place)
        return MemoryLoader(split, chosen, batching, finisher)

    def open_image(self, image: str | PathLike[str] | Image) -> Tensor:
        """An image file, or a Pillow image, as the test images are, resized, cropped and in grey or RGB: uint8 (C, H, W).

        Raises UserError, naming the file, if it cannot be read.
        """
        if isinstance(image, str | PathLike):
            return self.source.open_checked(image)
        return self.source.reader.convert(image)

    def _sample(self, split: Split, *, most: int | None, classes: int | None) -> Split:
        if classes is not None and classes < self.num_classes and self.task == "classification":
            numbers = torch.linspace(0, self.num_classes - 1, classes).round().long()
            split = split.take(torch.isin(split.labels, numbers).nonzero().flatten())
        if most is not None and most < len(split):
            split = split.take(stratified_positions(split.labels, most, seed=self._division.split_seed))
        return split

    @property
    def _unchanged(self) -> Normalize:
        from hybrid.data.preprocessing import Normalize

        channels = self.image_shape[0]
        return Normalize((0.0,) * channels, (1.0,) * channels)

    @property
    def _fill(self) -> Tensor:
        """(C,) uint8: the mean pixel where the preprocessing has one, or else middle grey."""
        mean = getattr(self.preprocessing, "mean", ())
        mean = torch.tensor(mean if any(mean) else [0.5] * self.image_shape[0])
        return (mean * 255).round().clamp(0, 255).to(torch.uint8)

    def _on(self, device: torch.device, split: str) -> MemorySplit:
        key = (split, device)
        if key not in self._resident:
            self._resident[key] = self.splits[split].to(device)
        return self._resident[key]


def _at(split: Split, indices: Tensor) -> Split:
    """The images of a split at these positions of the data set's own files."""
    places = {index: place for place, index in enumerate(split.indices.tolist())}
    if missing := [index for index in indices.tolist() if index not in places]:
        some = ", ".join(map(str, sorted(places)[:5]))
        raise UserError(f"there is no image {missing[0]} in this split of {len(split):,} images: it has {some}, ….")
    return split.take(torch.tensor([places[index] for index in indices.tolist()], dtype=torch.int64))


def _device(device: torch.device | str) -> torch.device:
    try:
        return torch.device(device)
    except RuntimeError as error:
        raise UserError(f"unknown device {device}: use cpu, cuda or cuda:0.") from error
