"""A sweep on a real SLURM: preempted, killed, with a broken configuration, under a controller that dies."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from hybrid.configuration.composition import compose
from hybrid.errors import LOST, UserError
from hybrid.runs.jsonl import read_metrics
from hybrid.runs.sweeps import slurm
from hybrid.runs.sweeps.folder import SweepFolder, SweepRun
from hybrid.runs.sweeps.launch import cluster_settings, launch
from hybrid.training import run as training

_TRAINING = ["model=scat_linear", "data.subset.n=100", "analysis=none", "trainer.tensorboard=false"]
_TRAINING += ["trainer.duration='600 steps'", "trainer.log_every='4 steps'", "trainer.evaluate_every='300 steps'"]
_TRAINING += ["trainer.checkpoint_every='10 steps'", "model.frontend.max_order=1", "trainer.batch_size=16"]
_TRAINING += ["optimizer._target_=held.held_sgd"]
_CLUSTER = ["cluster=slurm", "cluster.gpus=0", "cluster.cpus=1", "cluster.memory=1", "cluster.time='0:30:00'"]
_NEEDED = ("slurmctld", "slurmd", "munged", "mungekey")
_DISTURBED = ["0.1", "0.09", "0.08", "0.07"]
_GOOD = f"optimizer.lr={','.join(_DISTURBED)},0.06"
_SWEEP = [f"{_GOOD},-1"]  # six runs, the last of which is not valid


pytestmark = pytest.mark.xdist_group("slurm")  # one cluster for all of them, and they start first, as they take longest


@pytest.fixture(scope="module")
def cluster(root, tmp_path_factory):
    """A SLURM of one node and two slots: cluster("crash") kills its controller, cluster("recover") starts it again."""
    if os.geteuid() or not all(shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") for name in _NEEDED):
        pytest.skip(f"needs root and {', '.join(_NEEDED)}; see scripts/cluster/local_slurm.sh")
    pytest.importorskip("submitit", reason="needs the extra slurm")
    folder = tmp_path_factory.mktemp("slurm")
    base = tmp_path_factory.getbasetemp()
    for parent in (folder, base, base.parent, base.parent.parent):  # munge, another user, must get to its socket
        if parent.stat().st_uid == 0 and parent != Path(tempfile.gettempdir()):
            parent.chmod(0o755)
    script = [str(root / "scripts" / "cluster" / "local_slurm.sh")]
    subprocess.run([*script, "start", str(folder), "2"], check=True, timeout=120)
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    yield lambda action: subprocess.run([*script, action, str(folder)], check=True, timeout=120)
    subprocess.run([*script, "stop", str(folder)], check=True, timeout=120)
    del os.environ["SLURM_CONF"]


@pytest.fixture
def start():
    """start(command, environment) -> a process that ends with the test."""
    with contextlib.ExitStack() as stack:

        def do(arguments: list[str], environment: dict[str, str]) -> subprocess.Popen:
            pipe = subprocess.PIPE
            process = subprocess.Popen(arguments, stdout=pipe, stderr=pipe, text=True, env=environment)
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield do


def command(root: Path, outputs: Path, *arguments: str) -> list[str]:
    return [sys.executable, str(root / "train.py"), "-m", *_TRAINING, f"run.root={outputs}", *arguments]


def wait_for(condition, *, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def sessions(run: SweepRun) -> list[dict]:
    path = run.folder.environment
    return json.loads(path.read_text())["sessions"] if path.is_file() else []


def disturb(run: SweepRun, act: Callable[[], object]) -> None:
    """Wait until a run has gone ten steps and more in this session, do something to it, and wait until it has begun again."""

    def under_way() -> bool:
        records, here = read_metrics(run.folder.metrics), sessions(run)
        return bool(records and here) and run.folder.in_use and records[-1]["step"] > here[-1]["step"] + 10

    def ended() -> bool:
        return run.folder.finished or run.folder.error.is_file()

    wait_for(lambda: under_way() or ended())
    assert not ended(), "it ended before it was disturbed"
    before = len(sessions(run))
    act()
    wait_for(lambda: len(sessions(run)) > before or ended())
    assert len(sessions(run)) == before + 1, "it was not disturbed"


def ask(run: SweepRun, *command: str) -> None:
    """Tell SLURM something about a run's job, until the run has ended.

    scancel of SLURM 22.05 sends a signal again every five seconds while other runs of the array are pending: it is ended
    once the signal has done its work, and the run that begins again gets none.
    """
    with subprocess.Popen([*command, run.job]) as process:
        wait_for(lambda: not run.folder.in_use)
        process.kill()


@pytest.fixture
def held(tmp_path):
    """The folder of held.py, and the environment that runs need for it."""
    folder = tmp_path / "held"
    folder.mkdir()
    module = str(Path(__file__).parent)
    return folder, {**os.environ, "OMP_NUM_THREADS": "1", "HYBRID_TEST_HELD": str(folder), "PYTHONPATH": module}


def kill(run: SweepRun) -> None:
    """SIGKILL to the training process, as the kernel sends it when memory runs out."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # others' processes come and go
            if str(run.config) in path.read_bytes().decode(errors="replace").split("\0"):
                os.kill(int(path.parent.name), signal.SIGKILL)


