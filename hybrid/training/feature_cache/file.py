"""Features in a file of the user's cache folder, mapped into memory: for this run's processes and for later runs.

The folder is that of the compiled scattering ($HYBRID_CACHE, else ~/.cache/hybrid); everything in it may be deleted.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import shutil
import warnings
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hybrid.cache_folder import NoCacheFolder, cache_folder
from hybrid.errors import UserError
from hybrid.files import put_in_place, write_json
from hybrid.locks import FileLock

_BLOCK = 64 * 2**20
_ASKED = "trainer.feature_cache=disk"  # the setting that asks for a file


def feature_folder(asked: str = _ASKED) -> Path:
    """The cache folder; UserError, naming the setting that asked for it, if there is none that can be written."""
    try:
        return cache_folder()
    except NoCacheFolder as error:
        raise UserError(f"{asked} is not possible: {error}.") from error


class FeatureFile:
    """A float32 array of this shape, features-KEY.npy, and its checksums; there whole or not at all.

    asked: the setting that asked for the file, which errors name.
    """

    def __init__(self, key: str, shape: tuple[int, ...], *, asked: str = _ASKED) -> None:
        self.path, self.shape, self._asked = feature_folder(asked) / f"features-{key}.npy", tuple(shape), asked

    def rows(self, first: Generator[Tensor], every: Callable[[], Iterable[Tensor]]) -> tuple[Tensor, bool]:
        """The array, and whether it had to be written: `every()` gives its parts, `first` a few rows that it must begin with.

        Of several processes one writes; the others wait, and find it.
        """
        with FileLock(self.path.with_suffix(".lock")), contextlib.closing(first):
            if self.path.exists():
                rows = self._read() if self._is_as_written() else None
                if rows is not None and _begins_with(rows, next(first).cpu()):
                    return rows, False
                warnings.warn(f"{self.path} is damaged or holds other features: they are computed again", stacklevel=2)
                del rows
            self._write(every())
            rows = self._read()
        if rows is None:
            raise UserError(f"{self._asked} is not possible: {self.path} was written and cannot be read.")
        return rows, True

    def _read(self) -> Tensor | None:
        """Mapped privately ("c"): whatever a program did to these rows would not reach the file."""
        try:
            rows = np.load(self.path, mmap_mode="c", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        good = rows.shape == self.shape and rows.dtype == np.float32 and rows.flags.c_contiguous
        return torch.from_numpy(rows) if good else None

    @property
    def _checksums(self) -> Path:
        return self.path.with_suffix(".sha256")

    def _is_as_written(self) -> bool:
        """Whether the file has its checksums, which are written last."""
        try:
            return json.loads(self._checksums.read_text()) == checksums(self.path)
        except (OSError, ValueError):
            return False

    def _write(self, parts: Iterable[Tensor]) -> None:
        """Under a temporary name, always the same one: what a killed process has left is overwritten."""
        temporary = self.path.with_suffix(".partial")
        for path in (self._checksums, self.path, temporary):
            path.unlink(missing_ok=True)
        needed, free = 4 * math.prod(self.shape), shutil.disk_usage(self.path.parent).free
        if needed > free:
            raise self._no_room(f"{gib(needed)} are needed, {gib(free)} are free")
        try:
            with temporary.open("wb") as file:
                header = {"descr": "<f4", "fortran_order": False, "shape": self.shape}
                np.lib.format.write_array_header_1_0(file, header)
                for part in parts:
                    file.write(part.cpu().contiguous().numpy())
                file.flush()
                os.fsync(file.fileno())  # or a power cut could leave a whole file with holes
            put_in_place(temporary, self.path)
            write_json(self._checksums, checksums(self.path))
        except OSError as error:
            raise self._no_room(error.strerror or str(error)) from error
        finally:
            temporary.unlink(missing_ok=True)

    def _no_room(self, reason: str) -> UserError:
        return UserError(
            f"{self._asked} is not possible: {self.path.parent} cannot hold the features ({reason}). "
            "HYBRID_CACHE names another folder."
        )


def checksums(path: Path) -> list[str]:
    """SHA-256 of each 64 MiB of a file, computed by a few threads: about as fast as the file can be read."""
    blocks = range(0, path.stat().st_size, _BLOCK)
    with ThreadPoolExecutor(max_workers=min(4, torch.get_num_threads())) as pool:
        return list(pool.map(lambda begin: _checksum(path, begin), blocks))


def _checksum(path: Path, begin: int) -> str:
    with path.open("rb") as file:
        file.seek(begin)
        return hashlib.sha256(file.read(_BLOCK)).hexdigest()


def _begins_with(rows: Tensor, first: Tensor) -> bool:
    """Up to rounding: other software may have written the file, but not another front-end, nor from other images."""
    return bool((rows[: len(first)] - first).abs().max() <= 1e-5 * first.abs().max())


def gib(size: int) -> str:
    """A number of bytes for a reader."""
    return f"{size / 2**30:.2f} GiB"
