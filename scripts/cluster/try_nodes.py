"""Tries what happens to runs of several nodes, on simulated ones: preemption, scancel, kills, power cuts, links down, restarts.

    python scripts/cluster/try_nodes.py                        # all tries, some minutes
    python scripts/cluster/try_nodes.py tries=preempt,link     # these whose names begin so

Three nodes and a real SLURM (`nodes.py`); each run has two ranks, on two nodes. Faults come at an exact place of a run, where a
rank waits for them (`hold.py`). Every try must end with a finished run that has the weights of an undisturbed one, or with the
line and the exit code that it names. The program prints a table, and exits with 1 where a try went wrong.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

from nodes import LOGIN, Slurm, slurm_on_nodes  # noqa: E402

from hybrid.configuration.arguments import command, option  # noqa: E402
from hybrid.errors import UserError  # noqa: E402
from hybrid.runs.folder import RunFolder  # noqa: E402
from hybrid.runs.sweeps.folder import SweepFolder, SweepRun  # noqa: E402

BASE = ["model=scat_linear", "model.frontend.J=2", "model.frontend.max_order=1", "model.frontend.engine=torch",
        "data.subset.n=100", "data.validation=50", "trainer.batch_size=36", "trainer.device=cpu", "trainer.tensorboard=false",
        "analysis=none", "trainer.duration='24 steps'", "trainer.evaluate_every='12 steps'", "trainer.log_every='4 steps'",
        "trainer.checkpoint_every='5 steps'", "trainer.rank_timeout='10 seconds'", "callbacks=[hold.Hold]"]  # fmt: skip
CLUSTER = [
    "cluster=slurm",
    "cluster.nodes=2",
    "cluster.gpus=0",
    "cluster.cpus=1",
    "cluster.memory=0.5",
    "cluster.time='0:30:00'",
]
SLOTS = 4  # of each node
# A node that does not answer is down after so many seconds: more than rank_timeout, as on a cluster. No answer to a signal of
# SLURM's own is waited for long. Jobs of the partition urgent take nodes from others, which have some seconds' grace.
SETTINGS = [
    "SlurmdTimeout=30",
    "MessageTimeout=5",
    "UnkillableStepTimeout=10",
    "PreemptType=preempt/partition_prio",
    "PreemptMode=REQUEUE",
    "PartitionName=DEFAULT GraceTime=30",
    "PartitionName=urgent Nodes=ALL PriorityTier=10",
]
_PATIENCE = 240.0  # seconds for anything to happen


class Wrong(Exception):
    """A try has not ended as it must."""


class Lab:
    """Nodes with SLURM, and a folder for each try."""

    def __init__(self, slurm: Slurm, folder: Path) -> None:
        self.slurm, self.nodes, self._folder = slurm, slurm.nodes, folder
        self.use("first")

    def use(self, name: str) -> None:
        """Begin another try: with its own outputs, holds and variables of the environment."""
        self.variables: dict[str, str] = {}
        self.outputs, self.holds = self._folder / name / "outputs", self._folder / name / "holds"
        self.holds.mkdir(parents=True)
        (self._folder / "state").mkdir(exist_ok=True)

    @property
    def environment(self) -> dict[str, str]:
        """The variables of every process of a try."""
        path = os.pathsep.join((str(Path(__file__).parent), str(ROOT)))
        own = {"PYTHONPATH": path, "HYBRID_HOLD": str(self.holds), "XDG_STATE_HOME": str(self._folder / "state")}
        return {**self.slurm.environment, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", **own, **self.variables}

    def words(self, *overrides: str) -> list[str]:
        """The words behind Python that train."""
        return [str(ROOT / "train.py"), *BASE, f"run.root={self.outputs}", *overrides]

    def start(self, node: str, *words: str) -> subprocess.Popen[str]:
        """Start a command on a node."""
        return self.nodes.popen(
            node,
            *words,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )

    def sweep(self, *overrides: str) -> subprocess.Popen[str]:
        """Start a sweep on the login node."""
        return self.start(LOGIN, sys.executable, self.words()[0], "-m", *self.words(*overrides)[1:], *CLUSTER)

    def srun(self, script: str, *, options: Sequence[str] = ()) -> subprocess.Popen[str]:
        """Start a shell line on two nodes with srun; TRAIN stands for the command."""
        line = script.replace("TRAIN", shlex.join([sys.executable, *self.words()]))
        srun = ["srun", "--nodes=2", "--ntasks=2", "--mem=500", "--cpus-per-task=1", "--time=30", *options]
        return self.start(LOGIN, *srun, "sh", "-c", line)

    def torchrun(self, *overrides: str, port: int) -> list[subprocess.Popen[str]]:
        """Start an agent of torchrun on each of two nodes; they meet on the first."""
        return [self.agent(node, *overrides, first="node1", port=port) for node in ("node1", "node2")]

    def agent(self, node: str, *overrides: str, first: str, port: int) -> subprocess.Popen[str]:
        """Start one agent of two."""
        agent = ["-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", "--max-restarts=2"]
        agent += ["--rdzv-backend=c10d", f"--rdzv-endpoint={first}:{port}", f"--rdzv-id={port}"]
        return self.start(node, sys.executable, *agent, *self.words(*overrides))

    def hold(self, *places: str) -> None:
        """Let ranks wait at places, such as "seed0.rank1.step12"."""
        for place in places:
            (self.holds / place).touch()

    def held(self, place: str, *, alive: Sequence[subprocess.Popen] = ()) -> tuple[str, int]:
        """Wait until a rank waits at a place. Returns its node, and its process as that node numbers it."""
        until(lambda: (self.holds / place).stat().st_size, f"nobody comes to {place}", alive=alive)
        here = json.loads((self.holds / place).read_text())
        return here["host"], here["pid"]

    def let_go(self, *places: str) -> None:
        """Let a rank go on."""
        for place in places:
            (self.holds / place).unlink(missing_ok=True)

    def kill(self, place: str, *, alive: Sequence[subprocess.Popen] = ()) -> None:
        """End the process that waits at a place, as the kernel does when memory runs out."""
        node, pid = self.held(place, alive=alive)
        self.nodes.run(node, "kill", "-KILL", str(pid))
        self.let_go(place)

    def runs(self) -> list[SweepRun]:
        """The runs of the sweep, once they are submitted."""
        until(lambda: list((self.outputs / "sweeps").glob("*/sweep.json")), "the sweep was not begun")
        sweep = SweepFolder.find("last", root=self.outputs)
        until(lambda: all(run.job for run in sweep.runs()), "the sweep was not submitted")
        return sweep.runs()

    def only_run(self) -> RunFolder:
        """The run of a try that makes no sweep."""
        (config,) = self.outputs.glob("*/config.yaml")
        return RunFolder(config.parent)

    def tell(self, run: SweepRun, *words: str, release: str) -> None:
        """Tell SLURM something about a run's job, let the run go on, and wait until it has ended.

        scancel of SLURM 22.05 sends a signal again every five seconds while other runs of the array are pending: it is ended
        once the signal has done its work.
        """
        with self.start(LOGIN, *words, run.job) as telling:
            time.sleep(2)
            self.let_go(release)
            until(lambda: not run.folder.in_use, f"{' '.join(words)} has not ended {run.job}")
            telling.kill()

    def reference(self, seed: int) -> Path:
        """The last checkpoint of an undisturbed run of two ranks on one node."""
        there = self._folder / "references"
        if not there.exists():
            script = self._folder / "references.py"
            overrides = [word.replace("'", "") for word in (*BASE, f"run.root={there}")]
            script.write_text(
                f"import hybrid\nfor seed in range(3):\n    hybrid.train(*{overrides}, f'seed={{seed}}')\n"
            )
            torchrun = [
                sys.executable,
                "-m",
                "torch.distributed.run",
                "--standalone",
                "--nproc-per-node=2",
                str(script),
            ]
            end(self.start(LOGIN, *torchrun))
        return next(there.glob(f"*-seed{seed}-*/checkpoints/last.pt"))

    def state(self, run: SweepRun) -> str:
        """SLURM's word for a run's job, such as RUNNING; "" if it knows it no longer."""
        found = re.search(r"JobState=(\S+)", self.slurm.ask("scontrol", "show", "job", "--oneliner", run.job))
        return found[1] if found else ""


def until(
    look: Callable[[], object], otherwise: str | Callable[[], str], *, alive: Sequence[subprocess.Popen] = ()
) -> None:
    """Wait until `look` finds something; Wrong with these words if it does not, or if one of the processes has ended."""
    began = time.monotonic()
    while not look():
        ended = [process for process in alive if process.poll() is not None]
        if ended or time.monotonic() - began > _PATIENCE:
            words = otherwise if isinstance(otherwise, str) else otherwise()
            raise Wrong(words + "".join(f"; it said: {process.communicate()[0][-1500:]}" for process in ended))
        time.sleep(0.05)


def end(*processes: subprocess.Popen[str], code: int | None = 0, seconds: float = _PATIENCE) -> str:
    """Wait for processes, check their exit codes unless it is None, and return all that they said."""
    said = []
    for process in processes:
        try:
            said.append(process.communicate(timeout=seconds)[0])
        except subprocess.TimeoutExpired:
            raise Wrong(f"it has not ended after {seconds:g} s") from None
    codes = [process.returncode for process in processes]
    check(
        code is None or set(codes) == {code},
        f"exit codes {codes}, not {code}: {' … '.join(out[-1500:] for out in said)}",
    )
    return "".join(said)


def sessions(folder: RunFolder) -> list[dict]:
    """The sessions of a run: when and with how many ranks it was begun or continued."""
    return json.loads(folder.environment.read_text())["sessions"] if folder.environment.is_file() else []


def check(condition: object, words: str) -> None:
    """Raise Wrong, with these words, unless the condition holds."""
    if not condition:
        raise Wrong(words)


def check_weights(lab: Lab, folder: RunFolder, seed: int = 0) -> None:
    """Raise Wrong unless a run has ended with the very weights of an undisturbed one of torchrun's, on one node."""
    import torch

    ours, theirs = (
        torch.load(path, weights_only=False) for path in (folder.checkpoints / "last.pt", lab.reference(seed))
    )
    check(ours["step"] == theirs["step"], f"it ended at step {ours['step']}, not {theirs['step']}")
    same = all(torch.equal(value, theirs["model"][name]) for name, value in ours["model"].items())
    check(same, f"the weights of seed {seed} are not those of an undisturbed run")


