"""Compiled libraries by the hash of what made them, in a folder of the user's, built once also when several processes want one.

The folder is $HYBRID_CACHE, else $XDG_CACHE_HOME/hybrid, else ~/.cache/hybrid; where that cannot be written, one in the temporary
folder that is this user's alone. Deleting it costs only compile time.
"""

from __future__ import annotations

import contextlib
import ctypes
import getpass
import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from hybrid.scattering.cpu.compiler import CompilerError, compile_library, find_compiler, identity

try:
    import fcntl
except ImportError:  # not a POSIX system: two processes may build the same file; the second replaces the first's
    fcntl = None  # type: ignore[assignment]

_log = logging.getLogger(__name__)


def load_library(source: str, name: str) -> ctypes.CDLL:
    """The library of this source, from the cache or compiled now. `name` begins its file's name.

    A file that was damaged is built again. Raises CompilerError if there is no compiler, it fails, or no folder can be written.
    """
    compiler = tuple(find_compiler())
    key = hashlib.sha256((identity(compiler) + source).encode()).hexdigest()[:20]
    folder = cache_folder()
    library = folder / f"{name}-{key}.so"
    if not _is_intact(library):
        with locked(folder / f"{library.name}.lock"):
            if not _is_intact(library):
                _build(compiler, source, library)
    try:
        return ctypes.CDLL(str(library))
    except OSError as error:
        raise CompilerError(f"the compiled library cannot be loaded: {error}") from error


def cache_folder() -> Path:
    """An existing folder that can be written. Raises CompilerError if there is none."""
    chosen = os.environ.get("HYBRID_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(chosen) if chosen else Path(base, "hybrid")
    fallback = Path(tempfile.gettempdir(), f"hybrid-{_user()}")
    for candidate in (folder, fallback):
        if _is_ours(candidate):
            return candidate
    raise CompilerError(f"neither {folder} nor {fallback} can be written")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())


def _is_ours(folder: Path) -> bool:
    """Whether the folder is there, or can be made, and is writable. Code is loaded from it: nobody else may own it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
        return not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()
    except OSError:
        return False


def _is_intact(library: Path) -> bool:
    """Whether the file is there and is what was written: a truncated library may kill the process that loads it."""
    try:
        return _checksum(library).read_text() == _digest(library)
    except (OSError, UnicodeDecodeError):
        return False


def _build(compiler: tuple[str, ...], source: str, library: Path) -> None:
    """Compile beside the target and rename: readers see the whole file or none."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        built = Path(folder, library.name)
        compile_library(compiler, source, built)
        checksum = _checksum(built)
        checksum.write_text(_digest(built))
        os.replace(built, library)
        os.replace(checksum, _checksum(library))
    _log.info("compiled %s in %.1f s (kept for the next time)", library, time.monotonic() - started)


def _checksum(library: Path) -> Path:
    return library.with_suffix(".sha256")


def _digest(library: Path) -> str:
    return hashlib.sha256(library.read_bytes()).hexdigest()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock; the operating system releases it if the process dies."""
    with open(path, "w") as file:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
