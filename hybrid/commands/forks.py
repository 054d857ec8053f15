"""The process from which the runs of a sweep are forked; `hybrid.runs.sweeps.forks` starts it.

It loads what a run needs and computes nothing: no thread runs in it, no generator is seeded, no GPU is touched. So a fork of it
is as good as a process that has just loaded the same.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import warnings
from dataclasses import dataclass, field
from typing import Any

from hybrid.lazy import collecting_later

_LOADED = (
    "hybrid.commands.train",
    "hybrid.training.run",
    "hybrid.reports.analysis_figures",
    "matplotlib.backends.backend_agg",
    "torch.utils.tensorboard",
)
_LONGEST = 1 << 22  # bytes of a request; sockets refuse to send longer ones
_OF_THE_LAUNCHER = (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)  # it passes them on to the runs


def forked_with(descriptor: int) -> list[str]:
    """Fork a process for each request that comes through this socket, and end when its other end is closed.

    Returns in the forks alone: the arguments of `hybrid` in this one.
    """
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in _OF_THE_LAUNCHER}
    with contextlib.suppress(ImportError), collecting_later():  # the run says what is missing
        for name in _LOADED:
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a fork neither looks at these objects again nor copies their memory
    arguments = _Server(socket.socket(fileno=descriptor), handlers).wait_for_work()
    sys.argv = [sys.argv[0], *arguments]
    return arguments


@dataclass
class _Server:
    """Forks, and reports how the forks end.

    handlers: of the signals that this process ignores and its forks do not.
    """

    socket: socket.socket
    handlers: dict[signal.Signals, Any]
    pipes: dict[int, int] = field(default_factory=dict)  # process -> where its exit code is written

    def wait_for_work(self) -> list[str]:
        """Returns in a fork alone, with its arguments."""
        wakes, woken = os.pipe()
        os.set_blocking(woken, False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        while True:
            ready, _, _ = select.select([self.socket, wakes], [], [])
            if wakes in ready:
                os.read(wakes, 4096)
                self._report()
            if self.socket in ready:
                message, descriptors, _, _ = socket.recv_fds(self.socket, _LONGEST, 3)
                if not message:
                    os._exit(0)
                if self._forked(descriptors[2], output=descriptors[0]):
                    signal.set_wakeup_fd(-1)
                    for each in (wakes, woken):
                        os.close(each)
                    return self._begin(json.loads(message), output=descriptors[0])
                for each in descriptors[:2]:
                    os.close(each)

    def _forked(self, pipe: int, *, output: int) -> bool:
        """Fork; whether this is the fork. Where the system starts no process, that is the run's failure alone."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _OF_THE_LAUNCHER)  # one that comes at once waits for its handler
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of NumPy's BLAS, whose threads bear a fork
            try:
                process = os.fork()
            except OSError as error:
                process = None
                os.write(output, f"error: the run's process cannot be started: {error.strerror}\n".encode())
        if process != 0:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _OF_THE_LAUNCHER)
        if process is None:
            os.close(pipe)
        elif process:
            self.pipes[process] = pipe
            _write(pipe, process)
        return process == 0

    def _report(self) -> None:
        """Write the exit codes of the forks that have ended."""
        while self.pipes:
            process, status = os.waitpid(-1, os.WNOHANG)
            if not process:
                return
            pipe = self.pipes.pop(process)
            _write(pipe, os.waitstatus_to_exitcode(status))
            os.close(pipe)

    def _begin(self, request: dict[str, Any], *, output: int) -> list[str]:
        """Become a process like one that the launcher starts itself."""
        self.socket.close()
        for pipe in self.pipes.values():
            os.close(pipe)
        os.setsid()
        for number, handler in {**self.handlers, signal.SIGCHLD: signal.SIG_DFL}.items():
            signal.signal(number, handler)
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        for stream in (1, 2):
            os.dup2(output, stream)
        os.close(output)
        os.environ.update(request["environment"])
        _draw_anew()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _OF_THE_LAUNCHER)
        return request["arguments"]


def _draw_anew() -> None:
    """Give numbers that nobody seeds another beginning in each fork; Python does so for its own."""
    import numpy as np
    import torch

    torch.default_generator.seed()
    np.random.seed()


def _write(pipe: int, number: int) -> None:
    with contextlib.suppress(BrokenPipeError):  # the launcher has been killed
        os.write(pipe, f"{number}\n".encode())