def check_sweep(lab: Lab, sweep: subprocess.Popen[str], *, begun: Sequence[int]) -> str:
    """Wait for a sweep; every run must have finished with the right weights, in so many sessions of two ranks."""
    said = end(sweep)
    for seed, (run, times) in enumerate(zip(lab.runs(), begun, strict=True)):
        check(run.folder.finished, f"seed {seed} has not finished: {said}")
        ranks = [session["ranks"] for session in sessions(run.folder)]
        check(ranks == [2] * times, f"the sessions of seed {seed} had {ranks} ranks, and not two in each of {times}")
        check_weights(lab, run.folder, seed)
    return said


def seeds(count: int = 3) -> str:
    """The override that makes a sweep of so many runs."""
    return f"seed={','.join(map(str, range(count)))}"


def places(event: str, *, rank: int = 1, count: int = 3) -> list[str]:
    """The same place of each run of a sweep."""
    return [f"seed{seed}.rank{rank}.{event}" for seed in range(count)]


def try_sweep(lab: Lab) -> str:
    """Three runs, each on two nodes."""
    check_sweep(lab, lab.sweep(seeds()), begun=(1, 1, 1))
    return "three runs finished; weights are those of torchrun on one node"


def try_sweep_preempted_by_a_signal(lab: Lab) -> str:
    """SIGTERM to first, middle and last element, at step 12; the last checkpoint was that of step 10."""
    sweep, there = lab.sweep(seeds()), places("step12")
    lab.hold(*there)
    for place, run in zip(there, lab.runs(), strict=True):
        lab.held(place, alive=[sweep])
        lab.tell(run, "scancel", "--signal=TERM", release=place)
    check_sweep(lab, sweep, begun=(2, 2, 2))
    return "first, middle and last: checkpoint, requeued, the same weights"


