"""Disks that are full or gone, for real: one line each, the checkpoint before stays good, and the same command goes on."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys

import pytest
import torch

from hybrid.configuration.entry import guarded
from hybrid.runs import RunFolder
from hybrid.runs.jsonl import JsonLines, read_metrics
from hybrid.training import checkpoint
from hybrid.training.run import run
from hybrid.training.trainer import Trainer

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


@pytest.fixture
def child(tmp_path):
    """child(cfg, before=…) runs it in a process of its own, `before` first: (exit code, what it said on stderr)."""

    def do(cfg, before=lambda: None) -> tuple[int, str]:
        said = tmp_path / "said"
        number = os.fork()
        if number == 0:
            code = 1
            try:
                file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.dup2(file, 1)
                os.dup2(file, 2)
                sys.stdout, sys.stderr = os.fdopen(1, "w", buffering=1), os.fdopen(2, "w", buffering=1)
                before()
                code = guarded(lambda: run(cfg))
                sys.stderr.flush()
            finally:
                os._exit(code)
        _, status = os.waitpid(number, 0)
        return os.waitstatus_to_exitcode(status), said.read_text()

    return do


def no_file_above(size: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as Python does at its start
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def weights(cfg):
    return checkpoint.load(RunFolder.of(cfg).checkpoints / "last.pt")["model"]


def same(one, other) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def full_from(kind: type, method: str, number: int, path, room: int) -> None:
    """From the `number`-th call of a method on, no file can grow beyond what `path` has and `room` bytes."""
    original, calls = getattr(kind, method), []

    def call(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == number:
            no_file_above((path.stat().st_size if path.exists() else 0) + room)
        return original(self, *args, **kwargs)

    setattr(kind, method, call)


@pytest.mark.parametrize(
    ("file", "extra"),
    [
        ("best.pt", ["trainer.evaluate_every=1 step"]),
        ("metrics.jsonl", []),
        ("last.pt", ["trainer.evaluate_every=6 steps"]),
    ],
)
def test_what_cannot_be_written_is_one_line_and_with_room_the_run_goes_on(tiny, child, tmp_path, file, extra):
    extra = ["model=scat_mlp", "trainer.log_every=1 step", *extra]
    whole, cfg = tiny(*extra, root=tmp_path / "whole"), tiny(*extra, root=tmp_path / "runs")
    run(whole)
    folder = RunFolder.of(cfg)
    limits = {
        "best.pt": lambda: no_file_above(10_000),
        "last.pt": lambda: full_from(Trainer, "save", 2, folder.metrics, 10_000),
        "metrics.jsonl": lambda: full_from(JsonLines, "scalars", 4, folder.metrics, 10),
    }
    code, said = child(cfg, before=limits[file])
    assert code == 2 and said.count("\n") == 1, said
    assert said.startswith(f"error: {folder.path}") and file in said and "File too large" in said
    assert not [*folder.path.rglob("*.tmp")]
    if file == "last.pt":
        assert checkpoint.load(folder.checkpoints / "last.pt")["step"] == 2
    assert child(cfg) == (0, "")
    assert same(weights(whole), weights(cfg)) and not folder.error.exists()
    logged = [[record["step"] for record in read_metrics(RunFolder.of(each).metrics)] for each in (whole, cfg)]
    assert logged[0] == logged[1]


def test_a_folder_that_is_removed_ends_the_run_and_does_not_come_back(tiny, child):
    cfg = tiny("trainer.log_every=1 step")
    folder = RunFolder.of(cfg)

    def remove() -> None:
        original = Trainer.save

        def save(self) -> None:
            original(self)
            shutil.rmtree(folder.path)

        Trainer.save = save

    code, said = child(cfg, before=remove)
    assert code == 2 and said.count("\n") == 1 and str(folder.path) in said and "No such file" in said, said
    assert not folder.path.exists()
