"""Shards in the format of WebDataset: tar files with the image, the label and more of each sample under one key.

The headers of the shards are read once, or the index that `hybrid pack` writes, and then every image by its place in its file. So
the images of an epoch are shuffled by (seed, epoch), a run resumes bit for bit, and evaluation sees every image once, which a
stream of shards cannot do.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hybrid.data.images import Box, Fit, Interpolation, Size
from hybrid.data.indexed import IndexedSource, numbered
from hybrid.data.pixels import ValueRange
from hybrid.data.shards import Shards, named_classes
from hybrid.data.stored import Part
from hybrid.errors import UserError
from hybrid.ranges import Workers

if TYPE_CHECKING:
    from torch import Tensor


class WebDataset(IndexedSource):
    """Samples KEY.jpg (or .png, …) and KEY.cls of tar files that are not compressed.

    Args:
        root: the folder of the shards.
        shards: a pattern of the shards that train, in `root`.
        test_shards, validation_shards: of those that test and validate; None: there are none.
        label: the ending of the file with the label, a whole number as text: "cls". "json:KEY" takes a value of a JSON file.
        class_names: one for each class; None: those of the index that `hybrid pack` has written beside the shards, or numbers.
        shuffle: "all" shuffles all training images; "shards" shuffles the shards, and the images of 16 shards at a time, so that
            an epoch reads from few files at a time, as network disks like it.
        name: in tables and file names. `FileSource` explains the others.
    """

    def __init__(
        self,
        *,
        root: str,
        shards: str = "train*.tar",
        test_shards: str | None = None,
        validation_shards: str | None = None,
        label: str = "cls",
        class_names: list[str] | None = None,
        shuffle: Literal["all", "shards"] = "all",
        name: str = "webdataset",
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
        self.root = Path(root).expanduser()
        self._patterns = {"train": shards, "validation": validation_shards, "test": test_shards}
        self._label, self._given_names, self._shuffle = label, tuple(class_names or ()), shuffle
        self._found: dict[str, Shards] = {}

    def prepare(self) -> None:
        self.look_for_files()

    def look_for_files(self) -> None:
        if not self.root.is_dir():
            raise UserError(f"{self.name}: no folder {self.root.absolute()}; set data.root.")

    @cached_property
    def class_names(self) -> tuple[str, ...]:  # type: ignore[override]
        return self._given_names or named_classes(self.root) or numbered(self._samples("train").labels.tolist())

    def labels_of(self, part: Part) -> Sequence[Any] | None:
        return None if self._patterns[part] is None else self._samples(part).labels.tolist()

    def picture(self, part: Part, number: int) -> Any:
        from PIL import Image

        return Image.open(io.BytesIO(self._samples(part).content(number)))

    def item(self, key: str) -> Tensor:
        quick = self.reader.quick(self._content(key))
        return super().item(key) if quick is None else quick

    def item_box(self, key: str, choose_box: Callable[[int, int], Box]) -> Tensor:
        choose_box = functools.cache(choose_box)  # the same box again, where Pillow reads the image after all
        quick = self.reader.quick(self._content(key), choose_box)
        return super().item_box(key, choose_box) if quick is None else quick

    def blocks(self, keys: Sequence[str]) -> np.ndarray | None:
        if self._shuffle == "all":
            return None
        parts = {
            part: np.array([int(key.partition(":")[2]) for key in keys if key.startswith(f"{part}:")], dtype=np.int64)
            for part in self._patterns
        }
        first, found = 0, np.empty(len(keys), dtype=np.int64)
        for part, numbers in parts.items():
            if len(numbers):
                samples = self._samples(part)  # type: ignore[arg-type]
                found[[key.startswith(f"{part}:") for key in keys]] = first + samples.shard[numbers]
                first += len(samples.paths)
        return found

    def _content(self, key: str) -> bytes | None:
        part, _, number = key.partition(":")
        try:
            return self._samples(part).content(int(number))  # type: ignore[arg-type]
        except OSError:  # Pillow's way will say so
            return None

    def _samples(self, part: Part) -> Shards:
        if part not in self._found:
            paths = sorted(self.root.glob(str(self._patterns[part])))
            if not paths:
                raise UserError(f"{self.name}: no shard {self._patterns[part]} in {self.root.absolute()}.")
            known = Shards.indexed(paths) if self._label == "cls" else None
            self._found[part] = Shards.walked(paths, label=self._label) if known is None else known
        return self._found[part]
