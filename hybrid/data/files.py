"""The files that a data set reads, and whether they are the published ones."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import NamedTuple


class OfficialFile(NamedTuple):
    """A file that a data set reads, and the checksum that its publishers give (None: they give none)."""

    path: Path
    md5: str | None


def is_official(file: OfficialFile) -> bool:
    """Whether the file has the published checksum; a file without one counts as official."""
    return file.md5 is None or md5(file.path) == file.md5


def md5(path: Path) -> str:
    """The file's MD5 in hexadecimal digits: the checksum that these data sets publish, not a protection against forgery.

    A file is read once in the life of a process, unless it changes.
    """
    about = path.stat()
    return _md5(path, about.st_size, about.st_mtime_ns)


@cache
def _md5(path: Path, size: int, changed: int) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
