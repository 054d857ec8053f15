"""One update of the weights: forward, loss, backward, and the meters that stay on the device."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from hybrid import distributed
from hybrid.data import Batch
from hybrid.distributed.rank_slices import Share, Shares
from hybrid.objective.losses import summed
from hybrid.objective.objective import Objective
from hybrid.training.settings import TrainerSettings

_MOST_ADDED = 1000  # steps


def compiled(model: nn.Module, settings: TrainerSettings) -> nn.Module:
    """The model as `trainer.compile` wants it; itself for false."""
    if not settings.compile:
        return model
    torch.use_deterministic_algorithms(torch.are_deterministic_algorithms_enabled())  # the compiler's own switch, too
    return torch.compile(model, mode=None if settings.compile is True else settings.compile)


def at_least_single(logits: torch.Tensor) -> torch.Tensor:
    """Half precision to float32, for the loss; other types as they are."""
    return logits if logits.dtype == torch.float64 else logits.float()


class Meter:
    """Sums of loss and hits over the steps since the last reading. Adding to them waits for nothing, and takes no time.

    What a step gives stays on the device as it is, until the sums are asked for. Each rank has its own; they are added up when
    they are read.

    It also remembers the first step whose loss was not finite. Without `hits`, of images that have no class, there is no
    accuracy.
    """

    def __init__(self, device: torch.device, *, hits: bool = True) -> None:
        self.hits = hits
        self._sums = torch.zeros(3, dtype=torch.float64, device=device)  # loss x images, hits, images
        self._bad_step = torch.full((), -1, dtype=torch.int64, device=device)
        self._added: list[tuple[torch.Tensor, torch.Tensor | None, int, int]] = []

    def add(self, loss_sum: torch.Tensor, hits: torch.Tensor | None, images: int, step: int) -> None:
        """Count `images` with this summed loss and this number of right answers, in step `step` (1 is the first)."""
        self._added.append((loss_sum, hits, images, step))
        if len(self._added) == _MOST_ADDED:
            self._add_up()

    @property
    def sums(self) -> torch.Tensor:
        """(3,) float64 on the device: loss x images, hits, images. Waits for the device."""
        self._add_up()
        return self._sums

    @property
    def bad_step(self) -> torch.Tensor:
        """The first step whose loss was not finite, int64 on the device; -1: none. Waits for the device."""
        self._add_up()
        return self._bad_step

    def _add_up(self) -> None:
        """In float64 and one step after the other, as the steps were."""
        if not self._added:
            return
        losses, hits, images, steps = zip(*self._added, strict=True)
        self._added = []
        loss, right, count = self._sums.tolist()
        bad_step = int(self._bad_step)
        for each, step in zip(torch.stack(losses).tolist(), steps, strict=True):
            loss += each
            if bad_step < 0 and not math.isfinite(each):
                bad_step = step
        present = [each for each in hits if each is not None]
        right += sum(torch.stack(present).tolist()) if present else 0
        self._sums.copy_(torch.tensor([loss, right, count + sum(images)], dtype=torch.float64))
        self._bad_step.fill_(bad_step)

    def read(self) -> dict[str, float]:
        """Mean loss and accuracy (%) of all ranks since the last reading; starts again from zero. Waits for the device."""
        loss, hits, images = distributed.sum_(self.sums.clone()).tolist()
        self.sums.zero_()
        accuracy = {"train/top1": 100 * hits / images} if self.hits else {}
        return {"train/loss": loss / images, **accuracy}

    def first_bad_step(self) -> int | None:
        """The first step in which a rank's loss was not finite. Waits for the device."""
        none = torch.iinfo(torch.int64).max
        first = int(distributed.min_(torch.where(self.bad_step < 0, none, self.bad_step)))
        return None if first == none else first

    def state_dict(self) -> dict[str, torch.Tensor]:
        """For a checkpoint between two readings: `sums` has one row for each rank."""
        return {"sums": distributed.gather(self.sums), "bad_step": self.bad_step}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """The counterpart of `state_dict`; of another number of ranks, rank 0 takes over all that was counted."""
        rows = state["sums"]
        if len(rows) == distributed.size():
            self.sums.copy_(rows[distributed.rank()])
        else:
            self.sums.copy_(rows.sum(0) if distributed.is_main() else torch.zeros_like(rows[0]))
        self.bad_step.copy_(state["bad_step"])


def train_step(
    forward: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    batch: Batch,
    meter: Meter,
    *,
    settings: TrainerSettings,
    objective: Objective | None = None,
    step: int,
    share: Share | None = None,
    sum_gradients: Callable[[float], None] = lambda weight: None,
) -> None:
    """Update the weights once from a batch, cut into `settings.accumulation` micro-batches. Nothing is read back.

    The gradient is that of the mean loss over the whole batch, whatever the micro-batches' sizes; batch norm sees
    micro-batches. The loss is that of the objective; without one it is the cross-entropy. `step` is the number of this step,
    from 1. Of several ranks each has its `share` of the batch, and `sum_gradients` adds theirs up; with a share of nothing a
    rank computes only where batch norm expects it.
    """
    optimizer.zero_grad(set_to_none=True)
    if objective is None:
        loss = nn.CrossEntropyLoss(reduction="sum", label_smoothing=settings.label_smoothing)
        objective = Objective(loss=loss)
    share = share or Shares(parts=settings.accumulation).of(len(batch.labels))
    whole = batch.images, batch.targets, batch.labels
    parts = (
        [whole] if len(share.sizes) == 1 else zip(*(torch.split(tensor, share.sizes) for tensor in whole), strict=True)
    )
    for images, targets, labels in parts:
        if not len(labels) and not settings.sync_batch_norm:
            continue
        with settings.arithmetic.on(images.device, forward):
            outputs = forward(images)
        loss_sum = summed(objective.loss, at_least_single(outputs), targets)
        scaler.scale(loss_sum / share.total).backward()
        hits = (outputs.detach().argmax(1) == labels).sum() if meter.hits else None
        meter.add(loss_sum.detach(), hits, len(labels), step)
    sum_gradients(len(batch.labels) / share.total)
    if settings.clip_norm is not None:
        scaler.unscale_(optimizer)
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        nn.utils.clip_grad_norm_(parameters, settings.clip_norm)
    scaler.step(optimizer)
    scaler.update()
