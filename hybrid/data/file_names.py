"""The names of a data set's files, in some 30 bytes a file: of a million images no process holds a million Python strings."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np

_BLOCK = 4096  # names that are made at a time, where all are wanted


class FileNames(Sequence[str]):
    """A sequence of paths, or other texts, that is kept as arrays of NumPy. A text is made when it is asked for.

    A path is kept as the number of its folder and its name in there. A selection of the files, such as a slice, shares the
    arrays with the whole. Worker processes that are forked share them with their parent, as nothing is written to them.

    Attributes:
        folders: each folder once, in the order of first use, with its slash; "" for texts without one.
        folder_of: (n,) uint32, the folder of each file.
        names: the bytes of all names, one after the other, uint8.
        ends: (n,) where each name ends in `names`, uint32 or uint64.
        chosen: the files of a selection, int32 or int64; None: all n.
    """

    def __init__(
        self,
        folders: tuple[str, ...],
        folder_of: np.ndarray,
        names: np.ndarray,
        ends: np.ndarray,
        chosen: np.ndarray | None = None,
    ) -> None:
        self.folders, self.folder_of, self.names, self.ends, self.chosen = folders, folder_of, names, ends, chosen

    @classmethod
    def of(cls, paths: Iterable[str]) -> FileNames:
        """The names of these paths. Names that are no UTF-8 are kept as they are."""
        if isinstance(paths, FileNames):
            return paths
        folders: dict[str, int] = {}
        names, folder_of, lengths = bytearray(), [], []
        for path in paths:
            folder, slash, name = path.rpartition("/")
            text = os.fsencode(name)
            names += text
            lengths.append(len(text))
            folder_of.append(folders.setdefault(folder + slash, len(folders)))
        ends = np.cumsum(lengths, dtype=np.uint64).astype(_type_for(len(names)))
        return cls(tuple(folders), np.array(folder_of, np.uint32), np.frombuffer(bytes(names), np.uint8), ends)

    @classmethod
    def joined(cls, parts: Sequence[FileNames]) -> FileNames:
        """The files of several sequences as one."""
        parts = [part._alone() for part in parts]
        starts = [0, *itertools.accumulate(len(part.names) for part in parts)]
        folders: dict[str, int] = {}
        numbers = [[folders.setdefault(each, len(folders)) for each in part.folders] for part in parts]
        kind = _type_for(starts[-1])
        ends = [part.ends.astype(kind) + kind(start) for part, start in zip(parts, starts, strict=False)]
        folder_of = [
            np.array(own, np.uint32)[part.folder_of] for own, part in zip(numbers, parts, strict=True) if len(part)
        ]
        names = np.concatenate([part.names for part in parts])
        return cls(tuple(folders), np.concatenate(folder_of or [np.empty(0, np.uint32)]), names, np.concatenate(ends))

    def __len__(self) -> int:
        return len(self.ends if self.chosen is None else self.chosen)

    @overload
    def __getitem__(self, position: int) -> str: ...
    @overload
    def __getitem__(self, position: slice) -> FileNames: ...
    def __getitem__(self, position: Any) -> Any:
        if isinstance(position, slice):
            return self.take(np.arange(*position.indices(len(self))))
        place = range(len(self))[position]  # counts from the end, and raises IndexError
        return self._text(place if self.chosen is None else int(self.chosen[place]))

    def __iter__(self) -> Iterator[str]:
        for first in range(0, len(self), _BLOCK):
            block = slice(first, first + _BLOCK)
            places = np.arange(len(self.ends))[block] if self.chosen is None else self.chosen[block]
            begins = np.where(places > 0, self.ends[places - 1], 0).tolist()
            text, folders = self.names, self.folders
            for begin, end, folder in zip(
                begins, self.ends[places].tolist(), self.folder_of[places].tolist(), strict=True
            ):
                yield folders[folder] + os.fsdecode(text[begin:end].tobytes())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"FileNames({len(self):,} files)"

    def take(self, positions: np.ndarray) -> FileNames:
        """The files at these positions (m,), which are whole numbers from 0."""
        positions = positions if self.chosen is None else self.chosen[positions]
        if len(positions) == len(self.ends) and np.array_equal(positions, np.arange(len(positions))):
            chosen = None
        else:
            chosen = positions.astype(np.int32 if len(self.ends) < 2**31 else np.int64)
        return FileNames(self.folders, self.folder_of, self.names, self.ends, chosen)

    def in_folders(self, folders: tuple[str, ...]) -> FileNames:
        """The same names in other folders, which stand for `folders` one by one, each with its slash."""
        return FileNames(folders, self.folder_of, self.names, self.ends, self.chosen)

    def digest(self) -> str:
        """A hash of the order, the names and the last part of each folder: the folders before may differ between machines."""
        last = [folder.rstrip("/").rpartition("/")[2] for folder in self.folders]
        digest = hashlib.sha256("\n".join(last).encode(errors="surrogateescape"))
        for array in (self.folder_of, self.ends, self.names, self.chosen):
            digest.update(b"|" if array is None else np.ascontiguousarray(array))
        return digest.hexdigest()

    def _text(self, place: int) -> str:
        begin = int(self.ends[place - 1]) if place else 0
        name = self.names[begin : int(self.ends[place])].tobytes()
        return self.folders[int(self.folder_of[place])] + os.fsdecode(name)

    def _alone(self) -> FileNames:
        """The same without the files that a selection leaves out."""
        return self if self.chosen is None else FileNames.of(iter(self))


def numbered_names(part: str, count: int) -> FileNames:
    """The texts "part:0", "part:1", … of the images of a data set that gives them by number."""
    return FileNames.of(f"{part}:{number}" for number in range(count))


def _type_for(size: int) -> type[np.unsignedinteger]:
    return np.uint32 if size < 2**32 else np.uint64