def contents(run: SweepRun) -> dict[Path, int]:
    """When every file of a run was written."""
    return {path: path.stat().st_mtime_ns for path in run.path.rglob("*") if path.is_file()}


@pytest.mark.slurm
def test_a_disturbed_sweep_ends_as_an_undisturbed_one(root, tmp_path, cluster, start, held):
    folder, environment = held
    launched = command(root, tmp_path / "disturbed", *_SWEEP, *_CLUSTER)
    for lr in _DISTURBED:
        (folder / lr).touch()
    process = start(launched, environment)
    wait_for(lambda: list((tmp_path / "disturbed" / "sweeps").glob("*/sweep.json")))
    sweep = SweepFolder.find("last", root=tmp_path / "disturbed")
    wait_for(lambda: all(run.job for run in sweep.runs()))
    *good, bad = sweep.runs()
    recovered = threading.Event()

    def crash() -> None:
        """A run is killed while the controller is away. The others are left alone meanwhile: what a controller has just
        been told, and has not written down yet, dies with it."""
        time.sleep(6)  # it writes down within five seconds that it has started a job
        cluster("crash")
        kill(good[1])
        wait_for(lambda: not good[1].folder.in_use)
        cluster("recover")
        recovered.set()

    def tell(run: SweepRun, *how: str) -> None:
        recovered.wait()
        disturb(run, lambda: ask(run, *how))

    disturbances = [
        [
            lambda: tell(good[0], "scancel", "--signal=USR2"),  # SLURM's warning before a time limit
            lambda: tell(good[0], "scancel", "--signal=TERM"),
        ],
        [lambda: disturb(good[1], crash)],
        [lambda: tell(good[2], "scontrol", "requeue")],  # as PreemptMode=REQUEUE does
        [lambda: tell(good[3], "scancel", "--signal=USR1")],
    ]

    def disturb_all(lr: str, acts: list[Callable[[], None]]) -> None:
        try:
            for act in acts:
                act()
        finally:
            recovered.set()
            (folder / lr).unlink()

    with ThreadPoolExecutor() as pool:
        list(pool.map(disturb_all, _DISTURBED, disturbances))
    out, errors = process.communicate(timeout=300)
    assert all(run.folder.finished for run in good), out + errors
    assert [len(sessions(run)) for run in good] == [3, 2, 2, 2, 1]
    assert process.returncode == 1 and "1 of 6 runs are not finished, 1 of them failed" in errors, out + errors
    assert "lr=-1.0 is not valid" in bad.folder.error.read_text()

    undisturbed = command(root, tmp_path / "undisturbed", _GOOD, "cluster.workers=2")
    subprocess.run(undisturbed, check=True, env=environment, timeout=300)
    for run in good:
        _check_equal(run.path, tmp_path / "undisturbed" / run.name)

    before = [contents(run) for run in good]
    again = subprocess.run(launched, capture_output=True, text=True, env=environment, timeout=300)
    assert (
        again.returncode == 1 and "6 runs, 5 of them finished already" in again.stdout
    )  # the failed one is tried again
    of_the_good = command(root, tmp_path / "disturbed", _GOOD, *_CLUSTER)
    nothing = subprocess.run(of_the_good, capture_output=True, text=True, check=True, env=environment, timeout=120)
    assert "5 runs, 5 of them finished already" in nothing.stdout and "submitted" not in nothing.stdout
    assert [contents(run) for run in good] == before


