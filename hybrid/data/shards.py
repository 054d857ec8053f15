"""Where each image of tar files in the format of WebDataset lies, and its label: from their headers, or from an index."""

from __future__ import annotations

import json
import logging
import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hybrid.data.images import EXTENSIONS
from hybrid.errors import UserError
from hybrid.files import write_atomically

_log = logging.getLogger(__name__)
INDEX = "index.npz"  # beside the shards


@dataclass(frozen=True)
class Shards:
    """The samples of some shards, shard after shard, in the order of each: some 20 bytes a sample.

    Attributes:
        paths: of the shards.
        shard: (n,) int32, the number of each sample's shard.
        offsets: (n,) int64, where its image begins, in bytes.
        sizes: (n,) int64, the bytes of its image.
        labels: (n,) int64.
    """

    paths: tuple[Path, ...]
    shard: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray
    labels: np.ndarray

    @classmethod
    def walked(cls, paths: Sequence[Path], *, label: str = "cls") -> Shards:
        """From the headers of the shards. `label` is the ending of the labels' files, or "json:KEY"."""
        rows = [(number, *row) for number, path in enumerate(paths) for row in _rows(path, label)]
        columns = np.array(rows, dtype=np.int64).reshape(-1, 4).T.copy()
        return cls(tuple(paths), columns[0].astype(np.int32), *columns[1:])

    @classmethod
    def indexed(cls, paths: Sequence[Path]) -> Shards | None:
        """From the index in the folder of the shards; None where there is none that knows these shards as they are."""
        index = paths[0].parent / INDEX
        try:
            with np.load(index) as file:
                names, lengths = file["names"].tolist(), file["lengths"].tolist()
                shard, numbers = file["shard"], {name: number for number, name in enumerate(names)}
                columns = [file[name] for name in ("offsets", "sizes", "labels")]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            _log.warning("%s is not used, which cannot be read (%s): the shards are.", index, error)
            return None
        wanted = [numbers.get(path.name) for path in paths]
        if any(
            number is None or lengths[number] != path.stat().st_size for number, path in zip(wanted, paths, strict=True)
        ):
            _log.warning("%s is not used, as the shards are others than when it was written.", index)
            return None
        now = np.full(len(names), -1, dtype=np.int32)  # number in the index -> number among the paths
        now[wanted] = np.arange(len(wanted))
        kept = np.flatnonzero(now[shard] >= 0)
        kept = kept[np.argsort(now[shard[kept]], kind="stable")]
        return cls(tuple(paths), now[shard[kept]], *(column[kept] for column in columns))

    def __len__(self) -> int:
        return len(self.labels)

    def content(self, number: int) -> bytes:
        """The bytes of the image of a sample."""
        with self.paths[self.shard[number]].open("rb") as stream:
            stream.seek(int(self.offsets[number]))
            return stream.read(int(self.sizes[number]))


def write_index(index: Path, shards: Shards, class_names: Sequence[str]) -> None:
    """Write what `Shards.indexed` and `named_classes` read."""
    arrays = {
        "names": np.array([path.name for path in shards.paths]),
        "lengths": np.array([path.stat().st_size for path in shards.paths]),
        "class_names": np.array(class_names),
        **{name: getattr(shards, name) for name in ("shard", "offsets", "sizes", "labels")},
    }
    write_atomically(index, lambda file: np.savez(file, **arrays))


def named_classes(folder: Path) -> tuple[str, ...] | None:
    """The names of the classes in the index of a folder; None where it says none."""
    try:
        with np.load(folder / INDEX) as file:
            return tuple(file["class_names"].tolist())
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _rows(shard: Path, label: str) -> list[tuple[int, int, int]]:
    """(offset, size, label) of each sample of a shard."""
    places: dict[str, tuple[int, int]] = {}
    labels: dict[str, int] = {}
    ending = label.partition(":")[0]
    try:
        with tarfile.open(shard, "r:") as archive:
            for member in archive:
                kind = member.name.rpartition("/")[2].partition(".")[2]
                key = member.name.removesuffix(f".{kind}")
                if f".{kind.lower()}" in EXTENSIONS:
                    places[key] = member.offset_data, member.size
                elif kind == ending and (stream := archive.extractfile(member)) is not None:
                    labels[key] = _value(stream.read(), label, f"{shard}, {member.name}")
    except (tarfile.TarError, OSError) as error:
        raise UserError(f"{shard}: no tar file that can be read, or one that is compressed ({error}).") from error
    if places.keys() != labels.keys():
        key = min(places.keys() ^ labels.keys())
        raise UserError(f"{shard}: the sample {key} has no {f'label .{ending}' if key in places else 'image'}.")
    return [(*place, labels[key]) for key, place in places.items()]


def _value(content: bytes, label: str, where: str) -> int:
    _, _, field = label.partition(":")
    try:
        return int(json.loads(content)[field] if field else content)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{where}: no label, which is a whole number ({error}).") from error