def try_sweep_preempted_by_another_job(lab: Lab) -> str:
    """A job of a partition with priority takes all nodes from first, middle and last element (PreemptMode=REQUEUE)."""
    sweep, there = lab.sweep(seeds()), places("step12")
    lab.hold(*there)
    for place in there:
        lab.held(place, alive=[sweep])
    lab.slurm.ask("sbatch", "--partition=urgent", "--nodes=3", "--exclusive", "--output=/dev/null", "--wrap=sleep 1")
    time.sleep(3)  # SIGTERM has come
    lab.let_go(*there)
    check_sweep(lab, sweep, begun=(2, 2, 2))
    return "first, middle and last: checkpoint, requeued by SLURM, the same weights"


def try_sweep_cancelled(lab: Lab) -> str:
    """scancel of first, last and middle element, in this order, at step 12; then the same command."""
    sweep, there = lab.sweep(seeds()), places("step12")
    lab.hold(*there)
    for place in there:
        lab.held(place, alive=[sweep])
    runs = lab.runs()
    left = dict(enumerate(runs))
    for seed in (0, 2, 1):
        run = left.pop(seed)
        lab.tell(run, "scancel", release=there[seed])
        until(lambda run=run: lab.state(run) == "CANCELLED", f"element {seed} is {lab.state(run)}, not CANCELLED")
        check(all(lab.state(other) == "RUNNING" for other in left.values()), f"scancel of element {seed} ended others")
    said = end(sweep, code=3)
    check("3 of 3 runs are not finished" in said and not any(run.folder.finished for run in runs), said)
    check([len(sessions(run.folder)) for run in runs] == [1, 1, 1], "a cancelled run was requeued")
    check_sweep(lab, lab.sweep(seeds()), begun=(2, 2, 2))
    return "each ends alone and is not requeued; the same command continues them to the same weights"


