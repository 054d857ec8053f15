"""The folder for what can be made again: compiled code, features, and the lists of large folders of images.

It is $HYBRID_CACHE, else $XDG_CACHE_HOME/hybrid, else ~/.cache/hybrid; where that cannot be used, one in the temporary folder.
Deleting it costs only time. Code is loaded from it: so it must be this user's, and others must not be able to write it.
"""

from __future__ import annotations

import getpass
import os
import stat
import tempfile
import warnings
from pathlib import Path

OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class NoCacheFolder(RuntimeError):
    """There is no folder that can be written. The message is one line that names the folders that were tried."""


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
    """Whether the folder exists or can be made, and is writable by this user and by nobody else: code is loaded from it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.is_symlink() and folder.lstat().st_uid not in (os.getuid(), 0):
            return False
        state = folder.stat()
        if state.st_uid != os.getuid():
            return False
        if state.st_mode & OTHERS_WRITE:
            words = f"{folder} is not used as a cache, because others may write it: chmod go-w changes that"
            warnings.warn(words, stacklevel=4)
            return False
        with tempfile.NamedTemporaryFile(dir=folder):
            return True
    except OSError:
        return False
