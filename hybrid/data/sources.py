"""The base classes of data sets: `MemorySource` for images in memory, `FileSource` for image files.

A data set of your own is a subclass of one of them, anywhere on the Python path. The keyword arguments of its constructor are
the keys of its yaml. docs/guide/data.md has a complete example.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from hybrid.data.files import OfficialFile, is_official, md5
from hybrid.data.images import Box, Fit, ImageReader, Interpolation, Size, box_around, sides
from hybrid.data.pixels import ValueRange, as_bytes
from hybrid.data.resizing import resize, tell_of_cropping
from hybrid.data.stored import FileSplit, MemorySplit, Part, Split, Stored
from hybrid.data.tasks import Task, as_labels, checked_labels
from hybrid.errors import UserError, first_line
from hybrid.lazy import LazyModule

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor
else:
    torch = LazyModule("torch")


class Source(ABC):
    """A labelled data set with a training part and, usually, a test part, before it is split and augmented.

    Attributes:
        name: the data set's name in tables and file names.
        task: what the labels are (`hybrid.data.tasks`): one class an image, several labels each 0 or 1, or values.
        published: whether its images are published, and so the same wherever they lie. Of any other source, another `root`
            means other images, and so another run.
        channels: 3 for colour, 1 for grey.
        size: of the images that the model sees: the side of a square in pixels, or (height, width).
        fit: how an image of other proportions is brought to `size`: "crop" cuts off what does not fit, "squash" changes the
            proportions.
        value_range: the values (black, white) of images whose type does not say them; `hybrid.data.pixels` has the rule.
        reads_shape: whether the shape of the images is read from the files.
        left_out: the damaged files that are not used, by their paths within the data set; None: they are not known, or all
            files are used.
    """

    reads_shape: bool = False
    left_out: tuple[str, ...] | None = None
    name: str = "data"
    task: Task = "classification"
    published: bool = False
    channels: int = 3
    size: Size
    fit: Fit = "crop"
    value_range: ValueRange | None = None

    @property
    @abstractmethod
    def class_names(self) -> tuple[str, ...]:
        """One name for each class, label or value, in the order of the labels: a network has one output for each of them."""

    @property
    def num_classes(self) -> int:
        """The number of classes, labels or values."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""
        return (self.channels, *sides(self.size))

    @property
    @abstractmethod
    def reader(self) -> ImageReader:
        """How image files are read, resized and cropped for evaluation and prediction."""

    def open_image(self, path: str | PathLike[str]) -> Tensor:
        """One image file as the test images are: (C, H, W). Raises UserError, naming the file, if it cannot be read.

        A class with another way of reading a file overrides it; the image is of any type that `hybrid.data.pixels` takes.
        """
        return self.reader.open(path)

    def open_checked(self, path: str | PathLike[str]) -> Tensor:
        """What `open_image` gives, as uint8. Raises UserError, naming the file, for another shape or numbers without a range."""
        image = torch.as_tensor(self.open_image(path))
        if tuple(image.shape) != self.image_shape:
            raise UserError(f"{path}: open_image gave an image of shape {tuple(image.shape)}, not {self.image_shape}.")
        if image.dtype == torch.uint8:  # a value range is for the numbers in the file
            return image
        return as_bytes(image, value_range=self.value_range, where=str(path))

    def item(self, key: str) -> Tensor:
        """One image of a `FileSplit`, by its entry in `paths`, as the test images are: uint8 (C, H, W)."""
        return self.open_checked(key)

    def item_box(self, key: str, choose_box: Callable[[int, int], Box]) -> Tensor:
        """The same, with a box of the image in place of its centre. `choose_box(width, height)` gives the box, in pixels."""
        return self.reader.open_box(key, choose_box)

    def blocks(self, keys: Sequence[str]) -> np.ndarray | None:
        """(n,) int64, the file in which each of these images lies, where images of few files are to be read at a time."""
        return None

    def content(self, key: str) -> bytes:
        """The bytes that tell an image of a `FileSplit` from another."""
        return Path(key).read_bytes()

    def assume(self, image_shape: tuple[int, int, int]) -> None:  # noqa: B027  (most sources are told it)
        """Take the shape of the images as known. A source that reads it from its files need not have them for prediction."""

    @abstractmethod
    def stored(self, part: Part) -> Split | None:
        """One part of the data set, checked; None where there is no such part. "train" is always there."""

    def prepare(self) -> None:  # noqa: B027  (a data set inside a package has nothing to do)
        """Make sure that the files are there, and download them where that is allowed. Raises UserError if they are not."""

    def look_for_files(self) -> None:  # noqa: B027
        """Raises UserError where files are missing that nobody will download. Nothing is read; it is called before `prepare`."""

    def official_files(self) -> list[OfficialFile]:
        """The files that the data set reads, with their published checksums where there are any."""
        return []

    def unofficial_files(self) -> dict[str, str] | None:
        """Name -> MD5 of the files that differ from the published ones; None where nobody publishes checksums.

        The files must be there.
        """
        files = [file for file in self.official_files() if file.md5 is not None]
        return {file.path.name: md5(file.path) for file in files if not is_official(file)} if files else None

    def train_positions(self) -> Tensor | None:
        """The positions of the training images to use, where the data set defines a choice (STL-10's folds); None: all."""
        return None


