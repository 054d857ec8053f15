"""Arrays of images and labels in .npz, .npy and HDF5 files: a data set without code."""

from __future__ import annotations

import logging
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hybrid.data.array_files import find_array, open_array, text_of
from hybrid.data.file_names import numbered_names
from hybrid.data.images import Fit, ImageReader, Size, check_size, sides
from hybrid.data.pixels import ValueRange, as_bytes, check_value_range
from hybrid.data.resizing import resize, tell_of_cropping
from hybrid.data.sources import Source
from hybrid.data.stored import FileSplit, MemorySplit, Part, Split
from hybrid.data.tasks import Task, as_labels, checked_labels, task_of
from hybrid.errors import UserError
from hybrid.lazy import LazyModule
from hybrid.ranges import Workers

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = LazyModule("torch")

_log = logging.getLogger(__name__)
_IN_MEMORY = 4 << 30  # bytes of uint8 images, all parts together, which are read whole
_FEW = 16  # channels at most, where the order of the axes is guessed
_CHUNK = 1000  # images that are read at a time


class Arrays(Source):
    """Images (N, H, W), (N, H, W, C) or (N, C, H, W) and their labels, by the names of their arrays.

    Args:
        root: an .npz or HDF5 file, or a folder of .npy, .npz and HDF5 files.
        images, labels: the names of the arrays that train. In a folder, "x.npy", or "x.npz:images" for one of several.
        test_images, test_labels: of those that test; without them test images are drawn (`hybrid.data.Holdout`).
        validation_images, validation_labels: of those that validate, if the data set brings them.
        channels: where the axis of the channels is: "first", "last"; None guesses it where one axis alone is small enough.
        size: the size of the images that the model sees; None: that of the arrays.
        fit: how images of other proportions are brought to it, by "crop" or "squash".
        value_range: the values (black, white) of numbers whose type does not say them.
        task: what the labels are. None sees it: whole numbers, text and one-hot rows are classes, other rows of 0 and 1 are
            several labels an image, and floats are values.
        class_names: one for each class, label or value. None numbers classes, or takes them from labels that are text, and
            calls labels and values as their array is called: "angle", or "emotions0", "emotions1" of several columns.
        in_memory: whether the images are read whole; None does so up to 4 GiB. Otherwise each batch is read from the file.
        num_workers: processes that read images which are not in memory.
        name: in tables and file names.
    """

    reads_shape = True
    num_workers: int | Literal["auto"]

    def __init__(
        self,
        *,
        root: str,
        images: str = "images",
        labels: str = "labels",
        test_images: str | None = None,
        test_labels: str | None = None,
        validation_images: str | None = None,
        validation_labels: str | None = None,
        channels: Literal["first", "last"] | None = None,
        size: Size | None = None,
        fit: Fit = "crop",
        value_range: ValueRange | None = None,
        task: Task | None = None,
        class_names: list[str] | None = None,
        in_memory: bool | None = None,
        num_workers: Workers | Literal["auto"] = "auto",
        name: str = "arrays",
    ) -> None:
        if size is not None:
            check_size(size, name="data.size")
        check_value_range(value_range)
        self.root, self.name, self.fit, self.value_range = Path(root).expanduser(), name, fit, value_range
        self.num_workers = num_workers
        self._names = {
            "train": (images, labels),
            "validation": (validation_images, validation_labels),
            "test": (test_images, test_labels),
        }
        self._axis, self._size, self._task = channels, size, task
        self._given_names, self._in_memory = class_names, in_memory
        self._shape: tuple[int, int, int] | None = None
        for part, (pictures, targets) in self._names.items():
            if (pictures is None) != (targets is None):
                raise UserError(f"data.{part}_images and data.{part}_labels belong together: one of them is missing.")

    def prepare(self) -> None:
        for part, (name, _) in self._names.items():
            self._images(part)  # type: ignore[arg-type]
            if name in self._kept and not self._reads_whole:
                raise UserError(
                    f"data.in_memory=false has no effect: {self.root} is compressed, so {name} is read whole."
                )

    def look_for_files(self) -> None:
        for part, (images, labels) in self._names.items():
            before = "data." if part == "train" else f"data.{part}_"
            for name, kind in ((images, "images"), (labels, "labels")):
                if name is not None:
                    find_array(self.root, name, setting=before + kind)

    def assume(self, image_shape: tuple[int, int, int]) -> None:
        self._shape = image_shape

    @property
    def image_shape(self) -> tuple[int, int, int]:
        if self._shape is None:
            (_, height, width), channels = self._dimensions("train")
            self._shape = (channels, *(sides(self._size) if self._size is not None else (height, width)))
        return self._shape

    @property
    def reader(self) -> ImageReader:
        channels, *size = self.image_shape
        if channels not in (1, 3):
            raise UserError(f"{self.name} has images of {channels} channels: image files cannot hold them, arrays can.")
        box = (size[0], size[1])
        return ImageReader(channels=channels, size=box, resize=box, fit=self.fit, value_range=self.value_range)

    @cached_property
    def task(self) -> Task:  # type: ignore[override]
        labels = self._labels("train")
        if self._task is not None or isinstance(labels, list):
            return self._task or "classification"
        return task_of(as_labels(labels, task=None, where=f"{self.name}, train part"))

    @cached_property
    def class_names(self) -> tuple[str, ...]:  # type: ignore[override]
        if self._given_names is not None:
            return tuple(self._given_names)
        labels = self._labels("train")
        if isinstance(labels, list):
            return tuple(sorted(set(labels)))
        found = as_labels(labels, task=self.task, where=f"{self.name}, train part")
        if self.task == "classification":
            return tuple(map(str, range(max(int(found.max()) + 1, _columns(labels)))))
        if self.task == "regression" and _columns(found) == 1 and self._own_name is not None:
            return (self._own_name,)
        name = self._own_name or ("label" if self.task == "multilabel" else "value")
        return tuple(f"{name}{n}" for n in range(_columns(found)))

    @property
    def _own_name(self) -> str | None:
        """The name of the array of labels without its file and groups; None where it is "labels", which says nothing."""
        name = (self._names["train"][1] or "").rpartition(":")[2].rpartition("/")[2].removesuffix(".npy")
        return None if name in ("", "labels") else name

    def stored(self, part: Part) -> Split | None:
        images = self._images(part)
        if images is None:
            return None
        where = f"{self.name}, {part} part"
        labels = self._labels(part)
        if isinstance(labels, list):
            labels = self._numbers(labels, where)
        found = as_labels(labels, task=self.task, where=where)
        found = checked_labels(found, task=self.task, outputs=self.num_classes, count=len(images), where=where)
        numbers = torch.arange(len(images))
        if not self._reads_whole:
            return FileSplit(numbered_names(part, len(images)), found, numbers)
        pixels = torch.cat([self._pixels(part, slice(at, at + _CHUNK)) for at in range(0, len(images), _CHUNK)])
        self._kept.pop(self._names[part][0], None)
        return MemorySplit(pixels, found, numbers)

    def item(self, key: str) -> Tensor:
        part, _, number = key.partition(":")
        return self._pixels(part, slice(int(number), int(number) + 1))[0]  # type: ignore[arg-type]

    def content(self, key: str) -> bytes:
        return self.item(key).numpy().tobytes()

    def _pixels(self, part: Part, rows: slice) -> Tensor:
        """Some images as the model's, uint8 (n, C, H, W)."""
        found = self._images(part)
        values = channels_first(found[rows], "first" if len(found.shape) == 3 else self._layout(part))
        where = f"{self.name}, {part} part"
        pixels = as_bytes(values, value_range=self.value_range, where=where)
        channels, *size = self.image_shape
        if pixels.shape[1] != channels:
            raise UserError(f"{where}: images have {pixels.shape[1]} channels, and those of the train part {channels}.")
        if rows.start == 0:
            tell_of_cropping(pixels, (size[0], size[1]), fit=self.fit, where=where)
        return resize(pixels, (size[0], size[1]), fit=self.fit)

    @property
    def name_of_images(self) -> str | None:
        """The name of the array that trains."""
        return self._names["train"][0]

    @property
    def axis(self) -> Literal["first", "last"] | None:
        """Where the channels are, as data.channels says it, or the images did when they were read."""
        return self._axis

    def _images(self, part: Part) -> Any:
        """The array of a part's images; None where there is none."""
        name = self._names[part][0]
        if name is None:
            return None
        array, _ = self._opened(name, f"data.{'' if part == 'train' else part + '_'}images")
        if len(array.shape) not in (3, 4) or not len(array):
            raise UserError(
                f"{self.root}, {name}: images have the shape (N, H, W), (N, H, W, C) or (N, C, H, W), not {array.shape}."
            )
        return array

    def _opened(self, name: str, setting: str) -> tuple[Any, bool]:
        """What stays in its file is opened anew: an HDF5 file does not outlive a fork."""
        if name not in self._kept:
            found = open_array(self.root, name, setting=setting)
            if found[1]:
                return found
            self._kept[name] = found
        return self._kept[name]

    @cached_property
    def _kept(self) -> dict[str, tuple[Any, bool]]:
        return {}

    def _labels(self, part: Part) -> Any:
        """The labels as they are stored: an array, or a list of text."""
        name = self._names[part][1]
        array, _ = self._opened(name, f"data.{'' if part == 'train' else part + '_'}labels")  # type: ignore[arg-type]
        labels = np.asarray(array[...])
        return text_of(labels.ravel()) if labels.dtype.kind in "USO" else labels

    def _numbers(self, labels: list[str], where: str) -> list[int]:
        known = {name: number for number, name in enumerate(self.class_names)}
        for label in labels:
            if label not in known:
                raise UserError(f"{where}: the label {label!r} is none of {', '.join(self.class_names)}.")
        return [known[label] for label in labels]

    def _dimensions(self, part: Part) -> tuple[tuple[int, int, int], int]:
        """((N, height, width), channels) of the stored images."""
        shape = tuple(self._images(part).shape)
        if len(shape) == 3:
            if self._axis is not None:
                raise UserError(
                    f"data.channels={self._axis} has no effect: images of shape {shape} have no axis of channels."
                )
            return shape, 1  # type: ignore[return-value]
        if self._layout(part) == "first":
            return (shape[0], *shape[2:]), shape[1]  # type: ignore[return-value]
        return shape[:3], shape[3]  # type: ignore[return-value]

    def _layout(self, part: Part) -> Literal["first", "last"]:
        """Where the channels are, as the array of the train part shows it."""
        if self._axis is None:
            shape = self._images("train").shape
            first, last = shape[1] <= _FEW, shape[3] <= _FEW
            if first == last:
                raise UserError(
                    f"{self.name}: images of shape {shape} do not show which axis holds the channels: set data.channels=first "
                    "(N, C, H, W) or last (N, H, W, C)."
                )
            self._axis = "first" if first else "last"
            channels = shape[1] if first else shape[3]
            _log.warning(
                "%s: images of shape %s are read with data.channels=%s: %d.", self.name, shape, self._axis, channels
            )
        return self._axis

    @cached_property
    def _reads_whole(self) -> bool:
        if self._in_memory is not None:
            return self._in_memory
        channels, height, width = self.image_shape
        names = [name for name, _ in self._names.values() if name is not None]
        images = sum(len(self._opened(name, "data.images")[0]) for name in names)
        return images * channels * height * width <= _IN_MEMORY


def channels_first(values: Any, layout: Literal["first", "last"]) -> np.ndarray:
    """Images (N, H, W), (N, C, H, W) or, with the layout "last", (N, H, W, C) as a new array (N, C, H, W)."""
    images = np.array(values, order="C")  # a copy: torch wants memory that can be written
    if images.ndim == 3:
        images = images[:, None]
    elif layout == "last":
        images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    return images if images.dtype.isnative else images.astype(images.dtype.newbyteorder("="))


def _columns(labels: Any) -> int:
    return labels.shape[1] if labels.ndim == 2 else 1
