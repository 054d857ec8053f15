"""A run's folder that version 0.1 left at step 4 of 6, killed; its configuration has settings under their former names.

It was made at commit 3990682 by scat_mlp on 100 digits of 8x8 pixels, with `COMMAND` below.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from hybrid.configuration.composition import compose
from hybrid.runs import RunFolder
from hybrid.runs.jsonl import read_metrics
from hybrid.training.run import run

NAME = "digits-scat_mlp-seed0-238f0ef5"
COMMAND = [
    "model=scat_mlp", "model.head.hidden=[8,8]", "model.frontend.J=1", "model.frontend.L=2", "model.frontend.max_order=1",
    "data.size=8", "data.subset.n=100", "data.validation=50", "trainer.duration=6 steps", "trainer.batch_size=40",
    "trainer.evaluate_every=3 steps", "trainer.checkpoint_every=2 steps", "trainer.log_every=2 steps", "analysis=none",
    "trainer.tensorboard=false", "trainer.progress=none", "optimizer.lr=0.05", "trainer.device=cpu",
]  # fmt: skip


@pytest.fixture
def old_run(tmp_path):
    shutil.copytree(Path(__file__).with_name("old_run"), tmp_path / NAME)
    return RunFolder(tmp_path / NAME)


def test_the_same_command_finds_an_old_run_and_brings_it_to_its_end(old_run, tmp_path):
    cfg = compose([*COMMAND, f"run.root={tmp_path}"])
    assert RunFolder.of(cfg).path == old_run.path
    before = read_metrics(old_run.metrics)
    summary = run(cfg)
    assert summary["steps"] == 6
    after = read_metrics(old_run.metrics)
    assert after[: len(before)] == before  # it went on from step 4, it did not begin again
    assert [record["step"] for record in after[len(before) :]] == [6, 6, 6]


def test_it_ends_as_a_run_of_today_does(old_run, tmp_path):
    run(compose([*COMMAND, f"run.root={tmp_path}"]))
    run(compose([*COMMAND, f"run.root={tmp_path / 'new'}", "trainer.averages_begin=initial"]))  # as it did itself
    ends = [torch.load(root / NAME / "checkpoints/last.pt", weights_only=True) for root in (tmp_path, tmp_path / "new")]
    for name, value in ends[0]["model"].items():
        torch.testing.assert_close(
            value, ends[1]["model"][name], rtol=1e-4, atol=1e-5
        )  # another machine made the first part
