"""Parts of a network that training holds still (`trainer.freeze`), and a callback that lets them go at a step.

    hybrid train run.init_from=outputs/RUN run.init_match=shapes trainer.freeze=[frontend,head.stages.0]
    hybrid train … trainer.freeze=[head.stages] 'callbacks=[{unfreeze: {parts: [head.stages], at: 30%}}]'

A part is a name of `model.named_modules()`, or a pattern with `*`. Its parameters get no gradient, and it stays in evaluation
mode: batch norm uses its running statistics and does not move them, and dropout is off.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import nn

from hybrid.data import Data
from hybrid.durations import Duration
from hybrid.errors import UserError, unknown_name
from hybrid.models.selection import matches, trainable

if TYPE_CHECKING:
    from hybrid.training.plan import Plan
    from hybrid.training.session import Session

_PATH, _CALLBACK = "trainer.freeze", "callbacks.unfreeze"


class Frozen:
    """The frozen parameters and modules of a model, by name. Raises UserError for a pattern without trainable parameters.

    warn: whether frozen batch norms that have seen no image are worth a warning.
    """

    def __init__(self, model: nn.Module, patterns: Sequence[str] = (), *, warn: bool = False) -> None:
        self.parameters: dict[str, nn.Parameter] = {}
        for pattern in patterns:
            self.parameters |= trainable(model, pattern, path=_PATH)
        self.modules = {
            name: module
            for name, module in model.named_modules()
            if name and any(matches(name, pattern) for pattern in patterns)
        }
        for parameter in self.parameters.values():
            parameter.requires_grad_(False)
        if patterns and not any(parameter.requires_grad for parameter in model.parameters()):
            raise UserError(f"{_PATH}=[{', '.join(patterns)}] is the whole model: nothing is left to train.")
        blank = [name for name, module in self.modules.items() if _has_seen_nothing(module)]
        if warn and blank:
            warnings.warn(
                f"{_PATH}: the batch norm of {blank[0]} keeps mean 0 and variance 1 for the whole run, as it was never "
                "trained (run.init_from).",
                stacklevel=2,
            )

    def hold(self) -> None:
        """Put the modules into evaluation mode: after `model.train()`."""
        for module in self.modules.values():
            module.eval()

    def release(self, pattern: str) -> list[str]:
        """Train a part from now on; the names of its parameters."""
        names = [name for name in self.parameters if matches(name, pattern)]
        for name in names:
            self.parameters.pop(name).requires_grad_(True)
        for name in [name for name in self.modules if matches(name, pattern)]:
            self.modules.pop(name).train()
        return names


def _has_seen_nothing(module: nn.Module) -> bool:
    count = getattr(module, "num_batches_tracked", None)
    return count is not None and int(count) == 0


@dataclasses.dataclass
class Unfreeze:
    """A callback that trains frozen parts from a step on.

    Args:
        parts: names or patterns of `trainer.freeze`.
        at: when, as a duration from the beginning of the run: "30%", "10 epochs".
    """

    parts: list[str]
    at: str

    def on_setup(self, plan: Plan, data: Data) -> None:
        """Check the step and the parts."""
        self._step = plan.length.steps(Duration.read(self.at, path=f"{_CALLBACK}.at"))
        for part in self.parts:
            if part not in plan.trainer.freeze:
                raise unknown_name(part, plan.trainer.freeze, what=f"part of trainer.freeze in {_CALLBACK}.parts")
        if not 0 < self._step < plan.length.total_steps:
            raise UserError(
                f"{_CALLBACK}.at={self.at} has no effect: it is step {self._step} of {plan.length.total_steps}."
            )

    def on_fit_start(self, session: Session) -> None:
        """Go on where a checkpoint was written after that step."""
        inside = [name for part in self.parts for name in session.state.frozen.parameters if matches(name, part)]
        if session.cache is not None and any(not name.startswith("head.") for name in inside):
            raise UserError(f"{_CALLBACK}: the cache of features holds the frozen part; add trainer.feature_cache=off.")
        if session.state.step >= self._step:
            self._release(session)

    def on_step(self, session: Session) -> None:
        """Let the parts go."""
        if session.state.step == self._step:
            count = self._release(session)
            session.console.say(
                f"step {self._step}: {', '.join(self.parts)} train from now on ({count} parameter tensors)"
            )

    def _release(self, session: Session) -> int:
        return sum(len(session.state.frozen.release(part)) for part in self.parts)
