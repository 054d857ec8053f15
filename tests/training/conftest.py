"""A run that takes seconds: a hundred digits and a linear classifier on their scattering coefficients."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hybrid.configuration.composition import compose
from hybrid.configuration.entry import guarded
from hybrid.tracking import RunFolder
from hybrid.training.run import run

TINY = [
    "model=scat_linear", "model.frontend.J=2", "model.frontend.max_order=1", "data.subset.n=100", "data.validation=50",
    "trainer.duration=6 steps", "trainer.batch_size=40", "trainer.evaluate_every=3 steps", "trainer.checkpoint_every=2 steps",
    "trainer.log_every=2 steps", "analysis=none", "trainer.tensorboard=false", "trainer.progress=none", "optimizer.lr=0.05",
    "trainer.max_evaluation_batches=2", "trainer.device=cpu",
]  # fmt: skip


@pytest.fixture
def tiny(tmp_path):
    """tiny("trainer.ema=0.9", …) composes the configuration of such a run in a folder of this test."""

    def make(*overrides: str, root=None):
        return compose(command_line(*overrides, root=root or tmp_path / "runs"))

    return make


def command_line(*overrides: str, root: Path) -> list[str]:
    return [*TINY, f"run.root={root}", *overrides]


@pytest.fixture(name="command_line")
def _command_line():
    """command_line("trainer.ema=0.9", root=…) is what a user would type for the run of tiny("trainer.ema=0.9", root=…)."""
    return command_line


@pytest.fixture
def train(tiny):
    """train(…overrides) runs it and returns its RunFolder."""

    def do(*overrides: str, root=None) -> RunFolder:
        cfg = tiny(*overrides, root=root)
        run(cfg)
        return RunFolder.of(cfg)

    return do


class Ranks:
    """Processes forked from this one, as real as new ones but without their seconds of imports, that meet as torchrun's do."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.pids = folder, []
        folder.mkdir(parents=True)

    def start(self, size: int, action: Callable[[], object], manner: str) -> Ranks:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        for rank in range(size):
            variables = {"RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": rank, "MASTER_ADDR": "127.0.0.1"}
            if manner == "srun":
                variables = {"SLURM_PROCID": rank, "SLURM_LOCALID": rank}
            pid = os.fork()
            if pid == 0:
                self._work(rank, action, {**variables, "MASTER_PORT": port})
            self.pids.append(pid)
        return self

    def wait(self, seconds: float = 60) -> list[int]:
        """Exit codes; minus the signal's number where one ended the process. Whoever is still there after that is killed."""
        until, codes = time.monotonic() + seconds, {}
        while len(codes) < len(self.pids):
            for pid in set(self.pids) - set(codes):
                if time.monotonic() > until:
                    os.kill(pid, signal.SIGKILL)
                done, status = os.waitpid(pid, os.WNOHANG)
                if done:
                    codes[pid] = os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        return [codes[pid] for pid in self.pids]

    def said(self, rank: int) -> str:
        """What a process wrote to its stdout and stderr."""
        return (self.folder / f"said{rank}").read_text()

    def results(self) -> list:
        """What `action` returned in each process; all must have ended well."""
        codes = self.wait()
        assert codes == [0] * len(codes), [self.said(rank) for rank in range(len(codes))]
        return [torch.load(self.folder / f"result{rank}", weights_only=False) for rank in range(len(codes))]

    def _work(self, rank: int, action: Callable[[], object], variables: dict[str, object]) -> None:
        code = 1
        try:
            os.environ.update({name: str(value) for name, value in variables.items()})
            file = os.open(self.folder / f"said{rank}", os.O_WRONLY | os.O_CREAT)
            os.dup2(file, 1)
            os.dup2(file, 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
            code = guarded(lambda: torch.save(action(), self.folder / f"result{rank}"))
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


@pytest.fixture
def ranks(tmp_path):
    """ranks(2, action) starts two processes that each do it: a `Ranks`. They are killed, if need be, when the test ends."""
    import sklearn.datasets  # noqa: F401  (the digits are in it: here once, rather than in every process)

    groups = []

    def start(size: int, action: Callable[[], object], *, manner: str = "torchrun") -> Ranks:
        groups.append(Ranks(tmp_path / f"ranks{len(groups)}").start(size, action, manner))
        return groups[-1]

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
        yield start
    for pid in [pid for group in groups for pid in group.pids]:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
