"""A data set of torchvision, or of any class with its interface, by the path of the class."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from hybrid.data.images import Fit, Interpolation, Size
from hybrid.data.indexed import IndexedSource, numbered
from hybrid.data.pixels import ValueRange
from hybrid.data.stored import Part
from hybrid.errors import UserError, first_line
from hybrid.ranges import Workers

_LABELS = ("targets", "labels", "_labels", "y")  # where torchvision's classes keep the labels of all images
_SPLITS = {"train": "train", "validation": None, "test": "test"}  # of a class with an argument `split`


class TorchvisionSet(IndexedSource):
    """A map-style data set: `dataset[number]` is (image, label), `len(dataset)` the number of images.

    Args:
        dataset: the path of the class, such as torchvision.datasets.FashionMNIST.
        root: the folder of its files, if the class has such an argument.
        download: whether missing files are fetched, if the class can do that.
        options: more arguments of the class, for all parts.
        test_options: other arguments for the part that tests, such as split: val. A class with an argument `train` gets
            train=False, and one with `split` gets split="test"; one with neither has no test images.
        name: in tables and file names. `FileSource` explains the others.
    """

    def __init__(
        self,
        *,
        dataset: str,
        root: str | None = None,
        download: bool = True,
        options: dict | None = None,
        test_options: dict | None = None,
        name: str = "torchvision",
        size: Size = 224,
        resize: Size | None = None,
        fit: Fit = "crop",
        interpolation: Interpolation = "bicubic",
        channels: Literal[1, 3] = 3,
        value_range: ValueRange | None = None,
        num_workers: Workers | Literal["auto"] = "auto",
    ) -> None:
        super().__init__(
            name=name,
            size=size,
            resize=resize,
            fit=fit,
            interpolation=interpolation,
            channels=channels,
            value_range=value_range,
            num_workers=num_workers,
        )
        self.root, self.download = None if root is None else Path(root).expanduser(), download
        self._class = _class(dataset)
        self._path = dataset
        self._options, self._test_options = options or {}, test_options or {}
        self._made: dict[str, Any] = {}

    def prepare(self) -> None:
        self._part("train")

    @cached_property
    def class_names(self) -> tuple[str, ...]:  # type: ignore[override]
        names = getattr(self._part("train"), "classes", None)
        if isinstance(names, Sequence) and not isinstance(names, str) and all(isinstance(name, str) for name in names):
            return tuple(names)
        return numbered(self.labels_of("train") or [])

    def labels_of(self, part: Part) -> Sequence[Any] | None:
        dataset = self._part(part)
        if dataset is None:
            return None
        for name in _LABELS:
            found = getattr(dataset, name, None)
            if found is not None and hasattr(found, "__len__") and len(found) == len(dataset):
                return [int(label) for label in found]
        return [int(dataset[number][1]) for number in range(len(dataset))]

    def picture(self, part: Part, number: int) -> Any:
        return self._part(part)[number][0]

    def _part(self, part: Part) -> Any:
        if part not in self._made:
            arguments = self._arguments(part)
            self._made[part] = None if arguments is None else self._make(arguments)
        return self._made[part]

    def _arguments(self, part: Part) -> dict[str, Any] | None:
        """The arguments of the class for a part; None where it has no such part."""
        known = inspect.signature(self._class).parameters
        given: dict[str, Any] = {"root": str(self.root), "download": self.download}
        given = {name: value for name, value in given.items() if name in known and value != "None"}
        given |= self._options
        if part == "train":
            return ({"train": True} if "train" in known else {"split": "train"} if "split" in known else {}) | given
        if part == "validation":
            return None
        if "train" in known:
            given["train"] = False
        elif "split" in known:
            given["split"] = "test"
        elif not self._test_options:
            return None
        return given | self._test_options

    def _make(self, arguments: Mapping[str, Any]) -> Any:
        if self.root is not None and self.download:
            self.root.mkdir(parents=True, exist_ok=True)
        try:
            return self._class(**arguments)
        except Exception as error:  # a data set can refuse in any way
            shown = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
            raise UserError(f"{self._path}({shown}) failed: {first_line(error)}") from error


def _class(path: str) -> Any:
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"data.dataset={path} cannot be imported: {error}.") from error
