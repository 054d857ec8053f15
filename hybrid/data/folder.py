"""Image files in one folder for each class: ImageNet, and pictures of your own."""

from __future__ import annotations

import logging
import os
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from hybrid.data.folder_index import Found, find_images
from hybrid.data.images import EXTENSIONS, Fit, Interpolation, Size, box_around, check_size, shown, sides
from hybrid.data.pixels import ValueRange, check_value_range
from hybrid.data.sources import Files, FileSource
from hybrid.errors import UserError
from hybrid.ranges import Workers

_log = logging.getLogger(__name__)
_SMALL_PART = 0.6  # of a side: a smaller crop is usually a forgotten data.resize
_LAYOUT = "it holds train/ and val/ (or test/), each with one folder of images per class, or these folders alone"
_PARTS = ("train", "val", "test")


class Folder(FileSource):
    """Image files `root`/train/CLASS/*.jpg and `root`/val/CLASS/*.jpg, or test/ in place of val/; or `root`/CLASS/*.jpg.

    Class names are the names of the folders in train/, sorted. With val/ or test/ alone, that folder is the test set, and no
    choice is ever made by it. With both, test/ is the test set and val/ the validation split. Without train/, the folders of
    the classes lie in the root, and the test images are drawn (`hybrid.data.Holdout`).

    Images count for the class whose folder they are in, however deep, and links to folders are followed. Hidden files and
    folders, and files that are no images, are left out, which a line says. `skip_unreadable`: damaged images are left out,
    too; this reads every image once, unless `left_out` says which they are. `FileSource` explains the other arguments.
    """

    def __init__(
        self,
        *,
        root: str | None = None,
        size: Size = 224,
        resize: Size = 256,
        fit: Fit = "crop",
        interpolation: Interpolation = "bicubic",
        channels: Literal[1, 3] = 3,
        value_range: ValueRange | None = None,
        num_workers: Workers | Literal["auto"] = "auto",
        name: str = "folder",
        skip_unreadable: bool = False,
    ) -> None:
        if root is None:
            raise UserError(f"data.root is missing: give data.root=PATH, the folder of the images; {_LAYOUT}.")
        check_size(size, name="data.size")
        check_size(resize, name="data.resize")
        check_value_range(value_range)
        check_crop(size, resize)
        self.skip_unreadable, self._faults, self._left_out = skip_unreadable, {}, None
        self.root, self.name, self.channels = Path(root).expanduser(), name, channels
        self.size, self.resize, self.interpolation, self.num_workers = size, resize, interpolation, num_workers
        self.fit, self.value_range = fit, value_range

    @property
    def left_out(self) -> tuple[str, ...] | None:  # type: ignore[override]
        """The damaged files, by their paths below the root, once they were looked for or `left_out` was set."""
        if self._left_out is None and self.skip_unreadable:
            return tuple(sorted(os.path.relpath(path, self.root) for path in self._faults))
        return self._left_out

    @left_out.setter
    def left_out(self, names: tuple[str, ...] | None) -> None:
        self._left_out = names

    def prepare(self) -> None:
        if not self.root.is_dir():
            raise UserError(f"{self.name}: no folder {self.root.absolute()}; set data.root: {_LAYOUT}.")
        if "train" not in self._folders:
            found = next(name for name in _PARTS if (self.root / name).is_dir())
            raise UserError(f"{self.name}: {self.root.absolute()} has {found}/ and no train/; {_LAYOUT}.")

    def look_for_files(self) -> None:
        _ = self.class_names

    @cached_property
    def _folders(self) -> dict[str, Path]:
        there = {name: self.root / name for name in _PARTS if (self.root / name).is_dir()}
        if not there:
            return {"train": self.root}
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
        found = find_images(folder, self.class_names)
        empty = [name for name, count in zip(self.class_names, found.counts, strict=True) if not count]
        if empty and part == "train":
            raise UserError(f"{self.name}: no image in {folder / empty[0]} (known: {', '.join(EXTENSIONS)}).")
        if not found.names:
            raise UserError(f"{self.name}: no image in the class folders of {folder.absolute()}.")
        self._tell(folder, found)
        files = Files(found.names, np.repeat(np.arange(len(found.counts)), found.counts))
        return self._readable(files) if self.skip_unreadable else files

    def _tell(self, folder: Path, found: Found) -> None:
        """Say in one line what is left out."""
        kinds = (
            "hidden files or folders",
            "files that are no images in a class folder",
            "links to folders that were read already",
        )
        said = [
            f"{each.number:,} {words} ({folder / each.first}{' …' if each.number > 1 else ''})"
            for each, words in zip(found.left_out, kinds, strict=True)
            if each.number
        ]
        if said:
            _log.warning("%s: left out: %s.", self.name, " and ".join(said))

    def _readable(self, files: Files) -> Files:
        if self._left_out is None:
            self._faults |= self.unreadable(files.paths)
            damaged = set(self._faults)
        else:
            damaged = {str(self.root / name) for name in self._left_out}
        kept = [position for position, path in enumerate(files.paths) if path not in damaged] if damaged else []
        if not damaged or len(kept) == len(files.paths):
            return files
        names = [os.path.relpath(path, self.root) for path in files.paths if path in damaged]
        first = min(names)
        why = self._faults.get(str(self.root / first), f"{first}, when the run began")
        more = " …" if len(names) > 1 else ""
        words = "%s: %d of %d images are left out, which cannot be read: %s%s"
        _log.warning(words, self.name, len(names), len(files.paths), why, more)
        return Files(files.paths.take(np.array(kept)), files.labels[kept])


class ImageNet(Folder):
    """ILSVRC 2012, in the folders train/ and val/; val/ is the test set. It is never downloaded: its terms need an account."""

    published = True


class KthTips(Folder):
    """KTH-TIPS (Fritz, Hayman, Caputo, Eklundh): 10 textures at 9 scales, 81 grey images each, in the archive's own folder.

    There are no test images: `data.per_class` draws those that train. 747 images have 200 x 200 pixels; the others are
    resized. It is never downloaded.
    """

    published = True


def check_crop(size: Size, resize: Size) -> None:
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
