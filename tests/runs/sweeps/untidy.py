"""A callback that notes what its process began with, and one that leaves nothing as it was: what one run may do to the next."""

from __future__ import annotations

import gc
import json
import logging
import os
import random
import signal
import sys
import threading
import time
import warnings
from pathlib import Path

import matplotlib
import numpy as np
import torch
from hydra.core.global_hydra import GlobalHydra

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGCHLD", "SIGPIPE")


def _state() -> dict[str, object]:
    """Everything of this process that could make its run another one."""
    return {
        "torch": {
            "threads": torch.get_num_threads(),
            "dtype": str(torch.get_default_dtype()),
            "deterministic": torch.are_deterministic_algorithms_enabled(),
            "matmul": torch.get_float32_matmul_precision(),
            "benchmark": torch.backends.cudnn.benchmark,
            "gradients": torch.is_grad_enabled(),
            "gpu": torch.cuda.is_initialized(),
        },
        "matplotlib": {name: repr(value) for name, value in matplotlib.rcParams.items()},
        "warnings": sorted(map(str, warnings.filters)),
        "signals": {name: str(signal.getsignal(getattr(signal, name))) for name in _SIGNALS},
        "blocked": sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, ()))),
        "logging": [str(logging.root.handlers), logging.root.level, logging.root.manager.disable],
        "numpy": np.geterr(),
        "environment": {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
        "threads": [threading.active_count(), len(os.listdir("/proc/self/task"))],
        "gc": gc.isenabled(),
        "session": os.getsid(0) == os.getpid(),
        "folder": os.getcwd(),
        "mask": os.umask(os.umask(0)) or 0,
        "path": sys.path,
        "arguments": sys.argv[:3],
        "hydra": GlobalHydra.instance().is_initialized(),
        "stdin": os.readlink("/proc/self/fd/0"),
        "outputs": [os.readlink("/proc/self/fd/1") == os.readlink("/proc/self/fd/2"), sys.stdout.encoding],
        "unbuffered": sys.stdout.write_through,
        "traceback": sys.excepthook is sys.__excepthook__,
    }


_FIRST = _state()  # before the run has set anything
_RANDOM = [torch.initial_seed(), int(np.random.get_state()[1][1]), random.getrandbits(60)]  # what nobody has seeded


class Noted:
    """Writes the state of its process, at the time when this file was imported, into the run's folder."""

    def on_fit_start(self, session) -> None:
        (session.folder.path / "state.json").write_text(json.dumps(_FIRST))
        (session.folder.path / "random.json").write_text(json.dumps(_RANDOM))


class Untidy(Noted):
    """Changes all of it, and leaves threads, ends as it is told: `end` is a signal's number, 0: as any run."""

    def __init__(self, end: int) -> None:
        self.end = end

    def on_fit_end(self, session) -> None:
        torch.set_default_dtype(torch.float64)
        torch.manual_seed(1)
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True)
        torch.set_float32_matmul_precision("medium")
        matplotlib.rcParams["font.size"] = 3
        np.seterr(all="raise")
        warnings.simplefilter("error")
        for name in ("SIGTERM", "SIGUSR1"):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
        logging.basicConfig(level=1)
        os.environ["HYBRID_UNTIDY"] = "1"
        os.chdir("/")
        os.umask(0o77)
        sys.path.append("/nowhere")
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        Path(session.folder.path, "untidy").touch()
        if self.end:
            os.kill(os.getpid(), self.end)
