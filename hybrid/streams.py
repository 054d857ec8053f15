"""Standard output and errors whose reader goes away, as `head` does in `hybrid … | head`."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

_lost: list[OSError] = []  # of output that a full disk did not take, in this process


def output_lost() -> bool:
    """Whether output could not be written, but for a reader that has gone away."""
    return bool(_lost)


def discard(stream: TextIO) -> None:
    """Send all later output of this stream nowhere, so that no write fails."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


@contextlib.contextmanager
def outliving_readers() -> Iterator[None]:
    """A context in which stdout and stderr may lose their reader without an error: a run goes on, for its files."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (stream and _Patient(stream) for stream in before)  # one that is closed is None
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        sys.stdout, sys.stderr = before


def is_patient() -> bool:
    """Whether this is within `outliving_readers`."""
    return isinstance(sys.stdout, _Patient)


def _give_up(stream: TextIO, error: OSError) -> None:
    """Be silent from here on. A full disk is said once on stderr; of a reader that has gone nobody needs to know."""
    discard(stream)
    if isinstance(error, BrokenPipeError):
        return
    _lost.append(error)
    if sys.__stderr__ is not None and stream is not sys.__stderr__:
        with contextlib.suppress(OSError):
            print(
                f"warning: the output cannot be written ({error.strerror}); a run goes on for its files.",
                file=sys.__stderr__,
            )


class _Patient:
    """A text stream that becomes silent, instead of raising an error, when its reader goes away or its disk is full."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            _give_up(self._stream, error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            _give_up(self._stream, error)
