"""The schedules of torch.optim.lr_scheduler, as they are: objects with a state, which checkpoints hold.

    schedule._target_=torch.optim.lr_scheduler.CosineAnnealingWarmRestarts +schedule.T_0=10 +schedule.each=epoch
    schedule._target_=torch.optim.lr_scheduler.ReduceLROnPlateau +schedule.patience=3 +schedule.metric=loss

`each` says when such a scheduler takes a step: after every update of the weights ("step") or after every epoch ("epoch").
ReduceLROnPlateau takes one after every evaluation of the validation images, and looks at `metric`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from omegaconf import DictConfig
from torch.optim.lr_scheduler import ReduceLROnPlateau

from hybrid.configuration.instantiate import given, instantiate, signature_of
from hybrid.data import Data
from hybrid.errors import UserError, unknown_name

if TYPE_CHECKING:
    from hybrid.training.plan import Plan

_PATH = "schedule"
_OWN = ("each", "metric")  # the keys that are not torch's
Each = Literal["step", "epoch"]


class TorchSchedule:
    """A scheduler of torch, and when it takes a step. each: None for after an evaluation, of which it sees `metric`."""

    def __init__(self, scheduler: Any, *, each: Each | None, metric: str, steps_per_epoch: int) -> None:
        self._scheduler, self._metric = scheduler, metric
        self._every = {"step": 1, "epoch": steps_per_epoch, None: None}[each]

    def before_step(self, step: int) -> None:
        """Set the learning rates of the step after `step` steps."""
        if self._every is not None and step > 0 and step % self._every == 0:
            with warnings.catch_warnings():  # a loss scaler may have left out the optimizer's first step
                warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*before.*optimizer.step")
                self._scheduler.step()

    def after_evaluation(self, numbers: Mapping[str, float]) -> None:
        """Show an evaluation of the validation images to a scheduler that waits for one."""
        if self._every is None:
            self._scheduler.step(numbers[self._metric])

    def state_dict(self) -> dict[str, Any]:
        """The scheduler's own."""
        return self._scheduler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The counterpart of `state_dict`."""
        self._scheduler.load_state_dict(state)


def is_torchs(section: Mapping[str, Any] | DictConfig) -> bool:
    """Whether the schedule of a configuration is a scheduler that wants the optimizer. UserError for a wrong class path."""
    return "optimizer" in signature_of(section, path=_PATH)


def torch_schedule(
    section: Mapping[str, Any] | DictConfig, optimizer: torch.optim.Optimizer, plan: Plan, data: Data
) -> TorchSchedule | None:
    """The scheduler that `cfg.schedule` describes; None where the schedule is a function of the step.

    Raises UserError for what `instantiate` refuses, and where it is not said when the scheduler takes a step.
    """
    if not is_torchs(section):
        return None
    values = given(section, path=_PATH)
    own = {name: values.pop(name) for name in _OWN if name in values}
    scheduler = instantiate(values, path=_PATH, also_valid=_OWN, optimizer=optimizer)
    plateau = isinstance(scheduler, ReduceLROnPlateau)
    if plateau:
        _check_plateau(own, scheduler, plan, data)
    else:
        _check_each(own, type(scheduler).__name__)
    return TorchSchedule(
        scheduler, each=own.get("each"), metric=own.get("metric", "loss"), steps_per_epoch=plan.length.steps_per_epoch
    )


def _check_each(own: Mapping[str, Any], name: str) -> None:
    if own.get("each") not in ("step", "epoch"):
        problem = f"={own['each']} is not valid" if "each" in own else " is missing"
        raise UserError(
            f"{_PATH}.each{problem}: {name} takes a step after every step or after every epoch. Valid: step, epoch."
        )
    if "metric" in own:
        raise UserError(f"{_PATH}.metric={own['metric']} has no effect: {name} looks at no evaluation.")


def _check_plateau(own: Mapping[str, Any], scheduler: ReduceLROnPlateau, plan: Plan, data: Data) -> None:
    if "each" in own:
        raise UserError(
            f"{_PATH}.each={own['each']} has no effect: ReduceLROnPlateau takes a step after every evaluation."
        )
    if "validation" not in data.splits:
        raise UserError(f"{_PATH}: ReduceLROnPlateau needs validation images, and data.validation is 0.")
    metric, directions = own.get("metric", "loss"), plan.objective.numbers
    if metric not in directions:
        raise unknown_name(metric, directions, what=f"number of an evaluation in {_PATH}.metric")
    wanted = "max" if directions[metric] else "min"
    if scheduler.mode != wanted:
        raise UserError(f"{_PATH}: metric={metric} goes with mode={wanted} (+{_PATH}.mode={wanted}).")
