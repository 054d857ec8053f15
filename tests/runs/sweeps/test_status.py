"""The state of every run, its share done, and the time that is left."""

from __future__ import annotations

import datetime
import json
import os

import pytest

from hybrid.runs.folder import RunFolder
from hybrid.runs.sweeps import slurm
from hybrid.runs.sweeps.folder import SweepFolder, SweepRun
from hybrid.runs.sweeps.status import Status, clock, run_status, status_lines, sweep_status, time_left


def begin(run: SweepRun, *, step: int, epoch: float, session_step: int = 0, seconds: float = 100.0) -> RunFolder:
    """A run's folder whose last session began at session_step and reached a step after so many seconds."""
    folder = run.folder
    folder.open(run.read_config(), class_names=["a"])
    folder.metrics.write_text(json.dumps({"step": step, "epoch": epoch, "validation/top1": 81.25}) + "\n")
    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    started = now - datetime.timedelta(seconds=seconds)
    folder.environment.write_text(json.dumps({"sessions": [{"started": started.isoformat(), "step": session_step}]}))
    os.utime(folder.metrics, (now.timestamp(), now.timestamp()))
    return folder


def finish(run: SweepRun, *, seconds: float = 40.0) -> None:
    begin(run, step=10, epoch=20.0).close()
    run.folder.summary.write_text(json.dumps({"seconds": seconds, "test": {"top1": 93.125}}))


@pytest.fixture
def sweep(make_sweep) -> SweepFolder:
    """Six runs: finished, running, stopped, failed, and two that have not begun."""
    sweep = make_sweep("seed=range(0,6)", name="six")
    finished, _, stopped, failed, *_ = sweep.runs()
    finish(finished)
    begin(stopped, step=10, epoch=10.0).close()
    failed.folder.note_refusal(failed.read_config(), "Traceback …\nValueError: broken\n")
    return sweep


def test_every_state_is_told(sweep):
    folder = begin(sweep.runs()[1], step=50, epoch=5.0)
    statuses = sweep_status(sweep)
    folder.close()
    assert [status.state for status in statuses] == ["finished", "running", "stopped", "failed", "waiting", "waiting"]
    assert [status.done for status in statuses] == [1.0, 0.25, 0.5, 0.0, 0.0, 0.0]
    assert statuses[0].words == "test accuracy 93.12 %" and statuses[0].seconds == 40.0
    assert statuses[1].seconds == pytest.approx(300.0)  # a quarter took 100 s
    assert statuses[3].words == "ValueError: broken"
    lines = status_lines(sweep, statuses)
    assert "0:05:00 left" in lines[1] and "seed=1" in lines[1] and "model=" not in lines[1]
    assert "6 runs: 1 finished, 1 running, 1 stopped, 1 failed, 2 waiting. About" in lines[-1]


def test_the_pace_is_that_of_the_session(sweep):
    run = sweep.runs()[1]
    begin(run, step=60, epoch=10.0, session_step=30, seconds=10.0).close()
    folder = run.folder
    folder.open(run.read_config(), class_names=["a"])
    assert run_status(run).seconds == pytest.approx(20.0)  # a quarter of the run in 10 s, half of it is left
    folder.close()


def test_slurm_s_queue_tells_what_no_folder_does(sweep, monkeypatch):
    runs = sweep.runs()
    sweep.note_jobs({runs[4].name: "7_0", runs[5].name: "7_1"})
    queue = {"7_0": slurm.QueuedJob("PENDING", "PartitionNodeLimit"), "7_1": slurm.QueuedJob("RUNNING", "None")}
    monkeypatch.setattr(slurm, "jobs_in_queue", lambda _: queue)
    assert [status.state for status in sweep_status(sweep)][4:] == ["queued", "running"]
    assert sweep_status(sweep)[4].words == "PartitionNodeLimit"


def test_time_left_is_work_over_workers():
    def status(state, done=0.0, seconds=None):
        return Status(None, state, done, seconds, "")

    assert time_left([status("finished", 1.0, 100.0), status("waiting")]) is None  # nobody works
    two = [status("running", 0.5, 50.0), status("running", 0.5, 50.0)]
    assert time_left([*two, status("waiting"), status("stopped", 0.5), status("failed")]) == pytest.approx(125.0)
    assert time_left([status("running")]) is None
    assert clock(3909.4) == "1:05:09"


def test_the_command(sweep, tmp_path, call):
    for arguments, expected in ((["sweep=six"], 0), (["format=json"], 0), (["sweep=seven"], 2)):
        code, out, errors = call("sweep_status", f"root={tmp_path / 'runs'}", *arguments)
        assert code == expected
        if arguments == ["format=json"]:
            assert [json.loads(line)["state"] for line in out.splitlines()][:3] == ["finished", "waiting", "stopped"]
    assert errors.startswith("error: there is no sweep seven")