@pytest.mark.slurm
def test_a_run_of_two_processes_is_preempted_and_continues(root, tmp_path, cluster, start, held, ranks, monkeypatch):
    """srun starts both; the weights are those of two processes that nobody has disturbed."""
    folder, environment = held
    arguments = [*_TRAINING, "optimizer.lr=0.1"]
    (folder / "0.1").touch()
    launched = command(root, tmp_path / "slurm", "optimizer.lr=0.1", *_CLUSTER, "cluster.processes=2")
    process = start(launched, environment)
    wait_for(lambda: list((tmp_path / "slurm" / "sweeps").glob("*/sweep.json")))
    sweep = SweepFolder.find("last", root=tmp_path / "slurm")
    wait_for(lambda: sweep.runs()[0].job)
    (run,) = sweep.runs()
    disturb(run, lambda: ask(run, "scancel", "--signal=TERM"))
    (folder / "0.1").unlink()
    out, errors = process.communicate(timeout=200)
    assert process.returncode == 0, out + errors
    assert [session["ranks"] for session in sessions(run)] == [2, 2]
    monkeypatch.setenv("HYBRID_TEST_HELD", str(folder))
    monkeypatch.syspath_prepend(environment["PYTHONPATH"])
    whole = compose([*arguments, f"run.root={tmp_path / 'whole'}"])
    ranks(2, lambda: training.run(whole)).results()
    _check_equal(run.path, tmp_path / "whole" / run.name)


