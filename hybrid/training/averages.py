"""Running averages that are right from the first step: batch norm's statistics, and the averaged weights (trainer.ema).

torch begins batch norm's running means at 0 and its variances at 1, and the newest batch moves them by a tenth. Second-order
coefficients have variances of 1e-5, so hundreds of steps pass before the 1 is forgotten. Until then evaluation sees other
features than training, and gives accuracies like chance.

Here batch t (1 is the first) has the weight max(momentum, 1/t): the statistics are the plain mean of the first 1/momentum
batches, and then go on as torch's do. The average of the weights has the decay min(ema, (1 + t) / (10 + t)), the usual rule of
TensorFlow and timm: early on it is a mean of about the last tenth of all steps. Training does not depend on either.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.hooks import RemovableHandle

from hybrid import distributed

Decay = Callable[[int], float]


def ema_decay(ema: float, *, begins_as_mean: bool) -> Decay:
    """The decay of the averaged weights after so many updates; always `ema` unless the average begins as a mean."""
    return lambda updates: min(ema, (1 + updates) / (10 + updates)) if begins_as_mean else ema


class EarlyStatistics:
    """Sets the weight of each new batch in the running statistics of a model, until it is the layers' own momentum.

    It is made once a model has the state that it goes on from: the layers' own counters (num_batches_tracked) tell how many
    batches they have seen, so a resumed run is bit for bit the run that was not stopped.
    """

    def __init__(self, model: nn.Module) -> None:
        norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
        self._early = [_Early(norm) for norm in norms if norm.track_running_stats and norm.momentum is not None]

    @property
    def at_work(self) -> bool:
        """Whether a layer in training mode still has another momentum than its own; a compiled model would not see it."""
        return any(early.at_work for early in self._early)

    def agree(self) -> None:
        """Take over rank 0's counts, which are those of the checkpoint; a rank without images in a step is behind. Collective."""
        if distributed.size() > 1:
            counts = distributed.from_main(lambda: [int(early.norm.num_batches_tracked) for early in self._early])
            for early, count in zip(self._early, counts, strict=True):
                early.norm.num_batches_tracked.fill_(count)


@contextlib.contextmanager
def batch_statistics(model: nn.Module) -> Iterator[bool]:
    """Within it, a model in evaluation mode normalises by the statistics of the batch; gives whether it has batch norm."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.running_mean is not None]
    kept = [(norm.running_mean, norm.running_var) for norm in norms]
    for norm in norms:
        norm.running_mean = norm.running_var = None
    try:
        yield bool(norms)
    finally:
        for norm, (mean, variance) in zip(norms, kept, strict=True):
            norm.running_mean, norm.running_var = mean, variance


class _Early:
    """One layer's momentum, set before each forward pass in training mode. A layer may run several times in one step.

    The count is the layer's own, also where a block is computed a second time for its gradient (gradient checkpointing).
    """

    def __init__(self, norm: _BatchNorm) -> None:
        self.norm, self._own = norm, norm.momentum
        young = int(norm.num_batches_tracked) * norm.momentum < 1
        self._handle: RemovableHandle | None = norm.register_forward_pre_hook(self._set) if young else None

    @property
    def at_work(self) -> bool:
        return self._handle is not None and self.norm.training

    def _set(self, norm: nn.Module, _inputs: Any) -> None:
        if not norm.training or self._handle is None:
            return
        batch = int(norm.num_batches_tracked) + 1  # waits for the device, in these first steps alone
        norm.momentum = max(self._own, 1 / batch)
        if batch * self._own >= 1:
            self._handle.remove()
            self._handle = None
