"""run.restart=true is followed once by a SLURM job or by torchrun, however often these start the command again."""

from __future__ import annotations

import signal

import pytest

from hybrid.errors import PeerLost, Stopped, note_order, same_command
from hybrid.runs.orders import is_followed, note_start

SLURM = {"SLURM_JOB_ID": "12"}
ARRAY = {"SLURM_JOB_ID": "14", "SLURM_ARRAY_JOB_ID": "13", "SLURM_ARRAY_TASK_ID": "2"}
TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "TORCHELASTIC_RESTART_COUNT": "0"}


@pytest.fixture
def start(monkeypatch):
    """start({variable: value}) makes this process one that a launcher has started with these variables."""

    def set_all(variables, agent=7):
        for name in (*SLURM, *ARRAY, *TORCHRUN, "SLURM_RESTART_COUNT"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("os.getppid", lambda: agent)

    return set_all


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (SLURM, SLURM | {"SLURM_RESTART_COUNT": "1"}),
        (ARRAY, ARRAY | {"SLURM_RESTART_COUNT": "3"}),
        (SLURM | {"SLURM_RESTART_COUNT": "1"}, SLURM | {"SLURM_RESTART_COUNT": "2"}),
        (TORCHRUN, TORCHRUN | {"TORCHELASTIC_RESTART_COUNT": "1"}),
        (TORCHRUN, TORCHRUN),  # torchrun goes on without a machine that has left
        (SLURM | TORCHRUN, SLURM | TORCHRUN | {"SLURM_RESTART_COUNT": "1"}),
    ],
)
def test_the_same_launch_has_followed_it_already(start, tmp_path, first, again):
    start(first)
    note_start(tmp_path / "restarted.json")
    start(again, agent=8 if "SLURM_JOB_ID" in first else 7)
    assert is_followed(tmp_path / "restarted.json")


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (SLURM, SLURM),  # twice in one script, or in one salloc: the user has typed it
        (SLURM, {"SLURM_JOB_ID": "13"}),
        (SLURM | {"SLURM_RESTART_COUNT": "1"}, {"SLURM_JOB_ID": "13", "SLURM_RESTART_COUNT": "2"}),
        (ARRAY, ARRAY | {"SLURM_ARRAY_TASK_ID": "3", "SLURM_RESTART_COUNT": "1"}),
        (TORCHRUN, TORCHRUN),
        ({}, SLURM | TORCHRUN | {"SLURM_RESTART_COUNT": "1"}),
        (SLURM, {}),
    ],
)
def test_another_launch_follows_it(start, tmp_path, first, again):
    start(first)
    note_start(tmp_path / "restarted.json")
    start(again, agent=8)
    assert not is_followed(tmp_path / "restarted.json")


@pytest.mark.parametrize(
    "content", ["", "[]", "5", "{", '{"slurm": 5}', '{"slurm": {"launch": "12", "restarts": "x"}}']
)
def test_a_damaged_note_is_none(start, tmp_path, content):
    (tmp_path / "restarted.json").write_text(content)
    start(SLURM | {"SLURM_RESTART_COUNT": "1"})
    assert not is_followed(tmp_path / "restarted.json")


def test_the_lines_of_an_end_do_not_say_to_give_the_order_again():
    note_order("run.restart=true")
    try:
        for line in (str(Stopped(signal.SIGTERM, 7)), PeerLost("rank 1 died", speaker=0).line):
            assert "the same command, without run.restart=true," in line
    finally:
        note_order(None)
    assert same_command() == "the same command"
