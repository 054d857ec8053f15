"""A forked run is as good as one of its own process: the same bits, nothing of other runs, and its death is its own."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import torch
from fixtures.training import TINY

from hybrid.commands.forks import _Server
from hybrid.runs.sweeps.folder import SweepFolder, SweepRun
from hybrid.runs.sweeps.forks import POSSIBLE, Forked
from hybrid.runs.sweeps.job import Jobs, Outcome
from hybrid.runs.sweeps.plan import plan_runs
from hybrid.training import checkpoint

pytestmark = pytest.mark.skipif(not POSSIBLE, reason="runs are forked on Linux alone")


@pytest.fixture(scope="module")
def jobs():
    """Jobs that are forked, from a process that all tests of this file share, and that finds `untidy`."""
    jobs = Jobs(warm=True, environment=_ENVIRONMENT)
    jobs.warm_up()
    yield jobs
    jobs.close()


_ENVIRONMENT = {
    "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[3]), str(Path(__file__).parent)]),
    "OMP_NUM_THREADS": "1",
}


def planned(root: Path, *overrides: str) -> SweepRun:
    runs = plan_runs(["data=digits", *TINY, f"run.root={root}", *overrides])
    sweep = SweepFolder.of(runs)
    sweep.write(runs, command="hybrid train -m …")
    return sweep.runs()[0]


def ended(job) -> Outcome:
    job.process.wait(timeout=120)
    return job.outcome()


def weights(run: SweepRun) -> dict[str, torch.Tensor]:
    return checkpoint.load(run.folder.checkpoints / "last.pt")["model"]


def records(run: SweepRun) -> list[dict]:
    lines = [json.loads(line) for line in run.folder.metrics.read_text().splitlines()]
    return [{name: value for name, value in line.items() if not name.startswith("speed/")} for line in lines]


def test_a_fork_begins_like_a_process_of_its_own_and_gives_the_same_bits(jobs, tmp_path):
    """Also after runs that change whatever a process has, and after one that kills itself."""
    noted = "callbacks=[{_target_: untidy.Noted}]"
    other = ["seed=7", "trainer.deterministic=true", "trainer.matmul_precision=medium", "trainer.precision=bf16"]
    alone = planned(tmp_path / "alone", noted)
    own = Jobs(warm=False, environment=_ENVIRONMENT).start(alone)
    for end, state in ((0, "finished"), (signal.SIGKILL, "killed")):
        untidy = planned(
            tmp_path / f"untidy-{end}", f"callbacks=[{{_target_: untidy.Untidy, end: {int(end)}}}]", *other
        )
        assert ended(jobs.start(untidy)).state == state
        assert (untidy.path / "untidy").exists()
    forked = planned(tmp_path / "forked", noted)
    assert ended(jobs.start(forked)).state == "finished", forked.log.read_text()
    assert ended(own).state == "finished", alone.log.read_text()
    first, second = (json.loads((run.path / "state.json").read_text()) for run in (alone, forked))
    assert first == second
    unseeded = [json.loads((run.path / "random.json").read_text()) for run in (alone, untidy, forked)]
    assert all(len(set(numbers)) == 3 for numbers in zip(*unseeded, strict=True))
    one, two = weights(alone), weights(forked)
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
    assert records(alone) == records(forked)
    said = [run.log.read_text().replace(str(run.path.parent), "").split("\n", 1)[1] for run in (alone, forked)]
    assert [line for line in said[0].splitlines() if "images/s" not in line] == [
        line for line in said[1].splitlines() if "images/s" not in line
    ]


def test_a_mistake_and_a_signal_end_a_fork_as_they_end_a_process(jobs, tmp_path):
    wrong = planned(tmp_path / "wrong", "trainer.batch_size=1000", "trainer.drop_last=true")
    outcome = ended(jobs.start(wrong))
    assert outcome.state == "failed" and "batch" in outcome.words
    long = planned(tmp_path / "long", "trainer.duration=100000 steps")
    job = jobs.start(long)
    while not long.folder.metrics.is_file() or not long.folder.metrics.read_text():
        assert job.outcome() is None
        time.sleep(0.02)
    assert long.in_use
    job.stop()
    assert ended(job).state == "stopped" and (long.folder.checkpoints / "last.pt").is_file()
    assert not long.in_use
    early = jobs.start(long)
    early.stop(signal.SIGINT)  # before it is known to be there
    assert ended(early).state == "stopped"


def test_runs_go_on_without_the_process_that_they_were_forked_from_and_a_new_one_takes_its_place(jobs, tmp_path):
    long = planned(tmp_path / "long", "trainer.duration=100000 steps")
    job = jobs.start(long)
    while not long.folder.metrics.is_file() or not long.folder.metrics.read_text():
        time.sleep(0.02)
    server = jobs._server
    server.process.kill()
    server.process.wait()
    assert job.outcome() is None and long.in_use
    again = jobs.start(planned(tmp_path / "again"))
    assert jobs._server is not server and ended(again).state == "finished"
    job.stop()
    assert ended(job).state in ("stopped", "killed") and (long.folder.checkpoints / "last.pt").is_file()
    while long.in_use:  # its pipe closes a moment before its last lock
        time.sleep(0.01)


def test_a_fork_is_waited_for_like_a_process():
    here, there = os.pipe()
    forked = Forked(here)
    assert forked.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        forked.wait(timeout=0.01)
    os.write(there, b"4000")
    os.write(there, b"000\n-1")
    assert forked.poll() is None and forked.pid == 4_000_000
    forked.send_signal(signal.SIGTERM)  # there is no such process
    os.write(there, b"5\n")
    assert forked.poll() == -15 == forked.wait()
    os.close(there)


def test_a_signal_for_a_run_that_has_ended_is_sent_to_nobody(monkeypatch):
    sent = []
    monkeypatch.setattr("hybrid.runs.sweeps.forks.os.kill", lambda *signal: sent.append(signal))
    pipe, end = os.pipe()
    run = Forked(pipe)
    run.send_signal(2)
    os.write(end, b"123\n0\n")
    os.close(end)
    assert run.wait() == 0
    assert sent == []


def test_a_system_that_starts_no_process_fails_one_run_and_not_the_server(monkeypatch):
    def refuse():
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr("os.fork", refuse)
    (pipe, there), (output, written) = os.pipe(), os.pipe()
    with socket.socket() as unused:
        assert not _Server(unused, {})._forked(there, output=written)
    assert Forked(pipe).wait(timeout=5) == -signal.SIGKILL  # no code came: the run has failed
    os.close(written)
    assert os.read(output, 999) == b"error: the run's process cannot be started: Resource temporarily unavailable\n"
    os.close(output)
