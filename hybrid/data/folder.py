"""Image files in one folder for each class: ImageNet, and pictures of your own."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

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
        files = _FoundFiles(folder)
        for label, name in enumerate(self.class_names):
            found = files.of_class(name, label)
            if not found and part == "train":
                raise UserError(f"{self.name}: no image in {folder / name} (known: {', '.join(EXTENSIONS)}).")
        if not files.paths:
            raise UserError(f"{self.name}: no image in the class folders of {folder.absolute()}.")
        files.tell(self.name)
        found_files = Files(files.paths, files.labels)
        return self._readable(found_files) if self.skip_unreadable else found_files

    def _readable(self, files: Files) -> Files:
        names = [os.path.relpath(path, self.root) for path in files.paths]
        if self._left_out is None:
            self._faults |= self.unreadable(files.paths)
            damaged = {name for name, path in zip(names, files.paths, strict=True) if path in self._faults}
        else:
            damaged = set(self._left_out) & set(names)
        if damaged:
            first = min(damaged)
            why = self._faults.get(str(self.root / first), f"{first}, when the run began")
            _log.warning(
                "%s: %d of %d images are left out, which cannot be read: %s%s",
                self.name,
                len(damaged),
                len(names),
                why,
                " …" if len(damaged) > 1 else "",
            )
        kept = [position for position, name in enumerate(names) if name not in damaged]
        return Files([files.paths[position] for position in kept], [files.labels[position] for position in kept])


class ImageNet(Folder):
    """ILSVRC 2012, in the folders train/ and val/; val/ is the test set. It is never downloaded: its terms need an account."""

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


class _FoundFiles:
    """The image files below the class folders of one folder, and the number of the other things that are there."""

    def __init__(self, folder: Path) -> None:
        self.paths: list[str] = []
        self.labels: list[int] = []
        self._folder, self._hidden, self._others, self._again = folder, _Count(), _Count(), _Count()
        for entry in os.scandir(folder):
            if entry.name.startswith("."):
                self._hidden.add(entry.path)
            elif not entry.is_dir():
                self._others.add(entry.path)

    def of_class(self, name: str, label: int) -> int:
        """Adds the files of a class, sorted; their number."""
        found = sorted(self._images(self._folder / name)) if (self._folder / name).is_dir() else []
        self.paths += found
        self.labels += [label] * len(found)
        return len(found)

    def _images(self, folder: Path) -> Iterator[str]:
        above = {os.path.realpath(folder)}  # a link to a folder that holds it would have no end
        for place, subfolders, names in os.walk(folder, followlinks=True):
            for name in subfolders:
                if name.startswith("."):
                    self._hidden.add(os.path.join(place, name))
            shown = [name for name in subfolders if not name.startswith(".")]
            subfolders[:] = [name for name in shown if is_new(place, name, above)]
            for name in set(shown) - set(subfolders):
                self._again.add(os.path.join(place, name))
            for name in names:
                path = os.path.join(place, name)
                if name.startswith("."):
                    self._hidden.add(path)
                elif not name.lower().endswith(EXTENSIONS):
                    self._others.add(path)
                else:
                    yield path

    def tell(self, name: str) -> None:
        """Says in one line what was left out."""
        counts = (self._hidden, "hidden files or folders"), (self._others, "files that are no images in a class folder")
        again = (self._again, "links to folders that were read already")
        said = [
            f"{count.number:,} {words} ({count.first}{' …' if count.number > 1 else ''})"
            for count, words in (*counts, again)
            if count.number
        ]
        if said:
            _log.warning("%s: left out: %s.", name, " and ".join(said))


@dataclass
class _Count:
    """A number of paths, and the first of them."""

    number: int = 0
    first: str = ""

    def add(self, path: str) -> None:
        self.number += 1
        self.first = min(self.first or path, path)


def is_new(place: str, name: str, seen: set[str]) -> bool:
    """Whether a subfolder is no link to one that was read before."""
    real = os.path.realpath(os.path.join(place, name))
    if real in seen:
        return False
    seen.add(real)
    return True