def try_sweep_rank_killed(lab: Lab) -> str:
    """SIGKILL to rank 1 at step 12, to rank 0 at step 12, and to rank 1 as it is about to write a checkpoint."""
    sweep, there = lab.sweep(seeds()), ["seed0.rank1.step12", "seed1.rank0.step12", "seed2.rank1.checkpoint15"]
    lab.hold(*there)
    for place in there:
        lab.kill(place, alive=[sweep])
    check_sweep(lab, sweep, begun=(2, 2, 2))
    return "each is requeued; the same weights"


def try_sweep_rank_killed_elsewhere(lab: Lab) -> str:
    """SIGKILL to rank 1 before the first checkpoint, after an evaluation, and after the summary is written."""
    sweep, there = lab.sweep(seeds()), ["seed0.rank1.step3", "seed1.rank1.validation12", "seed2.rank1.end24"]
    lab.hold(*there)
    for place in there:
        lab.kill(place, alive=[sweep])
    said = end(sweep, code=1)
    check("1 of 3 runs are not finished" in said, said)
    check_sweep(lab, lab.sweep(seeds()), begun=(2, 2, 1))
    return "at step 3: left; after an evaluation: requeued; after the summary: finished"


def try_sweep_power_cut(lab: Lab) -> str:
    """The node of rank 1 goes, at step 12."""
    return _without_a_node(lab, rank=1)


def try_sweep_power_cut_of_the_first(lab: Lab) -> str:
    """The node of rank 0 goes, and with it the store and the batch script, at step 12."""
    return _without_a_node(lab, rank=0)


def _without_a_node(lab: Lab, *, rank: int) -> str:
    sweep, place = lab.sweep("seed=0"), f"seed0.rank{rank}.step12"
    lab.hold(place)
    node, _ = lab.held(place, alive=[sweep])
    lab.nodes.cut_power(node)
    lab.let_go(place)
    try:
        check_sweep(lab, sweep, begun=(2,))
    finally:
        lab.nodes.boot(node)
        lab.slurm.begin(node)
        lab.slurm.wait_for_idle()
    return f"{node} goes: requeued, finished on the other two; the same weights"


