"""Runs on this machine, several at a time, each a process of its own: by default a fork of one that has torch loaded.

hydra-joblib-launcher (1.2.0, of 2022) is not used: it composes a run when its turn comes, so that an edit meanwhile changes
the run; a killed run ends its whole sweep; and it assigns no GPUs.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections import deque
from collections.abc import Iterator, Sequence
from types import FrameType

from hybrid.runs.sweeps.folder import SweepRun
from hybrid.runs.sweeps.job import Job, Jobs, Outcome
from hybrid.runs.sweeps.settings import LocalSettings

_PAUSE = 0.02  # seconds between two looks at the processes


class LocalPool:
    """A context that runs jobs and passes Ctrl-C, SIGTERM and SIGHUP on to them; `signal` is the signal that came, if any.

    jobs: starts them; `jobs.warm_up()` says beforehand that there are several, and `jobs.close()` belongs to the caller.
    """

    def __init__(self, settings: LocalSettings) -> None:
        self.signal: signal.Signals | None = None
        self._settings = settings
        self._devices = _devices() if settings.devices == "auto" else [str(k) for k in settings.devices]
        self._jobs: dict[int, Job] = {}  # worker -> its job
        self.jobs = Jobs(warm=settings.warm, environment=self._threads())
        self._before: dict[int, object] = {}

    def __enter__(self) -> LocalPool:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup
                self._before[number] = signal.signal(number, self._pass_on)
        return self

    def __exit__(self, *error: object) -> None:
        for job in self._jobs.values():  # none, unless we fail ourselves
            job.stop()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def run(self, runs: Sequence[SweepRun]) -> Iterator[tuple[SweepRun, Outcome]]:
        """Yield each run with its outcome, in the order in which they end. After a signal no further run is started."""
        waiting = deque(runs)
        while True:
            free = [worker for worker in range(self._settings.workers) if worker not in self._jobs]
            while waiting and free and self.signal is None:
                worker = free.pop(0)
                self._jobs[worker] = self.jobs.start(waiting.popleft(), environment=self.environment(worker))
            if not self._jobs:
                return
            for worker, job in list(self._jobs.items()):
                outcome = job.outcome()
                if outcome is not None:
                    del self._jobs[worker]
                    yield job.run, outcome
            time.sleep(_PAUSE)

    def environment(self, worker: int) -> dict[str, str]:
        """The variables that give a worker a GPU of its own and its share of the processor's cores."""
        devices = {"CUDA_VISIBLE_DEVICES": self._devices[worker % len(self._devices)]} if self._devices else {}
        return {**self._threads(), **devices}

    def _threads(self) -> dict[str, str]:
        if self._settings.workers == 1 or "OMP_NUM_THREADS" in os.environ:
            return {}
        return {"OMP_NUM_THREADS": str(max(1, _cores() // self._settings.workers))}

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        self.signal = signal.Signals(number)
        for job in self._jobs.values():
            job.stop(self.signal)


def _cores() -> int:
    """How many cores this process may use; on macOS, which does not say, how many there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _devices() -> list[str]:
    """The GPUs to assign to workers, found without torch; none where there is a single GPU or no GPU."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        devices = [device for device in visible.split(",") if device]
    elif shutil.which("nvidia-smi"):
        command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
        devices = answer.stdout.split() if answer.returncode == 0 else []
    else:
        devices = []
    return devices if len(devices) > 1 else []
