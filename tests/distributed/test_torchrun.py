"""The real torchrun: a rank that is killed and the restart from the last checkpoint; torchrun itself killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from hybrid.runs import RunFolder
from hybrid.training import checkpoint
from hybrid.training.run import run

# What train.py does, on a rank that in its first life kills itself at step 5.
DYING = """
import os, runpy, signal
from hybrid.training import run as training
run = training.run
class Die:
    observer = True
    def on_step(self, session):
        if os.environ["RANK"] == "1" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0" and session.state.step == 5:
            os.kill(os.getpid(), signal.SIGKILL)
training.run = lambda cfg: run(cfg, callbacks=[Die()])
runpy.run_path({train!r}, run_name="__main__")
"""

# What train.py does, on ranks that leave their process's number and of which the second meets the first one late.
LATE = """
import os, pathlib, runpy, time
from hybrid.distributed import group
meet = group._meet
def late(launch, timeout):
    pathlib.Path({to!r}, f"rank.{{os.getpid()}}").touch()
    time.sleep({seconds} * launch.rank)
    return meet(launch, timeout)
group._meet = late
runpy.run_path({train!r}, run_name="__main__")
"""


@pytest.mark.slow  # five processes that import torch
def test_torchrun_restarts_a_killed_rank_and_the_run_ends_as_if_nothing_had_been(
    tiny, ranks, command_line, root, tmp_path
):
    whole, cfg = tiny(root=tmp_path / "whole"), tiny(root=tmp_path / "runs")
    ranks(2, lambda: run(whole)).results()
    script = tmp_path / "dying.py"
    script.write_text(DYING.format(train=str(root / "train.py")))
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--max-restarts=1", "--standalone"]
    command += [str(script), *command_line(root=tmp_path / "runs")]
    environment = {**os.environ, "PYTHONPATH": str(root)}  # the script lies elsewhere
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment)
    assert done.returncode == 0, done.stderr
    assert "error: rank 1 (process" in done.stderr and "died; the same command continues" in done.stderr
    one, other = (checkpoint.load(RunFolder.of(c).checkpoints / "last.pt") for c in (whole, cfg))
    assert all(torch.equal(value, other["model"][name]) for name, value in one["model"].items())
    sessions = json.loads(RunFolder.of(cfg).environment.read_text())["sessions"]
    assert [(session["step"], session["ranks"]) for session in sessions] == [(0, 2), (4, 2)]


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["meeting", "training"])
def test_the_ranks_of_a_killed_torchrun_end(command_line, root, tmp_path, moment):
    script = tmp_path / "late.py"
    script.write_text(
        LATE.format(seconds=5 if moment == "meeting" else 0, train=str(root / "train.py"), to=str(tmp_path))
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", str(script)]
    command += command_line("trainer.duration=1000000 steps", root=tmp_path / "runs")
    environment = {**os.environ, "PYTHONPATH": str(root)}
    torchrun = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment)
    ranks = _eventually(lambda: [int(path.suffix[1:]) for path in tmp_path.glob("rank.*")], lambda ids: len(ids) == 2)
    if moment == "training":
        _eventually(lambda: [*(tmp_path / "runs").glob("*/metrics.jsonl")], bool)
    torchrun.kill()
    torchrun.wait()
    _eventually(lambda: [rank for rank in ranks if Path(f"/proc/{rank}").exists()], lambda left: not left)


def _eventually(look, good, seconds=90):
    until = time.monotonic() + seconds
    while not good(found := look()):
        assert time.monotonic() < until, found
        time.sleep(0.1)
    return found
