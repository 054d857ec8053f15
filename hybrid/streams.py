"""Standard output and errors whose reader goes away, as `head` does in `hybrid … | head`."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO


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


class _Patient:
    """A text stream that becomes silent, instead of raising an error, when its reader goes away."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            discard(self._stream)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            discard(self._stream)
