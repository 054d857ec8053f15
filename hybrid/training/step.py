"""One update of the weights: forward, loss, backward, and the meters that stay on the device."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from hybrid import distributed
from hybrid.data import Batch
from hybrid.distributed.rank_slices import Share, Shares
from hybrid.objective.losses import summed
from hybrid.objective.objective import Objective
from hybrid.training.settings import TrainerSettings


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
    """Sums of loss and hits over the steps since the last reading, kept on the device: adding to them waits for nothing.

    Each rank has its own; they are added up when they are read.

    It also remembers the first step whose loss was not finite. Without `hits`, of images that have no class, there is no
    accuracy.
    """

    def __init__(self, device: torch.device, *, hits: bool = True) -> None:
        self.hits = hits
        self.sums = torch.zeros(3, dtype=torch.float64, device=device)  # loss x images, hits, images
        self.bad_step = torch.full((), -1, dtype=torch.int64, device=device)

    def add(self, loss_sum: torch.Tensor, hits: torch.Tensor | None, images: int, step: int) -> None:
        """Count `images` with this summed loss and this number of right answers, in step `step` (1 is the first)."""
        hits = torch.zeros_like(self.sums[0]) if hits is None else hits.to(self.sums)
        self.sums += torch.stack([loss_sum.to(self.sums), hits, torch.full_like(self.sums[0], images)])
        first = (self.bad_step < 0) & ~torch.isfinite(loss_sum)
        self.bad_step = torch.where(first, torch.full_like(self.bad_step, step), self.bad_step)

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
    parts = [torch.split(tensor, share.sizes) for tensor in (batch.images, batch.targets, batch.labels)]
    for images, targets, labels in zip(*parts, strict=True):
        if not len(labels) and not settings.sync_batch_norm:
            continue
        with settings.arithmetic.on(images.device):
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
