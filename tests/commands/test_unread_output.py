"""A command whose output nobody reads any more: `hybrid train | head -1`."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from hybrid.configuration.entry import guarded
from hybrid.streams import outliving_readers


@pytest.mark.parametrize("errors", [subprocess.STDOUT, subprocess.DEVNULL])
def test_a_run_goes_on_to_its_end(root, tmp_path, errors):
    overrides = ["model=scat_linear", "data.subset.n=100", "trainer.duration=40 steps", "trainer.log_every=1 step"]
    overrides += ["analysis=none", "trainer.tensorboard=false", "trainer.device=cpu", f"run.root={tmp_path / 'runs'}"]
    command = [sys.executable, str(root / "train.py"), *overrides]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
    assert process.stdout.readline().startswith("scat_linear")
    process.stdout.close()
    assert process.wait(timeout=120) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert (folder / "summary.json").exists() and not (folder / "error.txt").exists()


def test_what_is_not_yet_written_when_the_reader_goes_is_no_error_either(monkeypatch):
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with outliving_readers():
            print("still in the buffer")
            assert not sys.stdout.isatty() and sys.stdout.fileno() == writing
            os.close(reading)
        assert sys.stdout is stream
        monkeypatch.undo()


def test_a_stream_that_is_closed_is_left_alone(root):
    command = f"{sys.executable} {root / 'train.py'} --version"
    assert subprocess.run(f"{command} >&-", shell=True, stderr=subprocess.PIPE).returncode == 0
    process = subprocess.run(f"{command} 2>&-", shell=True, stdout=subprocess.PIPE, text=True)
    assert process.returncode == 0 and process.stdout.startswith("hybrid ")


def test_another_broken_pipe_is_an_error():
    """Such as one to a process that a user's own code talks to."""

    def fail():
        raise BrokenPipeError("the logger is gone")

    with outliving_readers(), pytest.raises(BrokenPipeError, match="logger"):
        guarded(fail)
