from __future__ import annotations

import re

import pytest
import torch
from fixtures.training import power_cut

from hybrid.configuration.entry import guarded
from hybrid.runs import RunFolder
from hybrid.runs.jsonl import read_metrics
from hybrid.training import checkpoint
from hybrid.training.run import run

TORCH = "schedule._target_=torch.optim.lr_scheduler."
# 3 steps in an epoch, 6 in the run
RESTARTS = [f"{TORCH}CosineAnnealingWarmRestarts", "+schedule.T_0=2", "+schedule.each=step", "trainer.log_every=1 step"]
SCHEDULES = {
    "restarts": RESTARTS,
    "milestones": [
        f"{TORCH}MultiStepLR",
        "+schedule.milestones=[1]",
        "+schedule.each=epoch",
        "trainer.log_every=1 step",
    ],
    "plateau": [
        f"{TORCH}ReduceLROnPlateau",
        "+schedule.threshold=1",
        "+schedule.patience=0",
        "+schedule.factor=0.5",
        "trainer.evaluate_every=1 step",
        "trainer.log_every=1 step",
    ],
    "one_cycle": [f"{TORCH}OneCycleLR", "+schedule.max_lr=0.1", "+schedule.total_steps=7", "+schedule.each=step"],
}
RATES = {
    "restarts": [0.05, 0.025, 0.05, 0.025, 0.05, 0.025],
    "milestones": [0.05, 0.05, 0.05, 0.005, 0.005, 0.005],
}


def rates(folder):
    return [record["train/lr"] for record in read_metrics(folder.metrics) if "train/lr" in record]


def content(folder):
    found = checkpoint.load(folder.checkpoints / "last.pt")
    return {**found["model"], "scheduler": found["scheduler"]}


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_scheduler_of_torch_gives_its_rates_and_resumes_bit_identical(train, tmp_path, name):
    overrides = SCHEDULES[name]
    whole = train(*overrides, root=tmp_path / "whole")
    if name in RATES:
        assert rates(whole) == pytest.approx(RATES[name])
    if name == "plateau":
        assert rates(whole)[0] == 0.05 and rates(whole)[-1] < 0.05
    with pytest.raises(RuntimeError, match="power"):
        train(*overrides, root=tmp_path / "parts", callbacks=[power_cut(5)])
    parts = train(*overrides, root=tmp_path / "parts")
    assert rates(parts) == rates(whole)
    one, other = content(whole), content(parts)
    assert one.pop("scheduler") == other.pop("scheduler")
    assert all(torch.equal(value, other[key]) for key, value in one.items())


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (RESTARTS[:2], "schedule.each is missing: CosineAnnealingWarmRestarts takes a step .* Valid: step, epoch"),
        ([*RESTARTS[:2], "+schedule.each=day"], "schedule.each=day is not valid"),
        ([*RESTARTS, "+schedule.T_1=2"], "unknown key in schedule: T_1. Did you mean T_0"),
        ([*RESTARTS, "+schedule.metric=loss"], "schedule.metric=loss has no effect"),
        ([RESTARTS[0], "+schedule.T_0=0", "+schedule.each=step"], "schedule: Expected positive integer T_0"),
        ([f"{TORCH}ReduceLROnPlateau", "+schedule.each=step"], "schedule.each=step has no effect"),
        ([f"{TORCH}ReduceLROnPlateau", "+schedule.metric=top1"], "metric=top1 goes with mode=max"),
        ([f"{TORCH}ReduceLROnPlateau", "data.validation=0"], "needs validation images"),
    ],
    ids=["no_each", "each", "key", "metric", "value", "plateau_each", "plateau_mode", "plateau_validation"],
)
def test_a_mistake_is_one_line_and_nothing_is_written(tiny, capsys, overrides, words):
    cfg = tiny(*overrides)
    assert guarded(lambda: run(cfg)) == 2
    assert re.search(words, capsys.readouterr().err)
    assert not RunFolder.of(cfg).path.exists()