def try_sweep_link_down(lab: Lab) -> str:
    """The link of rank 1's node is down for longer than rank_timeout, from step 12 on."""
    _with_a_link_down(lab, seconds=25, sessions=2)
    return "both ends find out; requeued, the same weights"


def try_sweep_link_down_shortly(lab: Lab) -> str:
    """The link of rank 1's node is down for three seconds, from step 12 on."""
    _with_a_link_down(lab, seconds=3, sessions=1)
    return "the run waits and goes on; the same weights"


def _with_a_link_down(lab: Lab, *, seconds: float, sessions: int) -> None:
    sweep, place = lab.sweep("seed=0"), "seed0.rank1.step12"
    lab.hold(place)
    node, _ = lab.held(place, alive=[sweep])
    lab.nodes.link(node, "down")
    lab.let_go(place)
    time.sleep(seconds)
    lab.nodes.link(node, "up")
    check_sweep(lab, sweep, begun=(sessions,))


def try_srun_configurations(lab: Lab) -> str:
    """Ranks with another learning rate, seed, batch and duration."""
    for words in ("optimizer.lr=0.0{}", "seed={}", "trainer.batch_size={}0", "trainer.duration='{}0 steps'"):
        said = end(lab.srun(f'exec TRAIN "{words.format("$((SLURM_PROCID + 2))")}"'), code=2)
        name = words.partition("=")[0]
        found = re.search(rf"error: rank 1 on (node\d) has {re.escape(name)}=.*, and rank 0 on (node\d) has ", said)
        check(found and found[1] != found[2], said)
    check(not list(lab.outputs.glob("*/metrics.jsonl")), "a run was begun")
    return "exit code 2 and one line with rank, node, setting and both values; nothing is written"


def try_srun_code(lab: Lab) -> str:
    """One node has another version of a file of the package."""
    file, other = ROOT / "hybrid" / "seeding.py", lab.outputs.parent / "seeding.py"
    other.write_text(f"{file.read_text()}\n# changed\n")
    lab.nodes.run("node2", "mount", "--bind", str(other), str(file))
    try:
        said = end(lab.srun("exec TRAIN", options=["--nodelist=node1,node2"]), code=2)
    finally:
        lab.nodes.run("node2", "umount", str(file))
    check(
        re.search(r"error: rank 1 on node2 has hybrid/seeding.py=\w+, and rank 0 on node1 has \w+: all ranks", said),
        said,
    )
    return "exit code 2 and one line with the file's name"


def try_srun_rank_missing(lab: Lab) -> str:
    """Rank 1 ends before the ranks have met, as after a failed import."""
    lab.hold("come")
    wait = f"for i in $(seq 500); do [ -e {lab.holds}/come ] || exit 1; sleep 0.2; done"
    said = ""
    with lab.srun(f"[ $SLURM_PROCID = 0 ] || {{ {wait}; }}; exec TRAIN", options=["--kill-on-bad-exit=1"]) as srun:
        for line in srun.stdout:
            said += line
            if line.startswith("waiting at"):
                lab.let_go("come")
    found = re.search(r"waiting at (\S+), up to 10 minutes, for rank 1 on node\d of 2 processes", said)
    check(found and srun.returncode, said)
    return f'"{found[0].replace(", up to 10 minutes,", " …")}"; srun ends it'


def try_srun_script(lab: Lab) -> str:
    """The guide's batch script: SIGUSR1 at step 12."""
    train = shlex.join([sys.executable, *lab.words("seed=0")])
    lines = ["#!/bin/bash", f"srun {train}", "code=$?"]
    lines += ['if [ $code = 138 ] || [ $code = 143 ]; then scontrol requeue "$SLURM_JOB_ID"; fi', "exit $code"]
    return _script(lab, lines, ["--signal=USR1"])


