"""The image files in a folder of classes: found by a walk through it, and kept for later processes where they are many.

A walk through ImageNet's folders lasts seconds on a local disk and minutes on a network disk. So what it finds is kept in the
cache folder, in a file that later processes map into memory: all ranks and workers of a machine share it. Beside the names it
holds what proves that it still is true: of every folder that was walked the inode, the times of its last changes, its size and
its number of links. Adding, removing or renaming a file changes the times of its folder. So a look at 2,000 folders of ImageNet
takes the place of a walk past 1,331,000 files.
"""

from __future__ import annotations

import hashlib
import json
import logging
import mmap
import os
import stat
import time
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from hybrid.cache_folder import NoCacheFolder, cache_folder
from hybrid.data.file_names import FileNames
from hybrid.data.images import EXTENSIONS
from hybrid.files import write_atomically
from hybrid.locks import FileLock

_log = logging.getLogger(__name__)
_FORMAT = 1
_LEAST = 10_000  # images; a walk to fewer takes no time
_SETTLED = 10.0  # seconds; in a folder that changed just now, a further change may get the same time
_THREADS = 8  # a network disk answers several at a time
_ALIGNED = 64  # bytes, to whose multiple the arrays are aligned

Proof = list[int] | None  # of a folder; None: it is not there


@dataclass
class LeftOut:
    """A number of files or folders that are not used, and the first of them below the folder."""

    number: int = 0
    first: str = ""

    def add(self, path: str, number: int = 1) -> None:
        """Count a path, which is the first of so many."""
        self.number += number
        self.first = min(self.first or path, path or self.first)


@dataclass
class Found:
    """The image files of a folder of classes.

    Attributes:
        names: the files, class after class, sorted within each; while they are kept, with their places below the folder.
        counts: the number of files of each class.
        hidden: files and folders whose names begin with a dot.
        others: files that are no images in the folder of a class.
        again: links to folders that were read already.
    """

    names: FileNames
    counts: list[int]
    hidden: LeftOut = field(default_factory=LeftOut)
    others: LeftOut = field(default_factory=LeftOut)
    again: LeftOut = field(default_factory=LeftOut)

    @property
    def left_out(self) -> tuple[LeftOut, LeftOut, LeftOut]:
        """The three kinds."""
        return self.hidden, self.others, self.again


def find_images(folder: Path, classes: Sequence[str]) -> Found:
    """The images in these folders of classes, which lie in `folder`, however deep they are. Links to folders are followed.

    What was found by an earlier walk is taken where the folders have not changed since.
    """
    found = _found_or_kept(folder, classes)
    prefix = os.path.join(folder, "")
    return replace(found, names=found.names.in_folders(tuple(prefix + place for place in found.names.folders)))


def _found_or_kept(folder: Path, classes: Sequence[str]) -> Found:
    try:
        index = _Index(folder, classes)
    except NoCacheFolder:
        return _Walk(folder, classes).found()
    found = index.read() or _Walk(folder, classes).found_if_few()
    if found is not None:
        return found
    with FileLock(index.path.with_suffix(".lock")):  # one process walks, the others wait
        return index.read() or index.made()


class _Index:
    """What a walk has found in a folder, in a file of the cache folder."""

    def __init__(self, folder: Path, classes: Sequence[str]) -> None:
        self.folder, self.classes = folder, classes
        about = json.dumps([_FORMAT, os.path.realpath(folder), list(classes), EXTENSIONS])
        self.path = cache_folder() / f"files-{hashlib.sha256(about.encode()).hexdigest()[:20]}.index"

    def read(self) -> Found | None:
        """What was found; None where nothing is kept, the file is damaged, or a folder has changed."""
        try:
            with self.path.open("rb") as file:
                content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            found, kept = _unpacked(content)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        places, proofs = zip(*kept, strict=True)
        with ThreadPoolExecutor(_THREADS) as threads:
            return found if list(proofs) == list(threads.map(partial(_proof, self.folder), places)) else None

    def made(self) -> Found:
        """What a walk finds now. It is kept, unless a folder has just been changed or the disk is full."""
        began, walk = time.time(), _Walk(self.folder, self.classes)
        found = walk.found()
        _log.info("%s: %d images were found in %.0f s", self.folder, len(found.names), time.time() - began)
        if not all(_is_settled(proof, began) for proof in walk.proofs.values()):
            return found
        try:
            write_atomically(self.path, partial(_pack, found, walk.proofs))
        except OSError as error:
            _log.info("%s cannot be kept: %s", self.path, error.strerror)
        return self.read() or found


