"""Learning-rate schedules as pure functions of the step, so that a resumed run needs no schedule state.

A schedule is called with the step that is about to be taken (0 .. total_steps-1) and returns a `Setting`: the factor on the
optimizer's lr, and a momentum where it cycles that too.
"""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

import torch

from hybrid.durations import RunLength, Written
from hybrid.ranges import BELOW_ONE, LARGEST, Range, Share


class Setting(NamedTuple):
    """What a schedule says of one step."""

    lr_factor: float
    momentum: float | None = None


def apply(setting: Setting, optimizer: torch.optim.Optimizer) -> None:
    """Write a step's learning rate and momentum into every parameter group."""
    for group in optimizer.param_groups:
        group.setdefault("initial_lr", group["lr"])
        group["lr"] = group["initial_lr"] * setting.lr_factor
        if setting.momentum is not None:
            if "betas" in group:
                group["betas"] = (setting.momentum, *group["betas"][1:])
            elif "momentum" in group:
                group["momentum"] = setting.momentum


class Constant:
    """The optimizer's lr throughout, after a linear warm-up from 0."""

    def __init__(self, warmup: Written = "0 steps", *, length: RunLength) -> None:
        self.warmup = length.steps(warmup, path="schedule.warmup")
        self.total_steps = length.total_steps
        if self.warmup >= self.total_steps:
            raise ValueError(f"warmup={warmup} is {self.warmup} steps, but the whole run has only {self.total_steps}")

    def __call__(self, step: int) -> Setting:
        rise = (step + 1) / (self.warmup + 1) if step < self.warmup else 1.0
        return Setting(rise * self.decay(step))

    def decay(self, step: int) -> float:
        """The factor without warm-up."""
        return 1.0


class Cosine(Constant):
    """Half a cosine from 1 to `final` between the end of the warm-up and the end of the run (Loshchilov & Hutter 2017)."""

    def __init__(self, warmup: Written = "0 steps", final: Share = 0.0, *, length: RunLength) -> None:
        super().__init__(warmup, length=length)
        if not 0 <= final <= 1:
            raise ValueError(f"final={final} is not between 0 and 1, a fraction of the optimizer's lr")
        self.final = final

    def decay(self, step: int) -> float:
        progress = max(0, step - self.warmup) / max(1, self.total_steps - self.warmup)
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * progress))


class Step(Constant):
    """Multiplied by `factor` at each milestone, or `early` before it."""

    def __init__(
        self,
        milestones: list[Written],
        factor: Annotated[float, Range(0, 1, above=True)] = 0.2,
        warmup: Written = "0 steps",
        early: Written = "0 steps",
        *,
        length: RunLength,
    ) -> None:
        super().__init__(warmup, length=length)
        if not 0 < factor <= 1:
            raise ValueError(f"factor={factor} is not above 0 and at most 1")
        self.factor = factor
        before = length.steps(early, path="schedule.early")
        self.milestones = sorted(length.steps(text, path="schedule.milestones") - before for text in milestones)

    def decay(self, step: int) -> float:
        return self.factor ** sum(step >= milestone for milestone in self.milestones)


class OneCycle:
    """Cosine rise from 1/`initial_division` to 1, then cosine fall to that over `final_division` (Smith & Topin 2017).

    `momentum` is (lowest, highest); it falls while the lr rises and rises while it falls. None leaves it alone. The peak is
    `early` before the end of `rise`: torch's OneCycleLR has it one step before.
    """

    def __init__(
        self,
        rise: Written = "30%",
        initial_division: Annotated[float, Range(1, LARGEST)] = 25.0,
        final_division: Annotated[float, Range(1, LARGEST)] = 1e4,
        momentum: Annotated[tuple[float, float], BELOW_ONE] | None = (0.85, 0.95),
        early: Written = "0 steps",
        *,
        length: RunLength,
    ) -> None:
        if initial_division < 1 or final_division < 1:
            raise ValueError("initial_division and final_division are at least 1")
        if momentum is not None and not 0 <= momentum[0] <= momentum[1] < 1:
            raise ValueError(f"momentum={list(momentum)} is not [lowest, highest] within 0 to below 1")
        self.peak = max(0, length.steps(rise, path="schedule.rise") - length.steps(early, path="schedule.early"))
        self.total_steps = length.total_steps
        self.initial, self.final = 1 / initial_division, 1 / initial_division / final_division
        self.momentum = momentum

    def __call__(self, step: int) -> Setting:
        if step < self.peak:
            start, height = self.initial, _half_cosine(step / self.peak)
        else:
            start, height = self.final, _half_cosine(1 - (step - self.peak) / max(1, self.total_steps - 1 - self.peak))
        momentum = None
        if self.momentum is not None:
            lowest, highest = self.momentum
            momentum = highest + (lowest - highest) * height
        return Setting(start + (1 - start) * height, momentum)


def _half_cosine(progress: float) -> float:
    """0 at 0, 1 at 1, flat at both ends."""
    return 0.5 * (1 - math.cos(math.pi * min(1.0, max(0.0, progress))))
