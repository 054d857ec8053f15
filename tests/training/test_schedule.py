from __future__ import annotations

import math

import pytest
import torch

from hybrid.durations import RunLength
from hybrid.training.schedule import Constant, Cosine, OneCycle, Setting, Step, apply

LENGTHS = {"length": RunLength(steps_per_epoch=10, total_steps=100)}


def factors(schedule):
    return [schedule(step).lr_factor for step in range(100)]


def test_constant_with_warmup_rises_in_a_line_and_stays():
    values = factors(Constant("4 steps", **LENGTHS))
    assert values[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0]) and set(values[5:]) == {1.0}


def test_cosine_equals_torch():
    values = factors(Cosine(final=0.1, **LENGTHS))
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 100, eta_min=0.1)
    for step in range(100):
        assert values[step] == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-6)
        optimizer.step()
        reference.step()


def test_step_drops_at_the_published_milestones():
    values = factors(Step(["30%", "60 steps", "8 epochs"], factor=0.2, **LENGTHS))
    assert [values[k] for k in (0, 29, 30, 59, 60, 79, 80, 99)] == pytest.approx(
        [1, 1, 0.2, 0.2, 0.04, 0.04, 0.008, 0.008]
    )


def test_one_cycle_equals_torch():
    schedule = OneCycle(**LENGTHS)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1, momentum=0.9)
    reference = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=100)
    for step in range(100):
        setting, group = schedule(step), optimizer.param_groups[0]
        # torch places the peak at step 0.3 * 100 - 1, ours at step 30
        assert setting.lr_factor == pytest.approx(group["lr"], abs=0.06)
        assert setting.momentum == pytest.approx(group["momentum"], abs=0.01)
        optimizer.step()
        reference.step()
    assert schedule(30).lr_factor == 1 and schedule(99).lr_factor == pytest.approx(1 / 25 / 1e4)
    assert schedule(0).lr_factor == pytest.approx(1 / 25) and schedule(30).momentum == pytest.approx(0.85)


def test_apply_sets_lr_and_momentum_relative_to_the_optimizer():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.4, momentum=0.9)
    for _ in range(3):
        apply(Setting(0.5, 0.8), optimizer)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.2) and optimizer.param_groups[0]["momentum"] == 0.8


def test_no_schedule_is_negative_or_not_finite():
    for schedule in (
        Cosine("30%", **LENGTHS),
        Step([], **LENGTHS),
        OneCycle("0%", **LENGTHS),
        OneCycle("100%", **LENGTHS),
    ):
        assert all(math.isfinite(value) and 0 <= value <= 1 for value in factors(schedule))


def test_released_drops_come_an_epoch_early_and_torch_s_peak_a_step():
    length = RunLength(4, 16_000)
    step = Step(["30%"], early="1 epoch", length=length)
    assert (step(4795).lr_factor, step(4796).lr_factor) == (1, 0.2)
    cycle = OneCycle(early="1 step", length=RunLength(1, 200))
    theirs = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    rates = torch.optim.lr_scheduler.OneCycleLR(theirs, max_lr=1.0, total_steps=200)
    for number in range(199):
        assert cycle(number).lr_factor == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-6)
        assert cycle(number).momentum == pytest.approx(theirs.param_groups[0]["momentum"], rel=1e-6)
        theirs.step()
        rates.step()
