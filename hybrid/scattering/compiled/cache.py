"""The folder for compiled code: files are found by the hash of all that they are made of, and built once by many processes.

The folder is $HYBRID_CACHE, else $XDG_CACHE_HOME/hybrid, else ~/.cache/hybrid; where that cannot be written, one in the temporary
folder that is this user's alone. Deleting it costs only compile time.
"""

from __future__ import annotations

import functools
import getpass
import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from hybrid.files import FileLock, put_in_place

_log = logging.getLogger(__name__)
_SOURCES = {".py", ".h", ".cpp", ".cu"}


class NoCacheFolder(RuntimeError):
    """There is no folder that can be written. The message is one line that names the folders that were tried."""


def cached_file(name: str, made_of: str, suffix: str, build: Callable[[Path], None], *, again: bool = False) -> Path:
    """Return the file name-hash.suffix; build(path) makes it if it is not there. `made_of`: all that its contents depend on.

    A file that was damaged is built anew; with `again` every file is. Raises NoCacheFolder if no folder can be written.
    """
    key = hashlib.sha256(made_of.encode()).hexdigest()[:20]
    folder = cache_folder()
    file = folder / f"{name}-{key}.{suffix}"
    if again or not is_intact(file):
        with FileLock(folder / f"{file.name}.lock"):
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


def cache_folder() -> Path:
    """An existing folder that can be written. Raises NoCacheFolder if there is none."""
    chosen = os.environ.get("HYBRID_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(chosen) if chosen else Path(base, "hybrid")
    fallback = Path(tempfile.gettempdir(), f"hybrid-{_user()}")
    for candidate in (folder, fallback):
        if _is_ours(candidate):
            return candidate
    raise NoCacheFolder(f"neither {folder} nor {fallback} can be written")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())


def _is_ours(folder: Path) -> bool:
    """Whether the folder exists or can be made, and is writable and this user's: code is loaded from it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
        return folder.stat().st_uid == os.getuid()
    except OSError:
        return False


def is_intact(file: Path) -> bool:
    """Whether the file has its checksum. A truncated library may kill the process that loads it."""
    try:
        return _checksum(file).read_text() == _digest(file)
    except (OSError, UnicodeDecodeError):
        return False


def _build(build: Callable[[Path], None], file: Path) -> None:
    """Build a temporary file and rename it, so that readers see the whole file or none."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        built = Path(folder, file.name)
        build(built)
        checksum = _checksum(built)
        checksum.write_text(_digest(built))
        put_in_place(built, file)
        put_in_place(checksum, _checksum(file))
    _log.info("made %s in %.1f s (kept for the next time)", file, time.monotonic() - started)


def _checksum(file: Path) -> Path:
    return file.with_suffix(".sha256")


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
