"""Tries what happens to runs of several nodes, on simulated ones: preemption, scancel, kills, power cuts, links down, restarts.

    python scripts/cluster/try_nodes.py                        # all tries, some minutes
    python scripts/cluster/try_nodes.py tries=preempt,link     # these whose names begin so

Three nodes and a real SLURM (`nodes.py`); each run has two ranks, on two nodes. Faults come at an exact place of a run, where a
rank waits for them (`hold.py`). Every try must end with a finished run that has the weights of an undisturbed one, or with the
line and the exit code that it names. The program prints a table, and exits with 1 where a try went wrong.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

from nodes import LOGIN, Nodes, Slurm, slurm_on_nodes  # noqa: E402

from hybrid.configuration.arguments import command, option  # noqa: E402
from hybrid.errors import LOST, UserError  # noqa: E402
from hybrid.runs.folder import RunFolder  # noqa: E402
from hybrid.runs.sweeps.folder import SweepFolder, SweepRun  # noqa: E402

BASE = ["model=scat_linear", "model.frontend.J=2", "model.frontend.max_order=1", "model.frontend.engine=torch",
        "data.subset.n=100", "data.validation=50", "trainer.batch_size=36", "trainer.device=cpu", "trainer.tensorboard=false",
        "analysis=none", "trainer.duration='24 steps'", "trainer.evaluate_every='12 steps'", "trainer.log_every='4 steps'",
        "trainer.checkpoint_every='5 steps'", "trainer.rank_timeout='10 seconds'", "callbacks=[hold.Hold]"]  # fmt: skip
CLUSTER = ["cluster=slurm", "cluster.nodes=2", "cluster.gpus=0", "cluster.cpus=1", "cluster.memory=0.5", "cluster.time='0:30:00'"]
SLOTS = 4  # of each node
# A node that does not answer is down after so many seconds: more than rank_timeout, as on a cluster. No answer to a signal of
# SLURM's own is waited for long.
SETTINGS = {"SlurmdTimeout": "30", "MessageTimeout": "5", "UnkillableStepTimeout": "10"}
_PATIENCE = 120.0  # seconds for anything to happen


class Wrong(Exception):
    """A try has not ended as it must."""


class Lab:
    """Nodes with SLURM, and a folder for each try."""

    def __init__(self, slurm: Slurm, folder: Path) -> None:
        self.slurm, self.nodes, self._folder = slurm, slurm.nodes, folder
        self.use("first")

    def use(self, name: str) -> None:
        """Begin another try: with its own outputs and holds."""
        self.outputs, self.holds = self._folder / name / "outputs", self._folder / name / "holds"
        self.holds.mkdir(parents=True)
        (self._folder / "state").mkdir(exist_ok=True)

    @property
    def environment(self) -> dict[str, str]:
        """The variables of every process of a try."""
        path = os.pathsep.join((str(Path(__file__).parent), str(ROOT)))
        own = {"PYTHONPATH": path, "HYBRID_HOLD": str(self.holds), "XDG_STATE_HOME": str(self._folder / "state")}
        return {**self.slurm.environment, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", **own}

    def words(self, *overrides: str) -> list[str]:
        """The words behind Python that train."""
        return [str(ROOT / "train.py"), *BASE, f"run.root={self.outputs}", *overrides]

    def start(self, node: str, *words: str) -> subprocess.Popen[str]:
        """Start a command on a node."""
        return self.nodes.popen(
            node, *words, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )

    def sweep(self, *overrides: str) -> subprocess.Popen[str]:
        """Start a sweep on the login node."""
        return self.start(LOGIN, sys.executable, self.words()[0], "-m", *self.words(*overrides)[1:], *CLUSTER)

    def srun(self, script: str, *, options: Sequence[str] = ()) -> subprocess.Popen[str]:
        """Start a shell line on two nodes with srun; $TRAIN is the command without overrides."""
        line = f"TRAIN={_quoted(' '.join(map(_quoted, [sys.executable, *self.words()])))}; {script}"
        srun = ["srun", "--nodes=2", "--ntasks=2", "--mem=500", "--cpus-per-task=1", "--time=30", *options]
        return self.start(LOGIN, *srun, "sh", "-c", line)

    def torchrun(self, *overrides: str, nodes: Sequence[str] = ("node1", "node2"), port: int) -> list[subprocess.Popen[str]]:
        """Start an agent of torchrun on each node."""
        agent = ["-m", "torch.distributed.run", f"--nnodes={len(nodes)}", "--nproc-per-node=1", "--max-restarts=2"]
        agent += ["--rdzv-backend=c10d", f"--rdzv-endpoint={nodes[0]}:{port}", f"--rdzv-id={port}"]
        return [self.start(node, sys.executable, *agent, *self.words(*overrides)) for node in nodes]

    def hold(self, place: str) -> None:
        """Let a rank wait at a place, such as "seed0.rank1.step12"."""
        (self.holds / place).touch()

    def held(self, place: str, *, alive: Sequence[subprocess.Popen] = ()) -> tuple[str, int]:
        """Wait until a rank waits at a place. Returns its node, and its process as that node numbers it."""
        _until(lambda: (self.holds / place).stat().st_size, f"nobody comes to {place}", alive=alive)
        here = json.loads((self.holds / place).read_text())
        return here["host"], here["pid"]

    def let_go(self, *places: str) -> None:
        """Let a rank go on."""
        for place in places:
            (self.holds / place).unlink(missing_ok=True)

    def kill(self, place: str) -> None:
        """End the process that waits at a place, as the kernel does when memory runs out."""
        node, pid = self.held(place)
        self.nodes.run(node, "kill", "-KILL", str(pid))
        self.let_go(place)

    def runs(self) -> list[SweepRun]:
        """The runs of the sweep, once they are submitted."""
        _until(lambda: list((self.outputs / "sweeps").glob("*/sweep.json")), "the sweep was not begun")
        sweep = SweepFolder.find("last", root=self.outputs)
        _until(lambda: all(run.job for run in sweep.runs()), "the sweep was not submitted")
        return sweep.runs()

    def state(self, run: SweepRun) -> str:
        """SLURM's word for a run's job, such as RUNNING; "" if it knows it no longer."""
        found = re.search(r"JobState=(\S+)", self.slurm.ask("scontrol", "show", "job", "--oneliner", run.job))
        return found[1] if found else ""


def _quoted(text: str) -> str:
    import shlex

    return shlex.quote(text)


def _until(look: Callable[[], object], otherwise: str, *, alive: Sequence[subprocess.Popen] = (), seconds: float = _PATIENCE):
    until = time.monotonic() + seconds
    while not (found := look()):
        ended = [process for process in alive if process.poll() is not None]
        if ended or time.monotonic() > until:
            raise Wrong(otherwise + "".join(f"; it said: {process.communicate()[0][-1500:]}" for process in ended))
        time.sleep(0.05)
    return found


def end(*processes: subprocess.Popen[str], code: int | None = 0, seconds: float = _PATIENCE) -> str:
    """Wait for processes, check their exit codes unless it is None, and return all that they said."""
    said = ""
    for process in processes:
        try:
            out, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise Wrong(f"it has not ended after {seconds:g} s") from None
        said += out
        if code is not None and process.returncode != code:
            raise Wrong(f"exit code {process.returncode}, not {code}: {out[-1500:]}")
    return said


def sessions(folder: RunFolder) -> list[dict]:
    """The sessions of a run: when and with how many ranks it was begun or continued."""
    return json.loads(folder.environment.read_text())["sessions"] if folder.environment.is_file() else []


def check(condition: object, words: str) -> None:
    """Raise Wrong, with these words, unless the condition holds."""
    if not condition:
        raise Wrong(words)


@functools.cache
def reference(lab: Lab, overrides: tuple[str, ...]) -> Path:
    """The last checkpoint of an undisturbed run of two ranks."""
    there = lab.outputs.parent.parent / f"reference-{abs(hash(overrides))}"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    end(lab.start(LOGIN, *torchrun, *lab.words(*overrides, f"run.root={there}")))
    return next(there.glob("*/checkpoints/last.pt"))


def check_weights(folder: RunFolder, last: Path) -> None:
    """Raise Wrong unless a run has ended with the very weights of an undisturbed one."""
    import torch

    ours, theirs = (torch.load(path, weights_only=False) for path in (folder.checkpoints / "last.pt", last))
    check(ours["step"] == theirs["step"], f"it ended at step {ours['step']}, not {theirs['step']}")
    same = all(torch.equal(value, theirs["model"][name]) for name, value in ours["model"].items())
    check(same, "the weights are not those of an undisturbed run")


def try_sweep(lab: Lab) -> str:
    """A sweep of three runs, each on two nodes."""
    said = end(lab.sweep("seed=0,1,2"))
    check("all 3 runs are finished" in said, said)
    runs = lab.runs()
    check(all(sessions(run.folder)[0]["ranks"] == 2 for run in runs), "not all had two ranks")
    check_weights(runs[0].folder, reference(lab, ("seed=0",)))
    return "three finished, weights bit-identical to torchrun's"


TRIES: dict[str, Callable[[Lab], str]] = {
    "sweep": try_sweep,
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command line."""

    tries: tuple[str, ...] = option("the beginnings of their names; all by default", default=())
    to: str = option("a folder to keep what the runs and SLURM wrote; by default it is temporary", default="")


