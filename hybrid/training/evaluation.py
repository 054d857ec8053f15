"""Exact evaluation: every image once, sums in double precision, a confusion matrix beside the accuracies."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import nn

from hybrid import distributed
from hybrid.data import Batch
from hybrid.training.arithmetic import Arithmetic
from hybrid.training.step import at_least_single


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Loss (cross-entropy, nats), accuracies in %, the number of images, and counts[true class, predicted class]."""

    loss: float
    top1: float
    top5: float
    images: int
    confusion: torch.Tensor

    def numbers(self) -> dict[str, float]:
        """The figures alone, for logs and summaries."""
        return {"loss": self.loss, "top1": self.top1, "top5": self.top5}


@torch.no_grad()
def evaluate(
    model: nn.Module,
    batches: Iterable[Batch],
    *,
    num_classes: int,
    arithmetic: Arithmetic | None = None,
) -> Evaluation:
    """Evaluate a model on batches; the model's mode is put back afterwards.

    Of several ranks each gives its own part of the batches and gets the result of all: every image counts once.

    With fewer than five classes top5 counts as many as there are. Raises ValueError without any image.
    """
    was_training = model.training
    model.eval()
    confusion = torch.zeros(num_classes, num_classes, dtype=torch.int64)
    sums = torch.zeros(2, dtype=torch.float64)  # loss, images with the true class among the best five
    try:
        for batch in batches:
            if not len(batch.labels):
                continue
            with (arithmetic or Arithmetic()).on(batch.images.device):
                logits = model(batch.images)
            logits = at_least_single(logits)
            sums[0] += F.cross_entropy(logits, batch.labels, reduction="none").cpu().double().sum()
            best = logits.topk(min(5, num_classes), dim=1).indices
            sums[1] += (best == batch.labels[:, None]).sum().item()
            cells = (batch.labels * num_classes + best[:, 0]).cpu()
            confusion += torch.bincount(cells, minlength=num_classes**2).view(num_classes, num_classes)
    finally:
        model.train(was_training)
    loss, hits5 = distributed.sum_(sums).tolist()
    images = int(distributed.sum_(confusion).sum())
    if images == 0:
        raise ValueError("there are no images to evaluate on")
    return Evaluation(loss / images, 100 * confusion.trace().item() / images, 100 * hits5 / images, images, confusion)
