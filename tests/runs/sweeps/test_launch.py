"""Launching a sweep on this machine: what runs, what is skipped, what is tried again, what the exit code says."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from hybrid.errors import UserError
from hybrid.runs.folder import RunFolder
from hybrid.runs.sweeps import launch as module
from hybrid.runs.sweeps import local
from hybrid.runs.sweeps.folder import SweepFolder
from hybrid.runs.sweeps.launch import cluster_settings, launch
from hybrid.runs.sweeps.local import LocalPool
from hybrid.runs.sweeps.settings import LocalSettings


@pytest.fixture
def sweep(quick_train, tmp_path, capfd):
    """sweep("seed=0,1") -> (exit code, stdout, stderr)."""

    def do(*arguments: str) -> tuple[int, str, str]:
        code = 0
        try:
            launch(["model=scat_linear", f"run.root={tmp_path / 'runs'}", *arguments])
        except SystemExit as end:
            code = end.code
        out, errors = capfd.readouterr()
        return code, out, errors

    return do


def starts(tmp_path) -> list[int]:
    return sorted(len(path.read_text()) for path in (tmp_path / "runs").glob("*/started.txt"))


def test_every_run_ends_in_its_folder_and_launching_again_does_nothing(sweep, tmp_path):
    code, out, _ = sweep("seed=0,1,2", "cluster.workers=2")
    assert code == 0 and "[3/3] finished: seed=" in out and "all 3 runs are finished" in out
    assert starts(tmp_path) == [1, 1, 1]
    code, out, _ = sweep("seed=0,1,2")
    assert code == 0 and "3 runs, 3 of them finished already" in out
    assert starts(tmp_path) == [1, 1, 1]


def test_failures_stop_nobody_and_are_counted_kept_and_tried_again(sweep, tmp_path):
    for attempt in (1, 2):
        code, out, errors = sweep("optimizer.lr=0.5,0.25,0.1,0.2")
        assert code == 2
        assert "2 of 4 runs are not finished, 2 of them failed" in errors
        assert "failed: optimizer.lr=0.25: error: refused" in out
        assert ("none of them finished already" in out) == (attempt == 1)
    assert starts(tmp_path) == [1, 1, 2]  # finished, finished, failed twice; the refused one never began
    texts = sorted(path.read_text() for path in (tmp_path / "runs").glob("*/error.txt"))
    assert texts[0].startswith("ValueError: broken") and texts[1] == "error: refused\n"
    assert all((path.parent / "config.yaml").is_file() for path in (tmp_path / "runs").glob("*/error.txt"))


def test_a_sweep_of_one_run_is_told_in_the_singular_and_the_run_has_a_name(quick_train, tmp_path, capfd):
    arguments = [f"run.root={tmp_path / 'runs'}"]
    launch(arguments)
    out = capfd.readouterr().out
    assert (
        out.startswith("1 run, not finished yet\n")
        and f"[1/1] finished: {arguments[0]}: test" in out
        and "the run is finished: " in out
    )
    launch(arguments)
    assert capfd.readouterr().out.startswith("1 run, finished already\n")


def test_a_glob_of_models_is_the_models_of_that_name(quick_train, tmp_path, call):
    code, said, errors = call("train", "-m", f"run.root={tmp_path / 'runs'}", "model=glob(scat_l*)")
    assert code == 0 and said.startswith("1 run, not finished yet\n") and "the run is finished" in said, errors
    (run,) = SweepFolder.find("last", root=tmp_path / "runs").runs()
    assert run.read_config().choices.model == "scat_linear"
    code, said, errors = call("train", "-m", f"run.root={tmp_path / 'runs'}", "model=glob(nothing*)")
    assert (code, said, errors.count("\n")) == (2, "", 1) and errors.startswith("error: "), errors


def test_a_run_without_overrides_is_called_by_its_name(make_sweep):
    sweep = make_sweep("seed=0")
    (run,) = sweep.runs()
    assert sweep.label(run) == " ".join(run.overrides)
    assert sweep.label(dataclasses.replace(run, overrides=())) == run.name


def test_the_failure_of_a_single_run_is_told_in_the_singular(sweep):
    code, _, errors = sweep("optimizer.lr=0.5")
    assert code == 1 and errors.startswith("the run failed; the same command tries again: ")


def test_a_killed_run_is_named_and_continued(sweep, tmp_path):
    code, out, errors = sweep("optimizer.lr=0.125,0.1")
    assert code == 1 and "killed: optimizer.lr=0.125: SIGKILL (out of memory?)" in out
    assert "1 of 2 runs are not finished, 0 of them failed" in errors
    code, _, _ = sweep("optimizer.lr=0.125,0.1")
    assert code == 0 and starts(tmp_path) == [1, 2]


def test_a_folder_with_a_line_break_and_an_escape_code_begins_no_line(make_sweep, capfd):
    sweep = make_sweep("seed=0", name="x\x1b[31m\nFAKE")
    module._announce(sweep, finished=0)
    assert module._report(sweep) == 1
    said = "".join(capfd.readouterr())
    assert said.count("x\\x1b[31m\\nFAKE") == 2 and len(said.splitlines()) == 3


def test_sigterm_stops_the_running_and_starts_no_other(sweep, tmp_path):
    def send():
        while not any("waiting" in path.read_text() for path in (tmp_path / "runs").glob("sweeps/*/logs/*.log")):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=send)
    thread.start()
    code, out, _ = sweep("optimizer.lr=0.0625,0.1")
    thread.join()
    assert code == 143 and "stopped: optimizer.lr=0.0625: it had not come to a checkpoint" in out
    assert starts(tmp_path) == [1]
    code, _, _ = sweep("optimizer.lr=0.0625,0.1")
    assert code == 0 and starts(tmp_path) == [1, 2]


def test_launching_again_takes_settings_that_change_no_result(sweep, tmp_path):
    """A sweep that failed for where its data were can be mended; what is finished stays as it was."""
    assert sweep("optimizer.lr=0.5,0.1", "trainer.log_every=2 steps")[0] == 1
    again = ["optimizer.lr=0.5,0.1", "trainer.log_every=3 steps", "analysis=none"]
    assert sweep(*again)[0] == 1
    failed, finished = (run.read_config() for run in SweepFolder.find("last", root=tmp_path / "runs").runs())
    assert failed.trainer.log_every == "3 steps" and finished.trainer.log_every == "2 steps"
    assert failed.analysis != finished.analysis


def test_a_run_that_another_process_works_on_is_left_alone(sweep, tmp_path, composed_run):
    folder = composed_run(seed=0)
    with pytest.warns(UserWarning, match="another process is working on"):
        code, _, _ = sweep("seed=0,1")
    assert code == 1 and starts(tmp_path) == [1] and not folder.finished
    folder.close()


def test_a_run_of_a_killed_launcher_is_left_alone_also_while_it_starts(sweep, make_sweep, tmp_path):
    """It has no folder yet; but its log is its own, so that the next launcher can report no line of it."""
    run = make_sweep("optimizer.lr=0.0625").runs()[0]
    run.log.parent.mkdir(parents=True, exist_ok=True)
    program = (
        "import sys, time; from hybrid.runs.sweeps import job; from hybrid.runs.sweeps.folder import SweepFolder;"
        f"job._TRAIN = (sys.executable, '-c', {_STARTING!r});"
        f"child = job.Job(SweepFolder({str(run.log.parents[1])!r}).runs()[0]); print(child.process.pid, flush=True);"
        "time.sleep(60)"
    )
    launcher = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=os.environ)
    child = int(launcher.stdout.readline())
    launcher.kill()
    launcher.communicate()
    assert not run.folder.in_use and run.in_use
    with pytest.warns(UserWarning, match="another process is working on"):
        code, out, errors = sweep("optimizer.lr=0.0625")
    assert code == 1 and "failed" not in out and "the run is not finished" in errors
    os.kill(child, signal.SIGKILL)
    while run.in_use:  # until the child has ended
        time.sleep(0.01)
    assert starts(tmp_path) == []


_STARTING = "import time; print('a line of the other', flush=True); time.sleep(60)"


@pytest.fixture
def composed_run(tmp_path):
    from hybrid.runs.sweeps.plan import plan_run

    def do(seed: int) -> RunFolder:
        run = plan_run(["model=scat_linear", f"run.root={tmp_path / 'runs'}", f"seed={seed}"])
        run.folder.path.mkdir(parents=True)
        folder = run.folder
        folder.open(run.cfg, class_names=["a"])
        assert folder.in_use
        return folder

    return do


def test_a_typo_costs_no_run(sweep, tmp_path):
    with pytest.raises(Exception, match="fast_linear"):
        sweep("model=scat_linear,fast_linear")
    assert not (tmp_path / "runs").exists()


def test_one_launch_at_a_time(sweep, make_sweep):
    folder = make_sweep("seed=0")
    folder.lock()
    with pytest.raises(UserError, match="is still at it"):
        sweep("seed=0")
    folder.unlock()
    assert sweep("seed=0")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cluster=slrum"], "slrum"),
        (["cluster.workers=0"], "cluster.workers=0 is not valid"),
        (["cluster.workers=two"], "cluster.workers: 'two' is not a whole number"),
        (["cluster.workers=1,2"], "cluster says where the runs run"),
        (["cluster.gpus=1"], "gpus"),
        (["cluster.name=a/b"], "cluster.name=a/b is not valid"),
        (["cluster=slurm", "cluster.time=4h"], "cluster.time=4h is not valid"),
        (["cluster=slurm", "cluster.time='0:01:00'"], "cluster.warning=120"),
        (["cluster=slurm", "cluster.gpus=-1"], "cluster.gpus=-1"),
        (["cluster=slurm", "cluster.processes=0"], "cluster.processes=0"),
        (["cluster=slurm", "cluster.memory=0"], "cluster.memory=0"),
        (["hydra/launcher=joblib"], "cluster=local or cluster=slurm"),
        (["--cfg"], "cannot be combined with -m"),
        (["seed=range(0)"], "seed=range.0. gives no value to try."),
    ],
)
def test_a_mistake_in_the_cluster_s_settings_is_refused(sweep, tmp_path, arguments, message):
    with pytest.raises(Exception, match=message.replace("(", r"\(")):
        sweep(*arguments)
    assert not (tmp_path / "runs").exists()


def test_settings_become_sbatch_s():
    settings = cluster_settings(
        [
            "cluster=slurm",
            "cluster.gpus=4",
            "cluster.time='1-02:30:00'",
            "cluster.account=me",
            "+cluster.extra.constraint=a100",
        ]
    )
    sbatch = settings.sbatch()
    assert sbatch["timeout_min"] == 26 * 60 + 30
    assert sbatch["tasks_per_node"] == sbatch["gpus_per_node"] == 4
    assert sbatch["slurm_account"] == "me" and "slurm_partition" not in sbatch
    assert sbatch["slurm_additional_parameters"] == {"constraint": "a100"}
    assert cluster_settings(["cluster=slurm", "cluster.gpus=0"]).sbatch()["tasks_per_node"] == 1
    assert cluster_settings(["cluster=slurm", "cluster.processes=2"]).sbatch()["tasks_per_node"] == 2


def test_workers_take_gpus_in_turn_and_share_the_cores(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(8))
    pool = LocalPool(LocalSettings(where="local", name=None, workers=3, warm=False, devices=[0, 5]))
    assert [pool.environment(k)["CUDA_VISIBLE_DEVICES"] for k in range(3)] == ["0", "5", "0"]
    assert pool.environment(0)["OMP_NUM_THREADS"] == "2"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert local._devices() == ["2", "3"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    assert local._devices() == []


@pytest.mark.slow
def test_real_runs_keep_the_configuration_of_the_submission(root, tmp_path):
    """The snapshot is what runs: an edit of it, unlike one of configs/, shows."""
    command = [sys.executable, "train.py", "-m", "model=scat_linear", "data.subset.n=100", "analysis=none", "seed=0,1"]
    command += ["trainer.tensorboard=false", "trainer.duration='4 steps'", f"run.root={tmp_path}", "cluster.workers=2"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    sweep = SweepFolder.find("last", root=tmp_path)
    for run in sweep.runs():
        assert run.folder.finished and run.folder.read_summary()["steps"] == 4
        assert run.folder.read_config() == run.read_config()
