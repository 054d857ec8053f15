"""A callback that ends a run once the validation images get no better.

hybrid train callbacks=[early_stopping]
hybrid train callbacks=[{early_stopping: {metric: loss, patience: 5 epochs}}]
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from hybrid.data import Data
from hybrid.durations import Duration
from hybrid.errors import UserError, unknown_name

if TYPE_CHECKING:
    from hybrid.objective.objective import Objective
    from hybrid.training.plan import Plan
    from hybrid.training.session import Session

_PLACE = "callbacks.early_stopping"


@dataclasses.dataclass
class EarlyStopping:
    """Ends the run when a number of the validation images has not improved for a while.

    The learning rate's schedule stays the one of the whole `trainer.duration`: a run that ends early has not come to its
    low rates. `trainer.test_weights=best` tests the best weights rather than the last.

    Args:
        metric: a number of an evaluation, such as "top1", "loss" or one of `metrics=[…]`; None: the one that says which
            weights are best (`trainer.best_metric`).
        mode: "max" if larger is better, "min" if smaller is; None: as the metric says of itself.
        patience: how long without an improvement, as a duration ("5 epochs", "500 steps", "10%") or in evaluations
            ("3 evaluations").
        min_delta: an improvement is at least this large, in the metric's unit (percentage points for accuracies).

    Raises:
        UserError: a value is out of range, no evaluation has the metric, or the run has no validation images.
    """

    metric: str | None = None
    mode: Literal["max", "min"] | None = None
    patience: str = "10 epochs"
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        count = re.fullmatch(r"\s*(\d+)\s*evaluations?\s*", str(self.patience))
        self._evaluations = int(count[1]) if count else None
        self._duration = None if count else Duration.read(self.patience, path=f"{_PLACE}.patience")
        if (self._evaluations if count else self._duration.number) == 0:
            raise UserError(f"{_PLACE}.patience={self.patience} is not valid: it must be longer than nothing.")
        if not 0 <= self.min_delta < math.inf:
            raise UserError(f"{_PLACE}.min_delta={self.min_delta} is not valid: it must be a number from 0.")
        self._best: float | None = None
        self._best_step = self._since = 0

    def on_setup(self, plan: Plan, data: Data) -> None:
        """Check that there is something to watch, and that the run is longer than the patience."""
        if "validation" not in data.splits:
            raise UserError(f"{_PLACE} needs validation images, and data.validation is 0.")
        self._watch(plan.objective)
        allowed = self._evaluations and self._evaluations * plan.evaluate_every
        if self._duration is not None:
            allowed = plan.length.steps(self._duration)
        if allowed >= plan.length.total_steps:
            raise UserError(
                f"{_PLACE}.patience={self.patience} has no effect: the whole run has {plan.length.total_steps} steps "
                f"({plan.length.epochs:g} epochs)."
            )

    def _watch(self, objective: Objective) -> None:
        """Take the metric and its direction from the run where they are not given, and check them where they are."""
        self.metric = self.metric or objective.best.name
        if self.metric not in objective.numbers:
            raise unknown_name(self.metric, objective.numbers, what=f"metric in {_PLACE}")
        mode = "max" if objective.numbers[self.metric] else "min"
        if self.mode not in (None, mode):
            raise UserError(f"{_PLACE}: metric={self.metric} goes with mode={mode}.")
        self.mode = mode

    def on_fit_start(self, session: Session) -> None:
        """Say what may end the run."""
        length = session.plan.length
        session.console.say(
            f"early stopping: after {self.patience} without a better validation/{self.metric}; "
            f"the schedule is that of {length.epochs:g} epochs"
        )

    def on_evaluation(self, session: Session, split: str, numbers: Mapping[str, float]) -> None:
        """Compare with the best so far."""
        if split != "validation":
            return
        value, step = float(numbers[self.metric]), session.state.step
        if self._best is None or self._gain(value) > self.min_delta:
            self._best, self._best_step, self._since = value, step, 0
            return
        self._since += 1
        if self._is_over(session):
            session.end_run(
                f"validation/{self.metric} was best at step {self._best_step} ({self._best:.4g}), "
                f"and no better for {self.patience}"
            )

    def state_dict(self) -> dict[str, Any]:
        """The best value, its step, and the evaluations since."""
        return {"best": self._best, "best_step": self._best_step, "since": self._since}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The counterpart of `state_dict`."""
        self._best, self._best_step, self._since = state["best"], state["best_step"], state["since"]

    def _gain(self, value: float) -> float:
        gain = self._best - value if self.mode == "min" else value - self._best
        return math.inf if math.isnan(self._best) and not math.isnan(value) else gain

    def _is_over(self, session: Session) -> bool:
        if self._duration is None:
            return self._since >= self._evaluations
        return session.state.step - self._best_step >= session.plan.length.steps(self._duration)