def try_torchrun_script(lab: Lab) -> str:
    """The guide's batch script with torchrun: SIGUSR1 to the script at step 12."""
    train = shlex.join(lab.words("seed=0"))
    lines = [
        "#!/bin/bash",
        'head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)',
        """trap 'asked=yes; scancel --signal=TERM "$SLURM_JOB_ID.0"' USR1""",
        f'srun {shlex.quote(sys.executable)} -m torch.distributed.run --nnodes="$SLURM_NNODES" --nproc-per-node=1 '
        '--rdzv-id="$SLURM_JOB_ID" --rdzv-backend=c10d --rdzv-endpoint="$head:29400" ' + f"{train} &",
        "step=$!",
        "wait $step || wait $step",
        'if [ "$asked" = yes ]; then scontrol requeue "$SLURM_JOB_ID"; fi',
    ]
    return _script(lab, lines, ["--batch", "--signal=USR1"])


def _script(lab: Lab, lines: Sequence[str], signalled: Sequence[str]) -> str:
    script, log, place = lab.outputs.parent / "job.sh", lab.outputs.parent / "job.log", "seed0.rank1.step12"
    script.write_text("\n".join(lines) + "\n")
    lab.hold(place)
    sizes = ["--nodes=2", "--ntasks-per-node=1", "--mem=500", "--requeue", "--open-mode=append", f"--output={log}"]
    job = lab.slurm.nodes.run(LOGIN, "sbatch", "--parsable", *sizes, str(script), env=lab.environment).stdout.strip()
    lab.held(place)
    lab.slurm.ask("scancel", *signalled, job)
    time.sleep(2)
    lab.let_go(place)
    until(lambda: list(lab.outputs.glob("*/summary.json")), lambda: f"it has not finished: {log.read_text()[-2000:]}")
    (folder,) = (RunFolder(path.parent) for path in lab.outputs.glob("*/summary.json"))
    check([session["step"] for session in sessions(folder)] == [0, 13], f"its sessions are {sessions(folder)}")
    check_weights(lab, folder)
    return "checkpoint at step 13, requeued; the same weights"


def try_torchrun_rank_killed(lab: Lab) -> str:
    """SIGKILL to rank 1 as training begins, then to rank 0 at step 12: two restarts by two agents."""
    agents = lab.torchrun("seed=0", port=29401)
    there = ["seed0.rank1.start0", "seed0.rank0.step12"]
    lab.hold(*there)
    for place in there:
        lab.kill(place, alive=agents)
    end(*agents)
    folder = lab.only_run()
    check([session["step"] for session in sessions(folder)] == [0, 0, 10], f"its sessions are {sessions(folder)}")
    check_weights(lab, folder)
    return "two restarts, from the beginning and from step 10; the same weights"


def try_torchrun_power_cut(lab: Lab) -> str:
    """The node of the second agent goes at step 12; it comes again, with a new agent.

    torch 2.14 tells the address of the store that its agents share in their first round alone: a new agent waits for it in vain
    unless they are told to share none.
    """
    lab.variables["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    first, second = lab.torchrun("seed=0", port=29402)
    lab.hold("seed0.rank1.step12")
    node, _ = lab.held("seed0.rank1.step12", alive=[first, second])
    lab.nodes.cut_power(node)
    lab.let_go("seed0.rank1.step12")
    lab.nodes.boot(node)
    lab.slurm.begin(node)
    again = lab.agent(node, "seed=0", first="node1", port=29402)
    end(first, again)
    folder = lab.only_run()
    check([session["step"] for session in sessions(folder)] == [0, 10], f"its sessions are {sessions(folder)}")
    check_weights(lab, folder)
    lab.slurm.wait_for_idle()
    return "the first agent waits for the new one; on from step 10, the same weights"


TRIES: dict[str, Callable[[Lab], str]] = {
    name.removeprefix("try_").replace("_", " "): function
    for name, function in list(globals().items())
    if name.startswith("try_")
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
                lab.use(name.replace(" ", "-"))
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
