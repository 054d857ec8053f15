from __future__ import annotations

import errno
import fcntl
import os
import threading
import time

import pytest

from hybrid import locks
from hybrid.locks import FileLock, is_locked


@pytest.fixture(params=["locks", "no locks"])
def path(request, tmp_path, monkeypatch):
    """A file on a file system that has locks, or has none."""
    if request.param == "no locks":

        def refuse(*arguments):
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(fcntl, "flock", refuse)
    return tmp_path / ".lock"


@pytest.mark.filterwarnings("ignore:.*has no locks:UserWarning")
def test_one_owner_at_a_time(path):
    first, second = FileLock(path), FileLock(path)
    assert first.acquire() and is_locked(path)
    assert not second.acquire(patience=0.1)
    first.release()
    assert not is_locked(path)
    assert second.acquire()
    second.release()


@pytest.mark.filterwarnings("ignore:.*has no locks:UserWarning")
def test_who_waits_says_so(path, monkeypatch):
    monkeypatch.setattr(locks, "_SAY_AFTER", 0.05)
    owner = FileLock(path)
    owner.acquire()
    threading.Timer(0.3, owner.release).start()
    with pytest.warns(UserWarning, match="waiting for another process, which holds .*lock"), FileLock(path):
        assert is_locked(path)


def test_a_file_system_without_locks_is_said_and_a_dead_owner_is_found_out(path, monkeypatch):
    marker = path.with_name(".lock.held")
    if not _has_no_locks(path):
        return
    with pytest.warns(UserWarning, match="has no locks: .lock.held takes their place"):
        assert FileLock(path).acquire()
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    host = marker.read_text().split()[0]
    marker.write_text(f"{host} {child}\n")  # a process of this host that is no more
    assert not is_locked(path)
    with pytest.warns(UserWarning, match="has no locks"):
        assert FileLock(path).acquire()
    marker.write_text("another-host 1\n")
    assert is_locked(path) and not FileLock(path).acquire()
    os.utime(marker, (time.time() - 1000,) * 2)
    assert not is_locked(path)


def _has_no_locks(path):
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            return True
    return False
