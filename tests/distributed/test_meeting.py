"""Ranks that do not come, come twice, die while others wait, or meet at a store that remembers an earlier attempt."""

from __future__ import annotations

import os
import signal
import time
from types import SimpleNamespace

import pytest
import torch.distributed as dist

from hybrid import distributed
from hybrid.distributed import meeting
from hybrid.distributed.launch import Launch
from hybrid.errors import LOST, UserError


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(meeting, "_SAY_AFTER", 0.5)


def meet_as(late: dict[int, float], size: int = 2):
    def work():
        time.sleep(late.get(int(os.environ["RANK"]), 0))
        with distributed.session(timeout=5):
            return distributed.gather_objects(distributed.rank()), size

    return work


@pytest.mark.parametrize("late", [0, 1])
def test_who_is_missing_is_said_and_the_ranks_meet_when_it_comes(ranks, late):
    group = ranks(2, meet_as({late: 2}))
    assert [result[0] for result in group.results()] == [[0, 1], [0, 1]]
    assert f"up to 10 minutes, for rank {late} of 2 processes" in group.said(1 - late) and group.said(late) == ""


def test_the_first_process_that_stays_alone_says_so_every_minute_and_gives_up_after_ten(monkeypatch, capsys):
    """By a clock that moves when somebody sleeps. So waits a single process with the variables of `srun -n 4`."""
    clock = SimpleNamespace(
        now=0.0, monotonic=lambda: clock.now, sleep=lambda pause: setattr(clock, "now", clock.now + pause)
    )
    monkeypatch.setattr(meeting, "time", clock)
    monkeypatch.setattr(meeting, "_SAY_AFTER", 10.0)
    alone = object.__new__(meeting._Meeting)
    alone.launch = Launch(rank=0, size=4, address="n1", port=5, manner="srun")
    with pytest.raises(
        UserError, match="rank 0 has waited in vain: .* for rank 1.*, rank 2.*, rank 3.* of 4 processes"
    ):
        alone._wait(lambda: False, lambda: [1, 2, 3])
    lines = capsys.readouterr().err.splitlines()
    assert 600 < clock.now < 602 and len(lines) == 10  # after 10 seconds, and every minute from then on
    assert all("env -u SLURM_STEP_NUM_TASKS" in line for line in lines)


def test_a_rank_that_dies_while_another_is_waited_for_ends_the_others_at_once(ranks):
    """Ranks 0 and 1 have met, rank 2 does not come: rank 1 is killed."""
    group = ranks(3, meet_as({2: 60}))
    until = time.monotonic() + 30
    while "for rank 2 of 3" not in group.said(0) and time.monotonic() < until:
        time.sleep(0.05)
    os.kill(group.pids[1], signal.SIGKILL)
    os.waitpid(group.pids[1], 0)
    _, status = os.waitpid(group.pids[0], 0)
    assert os.waitstatus_to_exitcode(status) == LOST and "error: rank 1 (process" in group.said(0)
    os.kill(group.pids[2], signal.SIGKILL)
    group.pids[:] = []


def test_a_port_that_is_taken_is_one_line(ranks, monkeypatch):
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()

        def work():
            os.environ["MASTER_PORT"] = str(other.getsockname()[1])
            meet_as({})()

        group = ranks(2, work)
        _, status = os.waitpid(group.pids[0], 0)
        assert os.waitstatus_to_exitcode(status) == 2 and "MASTER_PORT=… chooses another port" in group.said(0)
        os.kill(group.pids[1], signal.SIGKILL)
        os.waitpid(group.pids[1], 0)
        group.pids[:] = []


def test_ranks_of_two_machines_that_count_restarts_differently_meet_at_the_agents_store(ranks):
    """The store remembers the words of an earlier attempt, as torchrun's does."""
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    for key, value in {"hello/1": "old", "name/1": "old lost", "name/0": "x"}.items():
        store.set(f"hybrid/job/{key}", value)

    def work():
        counts = {"0": "0", "1": "1"}
        os.environ.update(
            MASTER_PORT=str(store.port), TORCHELASTIC_USE_AGENT_STORE="True", TORCHELASTIC_RUN_ID="job",
            TORCHELASTIC_RESTART_COUNT=counts[os.environ["RANK"]],
        )  # fmt: skip
        return meet_as({0: 1})()

    for _ in range(2):  # the second attempt at the same store
        assert [result[0] for result in ranks(2, work).results()] == [[0, 1], [0, 1]]


def test_a_rank_that_was_started_twice_is_refused(ranks):
    """The first of two processes of rank 1 sees that another has taken its place, while rank 0 is not there yet."""
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)

    def work():
        number = int(os.environ["RANK"])
        os.environ.update(MASTER_PORT=str(store.port), TORCHELASTIC_USE_AGENT_STORE="True", RANK="1", WORLD_SIZE="2")
        time.sleep(number)
        return meet_as({})()

    group = ranks(2, work)
    _, status = os.waitpid(group.pids[0], 0)
    assert os.waitstatus_to_exitcode(status) == 2
    os.kill(group.pids[1], signal.SIGKILL)
    os.waitpid(group.pids[1], 0)
    group.pids[:] = []