class MemorySource(Source):
    """A data set that fits in memory, as one tensor of images for each part. It is kept as uint8.

    Subclasses write `read` and `class_names`, and say `size`: images of another one are resized to it.
    """

    @abstractmethod
    def read(self, part: Stored) -> tuple[Tensor, Tensor] | None:
        """(images (N, C, h, w), labels) in the order of the files, at their native size; None: there are no test images.

        Labels are (N,) int64; of another `task` (N, K) of 0 and 1, or numbers (N,) or (N, K).
        Images are of any type that `hybrid.data.pixels` takes: uint8, bool, uint16, float in [0, 1], or with a `value_range`.
        """

    @property
    def reader(self) -> ImageReader:
        size = sides(self.size)
        return ImageReader(channels=self.channels, size=size, resize=size, fit=self.fit, value_range=self.value_range)

    def load(self, part: Stored) -> tuple[Tensor, Tensor] | None:
        """What `read` gives, checked and resized to `image_shape`. Raises UserError for other types, shapes or labels."""
        found = self.read(part)
        if found is None and part == "test":
            return None
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise UserError(f"{self.name}: read({part!r}) returned {_kind(found)}; it returns a pair (images, labels).")
        images, labels = found
        where = f"{self.name}, {part} part"
        try:
            images = torch.as_tensor(images)
        except (ValueError, TypeError, RuntimeError) as error:  # such as images of several sizes in a list
            raise UserError(
                f"{where}: images are no array ({first_line(error)[:80]}): give all of them one size."
            ) from error
        labels = as_labels(labels, task=self.task, where=where)
        if images.ndim != 4 or images.shape[1] != self.channels:
            wanted = f"of shape (N, {self.channels}, h, w)"
            raise UserError(f"{where}: images must be {wanted}, got {tuple(images.shape)}.")
        labels = checked_labels(labels, task=self.task, outputs=self.num_classes, count=len(images), where=where)
        images = as_bytes(images, value_range=self.value_range, where=where)
        tell_of_cropping(images, sides(self.size), fit=self.fit, where=where)
        return resize(images, sides(self.size), fit=self.fit), labels

    def stored(self, part: Part) -> MemorySplit | None:
        if part == "validation":
            return None
        loaded = self.load(part)
        return None if loaded is None else MemorySplit(*loaded, torch.arange(len(loaded[1])))


class Files(NamedTuple):
    """The image files of one part, and the class of each (0, 1, …); of another `task` its labels or values."""

    paths: Sequence[str]
    labels: Sequence[int] | Sequence[float] | Sequence[Sequence[float]]


class FileSource(Source):
    """A data set of image files, which are decoded when they are needed.

    Subclasses write `list` and `class_names`.

    Attributes:
        resize: what evaluation scales an image to before it cuts out the centre of `size`: (height, width) that the image
            covers, or the shorter side of such a box, which then has the proportions of `size`.
        interpolation: "bicubic" or "bilinear".
        num_workers: processes that decode; "auto" is one for each core, up to 16; 0 decodes in the main process.
    """

    resize: Size
    interpolation: Interpolation
    num_workers: int | Literal["auto"]

    @abstractmethod
    def list(self, part: Part) -> Files | None:
        """The files and labels of one part, in a fixed order; None where there is no such part ("train" is always there)."""

    def stored(self, part: Part) -> FileSplit | None:
        files = self.list(part)
        if files is None:
            return None
        labels = as_labels(files.labels, task=self.task, where=f"{self.name}, {part} part")
        known = {"task": self.task, "outputs": self.num_classes, "count": len(files.paths)}
        labels = checked_labels(labels, **known, where=f"{self.name}, {part} part")
        return FileSplit(files.paths, labels, torch.arange(len(labels)))

    @property
    def reader(self) -> ImageReader:
        return ImageReader(
            channels=self.channels,
            size=sides(self.size),
            resize=box_around(self.size, self.resize),
            interpolation=self.interpolation,
            fit=self.fit,
            value_range=self.value_range,
        )

    def unreadable(self, paths: Sequence[str]) -> dict[str, str]:
        """Path -> what is wrong with the file, of those that cannot be read. Every file is decoded, in a thread a core."""
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            found = threads.map(self._fault, paths)
            return {path: fault for path, fault in zip(paths, found, strict=True) if fault is not None}

    def _fault(self, path: str) -> str | None:
        try:
            self.item(path)
        except UserError as error:
            return str(error)
        return None


def _kind(found: Any) -> str:
    return "None" if found is None else f"a {type(found).__name__}"
