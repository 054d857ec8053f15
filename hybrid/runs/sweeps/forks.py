"""Runs that begin as forks of one process, which has loaded torch and all else that a run needs, and runs nothing itself.

Each run is still a process of its own, and finds what a process finds that has just loaded torch: nothing of another run. Only
the loading, which takes longer than many a short run, is done once. The process is `hybrid.commands.forks`; here is its client.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

POSSIBLE = sys.platform == "linux"  # libraries of macOS do not bear a fork
_FORKS = "--forks"  # `hybrid --forks DESCRIPTOR` is that process: see hybrid/commands/main.py


class ForkServer:
    """The process that is forked. It ends with this object's process, and its forks go on, as other runs of a sweep do."""

    def __init__(self, *, hybrid: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start it; it is ready some seconds later, and runs may be started at once.

        Args:
            hybrid: the command `hybrid`, as the arguments of a process.
            environment: all variables of the process and its forks.
        """
        self._socket, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with there:
            self.process = subprocess.Popen(
                [*hybrid, _FORKS, str(there.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=dict(environment),
                pass_fds=[there.fileno()],
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        """Whether it can start runs."""
        return self.process.poll() is None

    def start(self, arguments: Sequence[str], *, environment: Mapping[str, str], output: int, lock: int) -> Forked:
        """Start `hybrid ARGUMENTS` with further variables; the descriptors are those of its output and of a lock that it keeps.

        Raises OSError if the process has ended.
        """
        here, there = os.pipe()
        message = json.dumps({"arguments": list(arguments), "environment": dict(environment)}).encode()
        try:
            socket.send_fds(self._socket, [message], [output, lock, there])
        except OSError:
            os.close(here)
            raise
        finally:
            os.close(there)
        return Forked(here)

    def close(self) -> None:
        """End it; runs that it has started go on."""
        self._socket.close()
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()


class Forked:
    """A run that was forked, with the methods of subprocess.Popen that a job needs."""

    def __init__(self, pipe: int) -> None:
        """pipe: where the server writes the number of the process and, at its end, its exit code, a line each."""
        self.pid: int | None = None
        self.returncode: int | None = None
        self._pipe, self._text = pipe, b""
        self._waiting: list[int] = []  # signals for a process that is not there yet

    def poll(self) -> int | None:
        """The exit code, negative for a signal's number; None while it runs, or has not begun."""
        while self.returncode is None and select.select([self._pipe], [], [], 0)[0]:
            self._read()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return the exit code. Raises subprocess.TimeoutExpired after `timeout` seconds."""
        until = None if timeout is None else time.monotonic() + timeout
        while self.returncode is None:
            left = None if until is None else max(0.0, until - time.monotonic())
            if not select.select([self._pipe], [], [], left)[0]:
                raise subprocess.TimeoutExpired("hybrid", timeout)
            self._read()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, as soon as it is there."""
        if self.poll() is not None:
            return
        if self.pid is None:
            self._waiting.append(number)
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def _read(self) -> None:
        part = os.read(self._pipe, 4096)
        self._text += part
        *lines, _ = self._text.split(b"\n")
        if self.pid is None and lines:
            self.pid = int(lines[0])
            if len(lines) > 1:  # it has ended, too, and its number may be another's
                self._waiting.clear()
            for number in self._waiting:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, number)
        if len(lines) > 1 or not part:  # no code: the server was killed, and nobody knows how the run ended after it
            self.returncode = int(lines[1]) if len(lines) > 1 else -int(signal.SIGKILL)
            os.close(self._pipe)