@contextlib.contextmanager
def laboratory(folder: Path, *, count: int = 3) -> Iterator[Lab]:
    """Nodes and SLURM in a folder. Raises UserError where they cannot be started."""
    with slurm_on_nodes(folder, count, slots=SLOTS, settings=SETTINGS) as slurm:
        yield Lab(slurm, folder)


@command(Options)
def try_nodes(options: Options) -> int:
    """Make the tries, one after the other, and print what happened."""
    chosen = [name for name in TRIES if name.startswith(options.tries or ("",))]
    if not chosen:
        raise UserError(f"tries={','.join(options.tries)}: there is no such try. Valid: {', '.join(TRIES)}.")
    bad = 0
    with contextlib.ExitStack() as stack:
        folder = options.to or stack.enter_context(tempfile.TemporaryDirectory())
        os.makedirs(folder, exist_ok=True)
        os.chmod(folder, 0o755)  # munge, another user, must get to its socket
        with laboratory(Path(folder).resolve()) as lab:
            for name in chosen:
                lab.use(name)
                began = time.monotonic()
                try:
                    what = TRIES[name](lab)
                except Wrong as error:
                    what, bad = f"WRONG: {error}", bad + 1
                print(f"| {name} | {what} | {time.monotonic() - began:.0f} |", flush=True)
    print(f"{len(chosen)} tries, {bad} wrong")
    return int(bad > 0)


if __name__ == "__main__":
    try_nodes()
