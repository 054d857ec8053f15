"""Locks between processes, each on a file; also on file systems that have no locks."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # Lustre without flock, some network drives
_SAY_AFTER, _SAY_EVERY = 5.0, 60.0  # seconds of waiting
_BEAT, _STALE = 30.0, 300.0  # seconds: the owner of a marker touches it so often; older ones belong to no process


class FileLock:
    """An exclusive lock on a file, for one process at a time; the system releases it when that process ends.

    As a context manager it waits until the lock is free, and says so in a warning. Where the file system has no locks, a marker
    beside the file takes their place: a file that names the host and the process, which touches it every half minute.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._held: IO[str] | _Marker | None = None

    def acquire(self, *, patience: float = 0.0) -> bool:
        """Take the lock, if need be after waiting `patience` seconds for it; whether it was free by then."""
        until = time.monotonic() + patience
        while not self._taken():
            if time.monotonic() >= until:
                return False
            time.sleep(0.05)
        return True

    def release(self) -> None:
        """Give the lock back, if it was taken."""
        if self._held is not None:
            self._held.close()
            self._held = None

    def __enter__(self) -> FileLock:
        patience = _SAY_AFTER
        while not self.acquire(patience=patience):
            warnings.warn(f"waiting for another process, which holds {self.path}", stacklevel=2)
            patience = _SAY_EVERY
        return self

    def __exit__(self, *error: object) -> None:
        self.release()

    def _taken(self) -> bool:
        file = self.path.open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        except OSError as error:
            file.close()
            if error.errno not in _NO_LOCKS:
                raise
            self._held = _Marker.place(_marker(self.path))
            return self._held is not None
        except BaseException:
            file.close()
            raise
        self._held = file
        return True


@contextlib.contextmanager
def locked_for_a_child(path: Path) -> Iterator[int]:
    """A context with a descriptor to hand to a child (`pass_fds`): the file is locked until that child ends, too.

    Where another process has the lock, or the file system has none, the descriptor has no lock.
    """
    with path.open("rb") as file:
        until = time.monotonic() + 0.35  # is_locked, asked by another process, holds it for a moment
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < until:
                    time.sleep(0.05)
                    continue
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
            break
        yield file.fileno()


def is_locked(path: Path | str) -> bool:
    """Whether a process has this lock now, as far as this machine sees other machines' locks."""
    try:
        with Path(path).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        return error.errno in _NO_LOCKS and _is_alive(_marker(Path(path)))
    return False


class _Marker:
    """A file that its owner alone may make, and touches as long as it lives."""

    def __init__(self, path: Path) -> None:
        self.path, self._ended = path, threading.Event()
        threading.Thread(target=self._beat, daemon=True).start()

    @classmethod
    def place(cls, path: Path) -> _Marker | None:
        """The marker; None while another process has one."""
        if path.exists() and not _is_alive(path):
            _remove(path)
        try:
            with path.open("x") as file:
                file.write(f"{socket.gethostname()} {os.getpid()}\n")
        except FileExistsError:
            return None
        warnings.warn(f"the file system of {path.parent} has no locks: {path.name} takes their place", stacklevel=2)
        return cls(path)

    def close(self) -> None:
        """Remove it."""
        self._ended.set()
        self.path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._ended.wait(_BEAT):
            with contextlib.suppress(OSError):
                os.utime(self.path)


def _marker(path: Path) -> Path:
    return path.with_name(f"{path.name}.held")


def _is_alive(marker: Path) -> bool:
    """Whether the process that placed a marker seems to live: on this host it is asked, on others its last touch tells."""
    try:
        host, _, number = marker.read_text().strip().partition(" ")
        if host == socket.gethostname() and number.isdecimal() and not _runs(int(number)):
            return False
        with tempfile.NamedTemporaryFile(dir=marker.parent) as now:  # by the clock of the file system
            return os.stat(now.name).st_mtime - marker.stat().st_mtime < _STALE
    except OSError:
        return False


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _remove(marker: Path) -> None:
    """Take a dead process's marker away. Of several processes that try, one succeeds, and none takes away a new one."""
    aside = marker.with_name(f"{marker.name}.{socket.gethostname()}.{os.getpid()}")
    with contextlib.suppress(OSError):
        marker.rename(aside)
        if _is_alive(aside):  # another process has been faster, and this is its own
            with contextlib.suppress(FileExistsError):
                os.link(aside, marker)
        aside.unlink()