class _Walk:
    """A walk through folders of classes. `proofs`: of each folder that was walked, by its place below the first one."""

    def __init__(self, folder: Path, classes: Sequence[str]) -> None:
        self.folder, self.classes = folder, classes
        self.proofs: dict[str, Proof] = {}
        self._hidden, self._others, self._again = LeftOut(), LeftOut(), LeftOut()
        self._look_around()

    def found(self) -> Found:
        """All images."""
        with ThreadPoolExecutor(_THREADS) as threads:
            return self._together(list(threads.map(self._of_class, self.classes)))

    def found_if_few(self) -> Found | None:
        """All images; None as soon as they are not few."""
        parts, count = [], 0
        for name in self.classes:
            parts.append(self._of_class(name))
            count += len(parts[-1].names)
            if count >= _LEAST:
                return None
        return self._together(parts)

    def _look_around(self) -> None:
        self.proofs[""] = _proof(self.folder, "")
        for entry in os.scandir(self.folder):
            if entry.name.startswith("."):
                self._hidden.add(entry.name)
            elif not _is_folder(entry):
                self._others.add(entry.name)

    def _together(self, parts: list[_OfClass]) -> Found:
        found = Found(FileNames.joined([part.names for part in parts]), [len(part.names) for part in parts])
        kinds = zip(*[(self._hidden, self._others, self._again), *(part.left_out for part in parts)], strict=True)
        for total, own in zip(found.left_out, kinds, strict=True):
            for each in own:
                total.add(each.first, each.number)
        for part in parts:
            self.proofs |= part.proofs
        return found

    def _of_class(self, name: str) -> _OfClass:
        return _OfClass(self.folder, name)


class _OfClass:
    """The images of one class, sorted, with their places below the folder of all classes."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self.proofs: dict[str, Proof] = {}
        self.left_out = (LeftOut(), LeftOut(), LeftOut())
        self._above = {os.path.realpath(folder / name)}  # a link to a folder that holds it would have no end
        self.names = FileNames.of(sorted(self._images(name)))

    def _images(self, place: str) -> Iterator[str]:
        self.proofs[place] = proof = _proof(self._folder, place)  # before it is read: a later change shows
        if proof is None:
            return
        hidden, others, again = self.left_out
        folders = []
        for name, is_folder in _entries(self._folder / place):
            path = f"{place}/{name}"
            if name.startswith("."):
                hidden.add(path)
            elif is_folder:
                folders.append(name)
            elif not name.lower().endswith(EXTENSIONS):
                others.add(path)
            else:
                yield path
        new = [name for name in folders if is_new(str(self._folder / place), name, self._above)]
        for name in set(folders) - set(new):
            again.add(f"{place}/{name}")
            self.proofs[f"{place}/{name}"] = _proof(self._folder, f"{place}/{name}")
        for name in new:
            yield from self._images(f"{place}/{name}")


def _entries(folder: Path) -> Iterator[tuple[str, bool]]:
    """(name, whether it is a folder or a link to one) of all that is in a folder; nothing of one that may not be read."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                yield entry.name, _is_folder(entry)
    except OSError:
        return


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _pack(found: Found, proofs: dict[str, Proof], file: BinaryIO) -> None:
    """A line of JSON, the arrays, and the checksum of all of it."""
    names = found.names
    head = {
        "files": len(names),
        "ends": names.ends.dtype.str,
        "folders": names.folders,
        "counts": found.counts,
        "left_out": [[each.number, each.first] for each in found.left_out],
        "proofs": list(proofs.items()),
    }
    line = json.dumps(head).encode()
    line += b" " * (-(len(line) + 1) % _ALIGNED) + b"\n"
    checksum = 0
    for part in (line, names.ends, names.folder_of, names.names):
        checksum = zlib.crc32(part, checksum)
        file.write(part)
    file.write(checksum.to_bytes(4, "little"))


def _unpacked(content: mmap.mmap) -> tuple[Found, list[tuple[str, Proof]]]:
    """What `_pack` has written, still in the mapped file. Raises ValueError, KeyError or TypeError where it is damaged."""
    last = len(content) - 4
    if last < 0 or zlib.crc32(memoryview(content)[:last]) != int.from_bytes(content[last:], "little"):
        raise ValueError("the checksum is another")
    line = content.readline()
    head = json.loads(line)
    files, kind = head["files"], np.dtype(head["ends"])
    ends = np.frombuffer(content, kind, files, len(line))
    folder_of = np.frombuffer(content, np.uint32, files, len(line) + ends.nbytes)
    begin = len(line) + ends.nbytes + folder_of.nbytes
    names = FileNames(tuple(head["folders"]), folder_of, np.frombuffer(content, np.uint8, last - begin, begin), ends)
    left_out = [LeftOut(number, first) for number, first in head["left_out"]]
    return Found(names, head["counts"], *left_out), head["proofs"]


def _proof(folder: Path, place: str) -> Proof:
    """What changes with the folder."""
    try:
        state = os.stat(folder / place)
    except OSError:
        return None
    if not stat.S_ISDIR(state.st_mode):
        return None
    return [state.st_ino, state.st_mtime_ns, state.st_ctime_ns, state.st_size, state.st_nlink]


def _is_settled(proof: Proof, now: float) -> bool:
    """Whether a folder's times will show its next change. Some object stores that are mounted as folders date none."""
    return proof is None or (proof[1] > 0 and max(proof[1:3]) < (now - _SETTLED) * 1e9)


def is_new(place: str, name: str, seen: set[str]) -> bool:
    """Whether a subfolder is no link to one that was read before."""
    real = os.path.realpath(os.path.join(place, name))
    if real in seen:
        return False
    seen.add(real)
    return True
