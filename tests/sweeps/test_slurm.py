"""A sweep on a real SLURM: preempted, killed, with a broken configuration, under a controller that dies."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from hybrid.sweeps import slurm
from hybrid.sweeps.folder import SweepFolder, SweepRun
from hybrid.tracking.jsonl import read_metrics

_TRAINING = ["model=scat_linear", "data.subset.n=100", "analysis=none", "trainer.tensorboard=false"]
_TRAINING += ["trainer.duration='200 steps'", "trainer.log_every='2 steps'", "trainer.evaluate_every='100 steps'"]
_TRAINING += ["model.frontend.max_order=1", "trainer.batch_size=16"]
_CLUSTER = ["cluster=slurm", "cluster.gpus=0", "cluster.cpus=1", "cluster.memory=1", "cluster.time='0:30:00'"]
_NEEDED = ("slurmctld", "slurmd", "munged", "mungekey")
_GOOD = "optimizer.lr=0.1,0.09,0.08,0.07,0.06"
_SWEEP = [f"{_GOOD},-1"]  # six runs, the last of which is not valid


@pytest.fixture(scope="module")
def cluster(root, tmp_path_factory):
    """A SLURM of one node and two slots: restart() kills its controller and starts it again."""
    if os.geteuid() or not all(shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") for name in _NEEDED):
        pytest.skip(f"needs root and {', '.join(_NEEDED)}; see scripts/cluster/local_slurm.sh")
    pytest.importorskip("submitit", reason="needs the extra slurm")
    folder = tmp_path_factory.mktemp("slurm")
    for parent in (folder, *list(folder.parents)[:2]):  # munge, another user, must get to its socket
        parent.chmod(0o755)
    script = [str(root / "scripts" / "cluster" / "local_slurm.sh")]
    subprocess.run([*script, "start", str(folder), "2"], check=True, timeout=120)
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    yield lambda: subprocess.run([*script, "restart", str(folder)], check=True, timeout=120)
    subprocess.run([*script, "stop", str(folder)], check=True, timeout=120)
    del os.environ["SLURM_CONF"]


def command(root: Path, outputs: Path, *arguments: str) -> list[str]:
    return [sys.executable, str(root / "train.py"), "-m", *_TRAINING, f"run.root={outputs}", *arguments]


def wait_for(condition, *, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def steps(run: SweepRun) -> int:
    records = read_metrics(run.folder.metrics)
    return records[-1]["step"] if records else 0


def disturb(sweep: SweepFolder, run: SweepRun, *how: str, beyond: int) -> None:
    """Wait until a run is beyond a step, do something to its job, and wait until that has ended the process."""
    wait_for(lambda: steps(run) > beyond and run.folder.in_use)
    job = next(each.job for each in sweep.runs() if each.name == run.name)
    wait_for(lambda: subprocess.run(["scontrol", "ping"], capture_output=True).returncode == 0)  # it may be away
    subprocess.run([*how, job])  # once: a second signal would meet the job that has been requeued
    wait_for(lambda: not run.folder.in_use)
    assert not run.folder.finished, "it was too fast: nothing was disturbed"


def preempt_twice(sweep: SweepFolder, run: SweepRun) -> None:
    disturb(sweep, run, "scancel", "--signal=USR2", beyond=5)  # the warning before a time limit
    disturb(sweep, run, "scancel", "--signal=TERM", beyond=steps(run) + 5)


def kill(sweep: SweepFolder, run: SweepRun, restart_controller) -> None:
    """SIGKILL to the training process, as the kernel sends it when memory runs out; then the controller dies too."""
    wait_for(lambda: steps(run) > 5 and run.folder.in_use)
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # others' processes come and go
            if str(run.config) in path.read_bytes().decode(errors="replace").split("\0"):
                os.kill(int(path.parent.name), signal.SIGKILL)
    wait_for(lambda: not run.folder.in_use)
    assert not run.folder.finished
    restart_controller()


def requeue(sweep: SweepFolder, run: SweepRun) -> None:
    disturb(sweep, run, "scontrol", "requeue", beyond=5)  # as a preemption with PreemptMode=REQUEUE


@pytest.mark.slurm
def test_a_disturbed_sweep_ends_as_an_undisturbed_one(root, tmp_path, cluster, request):
    launched = command(root, tmp_path / "disturbed", *_SWEEP, *_CLUSTER)
    process = subprocess.Popen(launched, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: list((tmp_path / "disturbed" / "sweeps").glob("*/sweep.json")))
    sweep = SweepFolder.find("last", root=tmp_path / "disturbed")
    wait_for(lambda: all(run.job for run in sweep.runs()))
    *good, bad = sweep.runs()
    request.addfinalizer(process.kill)
    with ThreadPoolExecutor() as pool:
        tasks = [pool.submit(preempt_twice, sweep, good[0]), pool.submit(kill, sweep, good[1], cluster)]
        tasks.append(pool.submit(requeue, sweep, good[2]))
        for task in tasks:
            task.result()
    out, errors = process.communicate(timeout=420)
    unfinished = [run.name for run in good if not run.folder.finished]
    assert unfinished == [good[1].name], "what was killed is not requeued"
    assert process.returncode == 2 and "2 of 6 runs are not finished, 1 of them failed" in errors, out + errors
    again = subprocess.run(launched, capture_output=True, text=True, timeout=300)
    assert again.returncode == 1 and all(run.folder.finished for run in good), again.stderr
    assert "lr=-1.0 is not valid" in bad.folder.error.read_text()
    sessions = [len(json.loads(run.folder.environment.read_text())["sessions"]) for run in good]
    assert sessions == [3, 2, 2, 1, 1]

    undisturbed = command(root, tmp_path / "undisturbed", "optimizer.lr=0.1,0.09,0.08", "cluster.workers=2")
    subprocess.run(undisturbed, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=420)
    for run in good[:3]:
        _check_equal(run.path, tmp_path / "undisturbed" / run.name)
    of_the_good = command(root, tmp_path / "disturbed", _GOOD, *_CLUSTER)
    nothing = subprocess.run(of_the_good, capture_output=True, text=True, check=True, timeout=120)
    assert "5 runs, 5 of them finished already" in nothing.stdout and "submitted" not in nothing.stdout


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


def test_without_submitit_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(Exception, match=r"pip install 'hybrid\[slurm\]'"):
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


def _stop_when_waiting(task: slurm.ArrayTask, run: SweepRun):
    sleep = time.sleep

    def do(seconds: float) -> None:
        sleep(seconds)
        if run.log.read_text().rstrip().endswith("waiting"):
            task._job.process.send_signal(signal.SIGTERM)

    return do
