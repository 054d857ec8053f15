"""Image files in one folder for each class: ImageNet, and pictures of your own."""

from __future__ import annotations

import builtins
import logging
import os
from functools import cached_property
from pathlib import Path
from typing import Literal

from hybrid.data.images import EXTENSIONS, Fit, Interpolation, Size, box_around, check_size, shown, sides
from hybrid.data.pixels import ValueRange, check_value_range
from hybrid.data.sources import Files, FileSource
from hybrid.errors import UserError

_log = logging.getLogger(__name__)
_SMALL_PART = 0.6  # of a side: a smaller crop is usually a forgotten data.resize
_LAYOUT = "it must hold train/ and val/ (or test/), each with one folder of images per class"


class Folder(FileSource):
    """Image files `root`/train/CLASS/*.jpg and `root`/val/CLASS/*.jpg, or test/ in place of val/.

    Class names are the names of the folders in train/, sorted. With val/ or test/ alone, that folder is the test set, and no
    choice is ever made by it. With both, test/ is the test set and val/ the validation split. `FileSource` explains the other
    arguments.
    """

    def __init__(
        self,
        *,
        root: str,
        size: Size = 224,
        resize: Size = 256,
        fit: Fit = "crop",
        interpolation: Interpolation = "bicubic",
        channels: Literal[1, 3] = 3,
        value_range: ValueRange | None = None,
        num_workers: int | Literal["auto"] = "auto",
        name: str = "folder",
    ) -> None:
        check_size(size, name="data.size")
        check_size(resize, name="data.resize")
        check_value_range(value_range)
        _check_crop(size, resize)
        if num_workers != "auto" and num_workers < 0:
            raise UserError(f"data.num_workers={num_workers} is negative; use 0 or more, or auto")
        self.root, self.name, self.channels = Path(root).expanduser(), name, channels
        self.size, self.resize, self.interpolation, self.num_workers = size, resize, interpolation, num_workers
        self.fit, self.value_range = fit, value_range

    def prepare(self) -> None:
        if not self.root.is_dir():
            raise UserError(f"{self.name}: no folder {self.root.absolute()}; set data.root: {_LAYOUT}.")
        if "train" not in self._folders or "test" not in self._folders:
            raise UserError(
                f"{self.name}: {self.root.absolute()} has no train/ with val/ or test/ beside it; {_LAYOUT}."
            )

    @cached_property
    def _folders(self) -> dict[str, Path]:
        there = {name: self.root / name for name in ("train", "val", "test") if (self.root / name).is_dir()}
        folders = {"train": there["train"]} if "train" in there else {}
        if "test" in there:
            folders["test"] = there["test"]
            if "val" in there:
                folders["validation"] = there["val"]
        elif "val" in there:
            folders["test"] = there["val"]
        return folders

    @cached_property
    def class_names(self) -> tuple[str, ...]:  # type: ignore[override]
        self.prepare()
        names = _subfolders(self._folders["train"])
        if not names:
            raise UserError(f"{self.name}: {self._folders['train'].absolute()} has no folder per class in it.")
        return tuple(names)

    def list(self, part: Literal["train", "validation", "test"]) -> Files | None:
        self.prepare()
        folder = self._folders.get(part)
        if folder is None:
            return None
        stray = sorted(set(_subfolders(folder)) - set(self.class_names))
        if stray:
            raise UserError(f"{self.name}: {folder / stray[0]} is a class that {self._folders['train']} does not have.")
        paths: builtins.list[str] = []
        labels: builtins.list[int] = []
        for label, name in enumerate(self.class_names):
            found = _images(folder / name)
            if not found and part == "train":
                raise UserError(f"{self.name}: no image in {folder / name} (known: {', '.join(EXTENSIONS)}).")
            paths += found
            labels += [label] * len(found)
        if not paths:
            raise UserError(f"{self.name}: no image in the class folders of {folder.absolute()}.")
        return Files(paths, labels)


class ImageNet(Folder):
    """ILSVRC 2012, in the folders train/ and val/; val/ is the test set. It is never downloaded: its terms need an account."""

    published = True


def _check_crop(size: Size, resize: Size) -> None:
    """Raises UserError where the crop is larger than the image that it is cut from; warns where it is much smaller."""
    parts = [cut / side for cut, side in zip(sides(size), box_around(size, resize), strict=True)]
    words = f"data.resize={shown(resize)} (before the crop)", f"data.size={shown(size)} (the crop)"
    if max(parts) > 1:
        raise UserError(f"{words[0]} is smaller than {words[1]}")
    if min(parts) < _SMALL_PART:
        usual = round(min(sides(size)) * 256 / 224)
        _log.warning(
            "%s and %s: evaluation sees the central %.0f %% of an image's side; data.resize=%d keeps 88 %%, as ImageNet's.",
            *words, 100 * min(parts), usual,
        )  # fmt: skip


def _subfolders(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def _images(folder: Path) -> list[str]:
    """All image files below a class's folder, sorted."""
    if not folder.is_dir():
        return []
    return sorted(
        os.path.join(place, name)
        for place, _, names in os.walk(folder)
        for name in names
        if name.lower().endswith(EXTENSIONS) and not name.startswith(".")
    )