@pytest.mark.slurm
def test_an_installed_hybrid_submits_from_an_empty_folder(tmp_path, cluster, installed_with_extras):
    quick = [word for word in _TRAINING if "duration" not in word and "_target_" not in word]
    done = installed_with_extras.run(
        "hybrid", "train", "-m", *quick, "trainer.duration=4 steps", "seed=0,1", *_CLUSTER, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "submitted: job" in done.stdout and "all 2 runs are finished: hybrid report sweep=" in done.stdout
    assert len(list((tmp_path / "outputs").glob("*/summary.json"))) == 2


def _check_equal(one: Path, other: Path) -> None:
    first, second = (torch.load(path / "checkpoints" / "last.pt", weights_only=False) for path in (one, other))
    leaves = list(zip(_leaves(first), _leaves(second), strict=True))
    assert sum(isinstance(a, torch.Tensor) for a, _ in leaves) > 4
    for a, b in leaves:
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else True


def _leaves(node):
    if isinstance(node, dict):
        for key in node:
            yield from _leaves(node[key])
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _leaves(value)
    else:
        yield node


def test_without_slurm_it_says_so(tmp_path, make_sweep, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Exception, match="there is no squeue here"):
        slurm.jobs_in_queue(make_sweep("seed=0"))


def test_a_slurm_that_does_not_answer_is_one_line_and_all_that_is_said(quick_train, tmp_path, monkeypatch, capfd):
    refusal = "squeue: error: DNS lookup failed\nsqueue: fatal: no configuration source\n"
    silent = subprocess.CompletedProcess([], 1, stdout="", stderr=refusal)
    monkeypatch.setattr(slurm, "_ask", lambda *command: silent)
    with pytest.raises(UserError) as error:
        launch([f"run.root={tmp_path}", "cluster=slurm"])
    assert str(error.value) == (
        "cluster=slurm: SLURM did not respond (squeue: fatal: no configuration source). "
        "Start it on a cluster's login node."
    )
    assert capfd.readouterr().out == ""


def test_a_job_is_told_of_the_users_folders_and_no_file_beside_the_command_takes_a_modules_place(tmp_path, monkeypatch):
    monkeypatch.setattr(slurm, "import_path", lambda: ["/check out"])
    monkeypatch.setenv("HYBRID_CONFIGS", "")
    monkeypatch.chdir(tmp_path)
    safe, path = slurm._variables()
    assert (
        safe == "export PYTHONSAFEPATH=1" and path == """export PYTHONPATH='/check out'"${PYTHONPATH:+:$PYTHONPATH}\""""
    )
    (tmp_path / "hybrid.yaml").touch()
    (tmp_path / "my configs").mkdir()
    monkeypatch.setenv("HYBRID_CONFIGS", "my configs")
    assert slurm._variables()[2] == f"export HYBRID_CONFIGS='{tmp_path}/my configs:{tmp_path}'"


def test_without_submitit_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(Exception, match=r"pip install 'hybrid-scattering\[slurm\]'"):
        slurm.import_submitit()


def test_a_job_that_runs_on_is_requeued_and_a_cancelled_one_is_not(make_sweep, quick_train, monkeypatch, tmp_path):
    (run,) = make_sweep("optimizer.lr=0.0625").runs()
    monkeypatch.setattr(slurm, "requeue", lambda: requeued.append(run.name))
    for state, times in (("CANCELLED", 0), ("PREEMPTED", 1), ("RUNNING", 1)):
        requeued = []
        monkeypatch.setattr(slurm, "_state", lambda state=state: state)
        (run.path / "started.txt").unlink(missing_ok=True)
        task = slurm.ArrayTask()
        monkeypatch.setattr(slurm.time, "sleep", _stop_when_waiting(task, run))
        assert task(run).state == "stopped"
        assert len(requeued) == times


def test_before_submitit_requeues_the_controller_has_answered(make_sweep, monkeypatch):
    pytest.importorskip("submitit", reason="needs the extra slurm")
    (run,) = make_sweep("seed=0").runs()
    answers = ["Zero Bytes were transmitted or received", "Unable to contact slurm controller", ""]

    def answer(command, **_):
        error = answers.pop(0)
        return subprocess.CompletedProcess(command, int(bool(error)), stdout="JobState=RUNNING", stderr=error)

    monkeypatch.setattr(slurm.subprocess, "run", answer)
    monkeypatch.setattr(slurm.time, "sleep", lambda seconds: None)
    assert slurm.ArrayTask().checkpoint(run).args == (run,)
    assert not answers


def test_a_controller_that_is_away_is_asked_again_for_five_minutes_and_the_user_is_told_once(monkeypatch, capsys):
    """scontrol requeue of SLURM 22.05 has words of its own for it."""
    clock = iter(range(0, 10_000, 100))
    monkeypatch.setattr(slurm.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(slurm.time, "sleep", lambda seconds: None)
    asked = []

    def answer(command, **_):
        asked.append(command)
        return subprocess.CompletedProcess(command, 1, stdout="", stderr="Unexpected message received for job 7_1\n")

    monkeypatch.setattr(slurm.subprocess, "run", answer)
    monkeypatch.setattr(slurm, "own_job", lambda: "7_1")
    with pytest.warns(UserWarning, match="job 7_1 cannot be requeued: Unexpected message"):
        slurm.requeue()
    assert len(asked) == 5
    said = "waiting up to 5 minutes for SLURM's controller (Unexpected message received for job 7_1)\n"
    assert capsys.readouterr().err == said


def test_a_controller_that_is_away_at_the_submission_is_one_line_and_nothing_is_submitted_twice(
    make_sweep, monkeypatch, tmp_path, capfd
):
    """Its answer may have been lost: a job of the sweep that the sweep does not know is not joined by another."""
    pytest.importorskip("submitit", reason="needs the extra slurm")
    sweep = make_sweep("seed=0,1")
    refusal = "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)"
    programs = {"sbatch": f"echo '{refusal}' >&2; exit 1", "scontrol": "echo MaxArraySize = 1001"}
    programs |= {"squeue": "echo 7_0 PENDING Resources", "srun": "exit 1", "scancel": "exit 1"}
    for name, text in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(UserError) as error:
        slurm.submit(sweep, sweep.runs(), cluster_settings(["cluster=slurm"]))
    assert str(error.value) == f"SLURM's controller is away ({refusal}); the same command submits the sweep."
    assert capfd.readouterr().err == ""
    with pytest.raises(
        UserError, match=r"job 7_0 of this sweep is in the queue, but SLURM's answer .* scancel 7; then"
    ):
        slurm.not_in_queue(sweep, sweep.runs())
    sweep.note_jobs({sweep.runs()[0].name: "7_0"})
    assert [run.name for run in slurm.not_in_queue(sweep, sweep.runs())] == [sweep.runs()[1].name]


def test_a_killed_run_is_requeued_if_it_had_come_to_a_checkpoint(make_sweep, quick_train, monkeypatch):
    (run,) = make_sweep("optimizer.lr=0.125").runs()  # kills itself when it is started first
    monkeypatch.setattr(slurm, "_state", lambda: "RUNNING")
    monkeypatch.setattr(slurm, "requeue", lambda: requeued.append(run.name))
    for checkpoints, times in (([None, None], 0), ([None, 1], 1), ([1, 1], 0), ([1, 2], 1)):
        requeued = []
        (run.path / "started.txt").unlink(missing_ok=True)
        monkeypatch.setattr(slurm, "_last_checkpoint", lambda run, left=checkpoints: left.pop(0))
        assert slurm.ArrayTask()(run).state == "killed"
        assert len(requeued) == times


def test_a_job_of_an_array_asks_for_itself_alone_and_one_answer_counts(monkeypatch):
    """The last element's own number is the array's, for which scontrol describes all elements."""
    asked, answers = [], ["JobId=7 JobState=RUNNING ArrayTaskId=2\n", "JobId=5 JobState=A\nJobId=6 JobState=B\n"]

    def answer(*command):
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, stdout=answers.pop(0), stderr="")

    monkeypatch.setattr(slurm, "_ask", answer)
    for name, value in {"SLURM_JOB_ID": "7", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "2"}.items():
        monkeypatch.setenv(name, value)
    assert slurm._state() == "RUNNING" and asked[0] == ("scontrol", "show", "job", "--oneliner", "7_2")
    with pytest.raises(UserError, match="scontrol show job 7_2 describes 2 jobs, not one"):
        slurm._state()
    assert slurm.own_job({"SLURM_JOB_ID": "9"}) == "9"


def test_a_run_one_of_whose_processes_died_is_requeued_by_the_first(make_sweep, monkeypatch):
    """Rank 0's process ends with the exit code of a lost rank."""
    (run,) = make_sweep("seed=0").runs()
    monkeypatch.setattr("hybrid.runs.sweeps.job._TRAIN", (sys.executable, "-c", f"raise SystemExit({LOST})"))
    monkeypatch.setattr(slurm, "_state", lambda: "RUNNING")
    monkeypatch.setattr(slurm, "requeue", lambda: requeued.append(run.name))
    requeued = []
    for checkpoints in ([None, None], [None, 1]):
        monkeypatch.setattr(slurm, "_last_checkpoint", lambda run, left=checkpoints: left.pop(0))
        assert slurm.ArrayTask()(run).state == "killed"
    assert requeued == [run.name]


def test_while_slurm_takes_a_lost_node_for_a_running_one_the_first_process_asks_to_be_requeued_once(
    make_sweep, monkeypatch, tmp_path
):
    """SlurmdTimeout above trainer.rank_timeout: the ranks that are left know of the lost one first. The others leave it to the
    first; if that is lost itself, SLURM requeues the job when it finds out."""
    (run,) = make_sweep("seed=0").runs()
    scontrol, asked = tmp_path / "scontrol", tmp_path / "asked"
    scontrol.write_text(
        f'#!/bin/sh\necho "$@" >> {asked}\n[ "$1" = requeue ] || echo JobId=8 JobState=RUNNING Requeue=1\n'
    )
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("hybrid.runs.sweeps.job._TRAIN", (sys.executable, "-c", f"raise SystemExit({LOST})"))
    for name, value in {"SLURM_JOB_ID": "8", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "1"}.items():
        monkeypatch.setenv(name, value)
    stamps = iter([None, 1, None, 1])
    monkeypatch.setattr(slurm, "_last_checkpoint", lambda run: next(stamps))
    monkeypatch.setenv("SLURM_PROCID", "1")
    assert slurm.ArrayTask()(run).state == "killed" and not asked.exists()
    monkeypatch.setenv("SLURM_PROCID", "0")
    with pytest.raises(SystemExit, match="requeued as job 7_1"):
        slurm.ArrayTask()(run)
    assert asked.read_text().splitlines() == ["show job --oneliner 7_1", "requeue 7_1"]


@pytest.mark.filterwarnings("default::UserWarning")
def test_a_requeue_that_ends_its_own_command_is_no_failure(monkeypatch, recwarn):
    monkeypatch.setenv("SLURM_JOB_ID", "9")
    for code, error in ((0, ""), (-signal.SIGTERM, ""), (1, "Job is not running")):
        answer = subprocess.CompletedProcess([], code, stdout="", stderr=error)
        monkeypatch.setattr(slurm, "_ask", lambda *command, answer=answer: answer)
        with pytest.raises(SystemExit, match="requeued as job 9") if code <= 0 else contextlib.nullcontext():
            slurm.requeue()
    assert [str(warning.message) for warning in recwarn] == ["job 9 cannot be requeued: Job is not running"]


def test_commands_that_are_absent_and_too_long_arrays_are_one_line(tmp_path, monkeypatch):
    for name in ("squeue", "scancel", "sbatch"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="there is no srun, scontrol here. Start it on a cluster's login node"):
        slurm.check_commands()
    config = subprocess.CompletedProcess([], 0, stdout="MaxArraySize            = 1001\n", stderr="")
    monkeypatch.setattr(slurm, "_ask", lambda *command: config)
    slurm._check_array(1001)
    with pytest.raises(UserError, match=r"submit 1002 runs, and a job array of this cluster has at most 1001 \(MaxArr"):
        slurm._check_array(1002)


def test_slurms_reason_is_said_once_where_no_run_can_begin(monkeypatch, capsys):
    pending, running = slurm.QueuedJob("PENDING", "PartitionNodeLimit"), slurm.QueuedJob("RUNNING", "None")
    answers = [{"7_0": pending}, {"7_0": pending}, {"7_0": running}, {}]
    monkeypatch.setattr(slurm, "jobs_in_queue", lambda sweep: answers.pop(0))
    monkeypatch.setattr(slurm, "_SAY_AFTER", -1.0)
    monkeypatch.setattr(slurm.time, "sleep", lambda seconds: None)
    slurm._wait_for(None)
    assert capsys.readouterr().out == "no run has begun; SLURM's reason: PartitionNodeLimit\n"


def _stop_when_waiting(task: slurm.ArrayTask, run: SweepRun):
    sleep = time.sleep

    def do(seconds: float) -> None:
        sleep(seconds)
        if run.log.read_text().rstrip().endswith("waiting"):
            task._job.process.send_signal(signal.SIGTERM)

    return do
