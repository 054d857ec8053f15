"""A loader that gets nothing from its workers ends with one line, and a signal ends it at once."""

from __future__ import annotations

import signal

import pytest

from hybrid.configuration.entry import guarded
from hybrid.data import file_loader
from hybrid.data.file_loader import _patiently, is_stalled
from hybrid.errors import UserError
from hybrid.training.interruption import Interruption, stopped_at_once


class Stuck:
    """As torch's iterator: it raises for each time that it has waited in vain, and then goes on."""

    def __init__(self, waits: int) -> None:
        self.waits, self.left = waits, ["image"]

    def __iter__(self):
        return self

    def __next__(self):
        if self.waits:
            self.waits -= 1
            raise RuntimeError("DataLoader timed out after 5 seconds")
        if not self.left:
            raise StopIteration
        return self.left.pop()


def test_a_wait_is_bounded_and_says_what_it_may_be(monkeypatch):
    assert list(_patiently(Stuck(waits=3), 2)) == ["image"]
    assert not is_stalled()
    monkeypatch.setattr(file_loader, "_MOST_PATIENT", 0.0)
    with pytest.raises(UserError, match=r"of 2 processes that decode: shared memory may be too small.*num_workers=0"):
        next(_patiently(Stuck(waits=1), 2))
    file_loader._stalled.clear()


def test_a_signal_ends_a_loader_that_waits_with_its_exit_code(tmp_path):
    file_loader._stalled.set()
    try:
        with Interruption(), pytest.raises(KeyboardInterrupt) as stopped:
            signal.raise_signal(signal.SIGTERM)
    finally:
        file_loader._stalled.clear()
    ended = stopped_at_once(tmp_path, stopped.value)
    assert ended.exit_code == 128 + signal.SIGTERM and "the same command begins again" in str(ended)

    def task():
        raise ended

    assert guarded(task) == 143


def test_other_errors_pass():
    def broken():
        raise RuntimeError("DataLoader worker (pid 3) is killed")
        yield

    with pytest.raises(RuntimeError, match="is killed"):
        next(_patiently(broken(), 1))
