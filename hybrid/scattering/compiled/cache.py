"""Compiled code in the cache folder: files are found by the hash of all that they are made of, and built once by many processes.

Deleting them costs only compile time. Code is loaded from them, so that they must be this user's, and others must not be able
to write them.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import stat
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from hybrid.cache_folder import OTHERS_WRITE, cache_folder
from hybrid.files import put_in_place
from hybrid.locks import FileLock

_log = logging.getLogger(__name__)
_SOURCES = {".py", ".h", ".cpp", ".cu"}
_SAY_AFTER, _PATIENCE = 5.0, 600.0  # seconds


def cached_file(name: str, made_of: str, suffix: str, build: Callable[[Path], None], *, again: bool = False) -> Path:
    """Return the file name-hash.suffix; build(path) makes it if it is not there. `made_of`: all that its contents depend on.

    A file that was damaged is built anew; with `again` every file is. A process that builds it is waited for, at most ten
    minutes. Raises NoCacheFolder if no folder can be written.
    """
    key = hashlib.sha256(made_of.encode()).hexdigest()[:20]
    folder = cache_folder()
    file = folder / f"{name}-{key}.{suffix}"
    if again or not is_intact(file):
        with _waiting(folder / f"{file.name}.lock"):
            if again or not is_intact(file):
                _build(build, file)
    return file


@functools.cache
def sources() -> str:
    """A hash of the files that compiled code is made of: what is known of other sources says nothing about these."""
    folder, digest = Path(__file__).parent, hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.suffix in _SOURCES):
        digest.update(f"{path.relative_to(folder)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:20]


@contextlib.contextmanager
def _waiting(path: Path) -> Iterator[None]:
    """Let one process after the other build; one that waits too long builds, too, which costs no more than time."""
    lock = FileLock(path)
    if not lock.acquire(patience=_SAY_AFTER):
        warnings.warn(f"waiting for another process that compiles code and holds {path}", stacklevel=3)
        lock.acquire(patience=_PATIENCE)
    try:
        yield
    finally:
        lock.release()


def is_intact(file: Path) -> bool:
    """Whether the file is this user's own and has its checksum. A truncated library may kill the process that loads it."""
    try:
        state = file.lstat()
        if not stat.S_ISREG(state.st_mode) or state.st_uid != os.getuid() or state.st_mode & OTHERS_WRITE:
            return False
        return _checksum_file(file).read_text() == checksum(file)
    except (OSError, UnicodeDecodeError):
        return False


def _build(build: Callable[[Path], None], file: Path) -> None:
    """Build a temporary file and rename it, so that readers see the whole file or none."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        built = Path(folder, file.name)
        build(built)
        built.chmod(built.stat().st_mode & ~OTHERS_WRITE)  # which a careless umask allows
        written = _checksum_file(built)
        written.write_text(checksum(built))
        put_in_place(built, file)
        put_in_place(written, _checksum_file(file))
    _log.info("made %s in %.1f s (kept for the next time)", file, time.monotonic() - started)


def _checksum_file(file: Path) -> Path:
    return file.with_suffix(".sha256")


def checksum(file: Path) -> str:
    """SHA-256 of the file's bytes."""
    return hashlib.sha256(file.read_bytes()).hexdigest()
