"""Image files in one folder for each class: ImageNet, and pictures of your own."""

from __future__ import annotations

import builtins
import os
from functools import cached_property
from pathlib import Path
from typing import Literal

from hybrid.data.images import EXTENSIONS, Interpolation, check_side
from hybrid.data.sources import Files, FileSource
from hybrid.errors import UserError

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
        size: int = 224,
        resize: int = 256,
        interpolation: Interpolation = "bicubic",
        channels: Literal[1, 3] = 3,
        num_workers: int | Literal["auto"] = "auto",
        name: str = "folder",
    ) -> None:
        check_side(size, name="data.size")
        check_side(resize, name="data.resize")
        if resize < size:
            raise UserError(f"data.resize={resize} (the short side) is smaller than data.size={size} (the crop)")
        if num_workers != "auto" and num_workers < 0:
            raise UserError(f"data.num_workers={num_workers} is negative; use 0 or more, or auto")
        self.root, self.name, self.channels = Path(root).expanduser(), name, channels
        self.size, self.resize, self.interpolation, self.num_workers = size, resize, interpolation, num_workers

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
