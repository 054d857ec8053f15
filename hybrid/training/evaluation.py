"""Exact evaluation: every image once, sums in double precision; of classes a confusion matrix beside the accuracies."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from hybrid import distributed
from hybrid.data import Batch
from hybrid.objective.losses import of_each_image
from hybrid.objective.metrics import known
from hybrid.objective.objective import Objective
from hybrid.training.arithmetic import Arithmetic
from hybrid.training.mistakes import Mistakes, mistakes_in, of_all_ranks
from hybrid.training.step import at_least_single

_TOP = 5


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation.

    Attributes:
        values: name -> number: "loss" (the cross-entropy is in nats), of classes the accuracies "top1" and, of more than five
            classes, "top5" in %, then the metrics of the objective.
        images: how many were evaluated.
        confusion: counts[true class, predicted class]; None without classes.
        mistakes: the images that are classified wrongly; None without classes.
    """

    values: Mapping[str, float]
    images: int
    confusion: Tensor | None = None
    mistakes: Mistakes | None = None

    def numbers(self) -> dict[str, float]:
        """The figures alone, for logs and summaries."""
        return dict(self.values)

    @property
    def loss(self) -> float:
        """The mean loss over the images."""
        return self.values["loss"]

    @property
    def top1(self) -> float:
        """The accuracy in %. KeyError without classes."""
        return self.values["top1"]


@torch.no_grad()
def evaluate(
    model: nn.Module,
    batches: Iterable[Batch],
    *,
    num_classes: int,
    objective: Objective | None = None,
    arithmetic: Arithmetic | None = None,
) -> Evaluation:
    """Evaluate a model on batches; the model's mode is put back afterwards.

    Of several ranks each gives its own part of the batches and gets the result of all: every image counts once.

    Args:
        num_classes: the number of outputs.
        objective: the loss and the metrics; the cross-entropy of classes without it.

    Raises ValueError without any image.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    tally = _Tally(objective or Objective(), num_classes)
    try:
        for batch in batches:
            if not len(batch.labels):
                continue
            with (arithmetic or Arithmetic()).on(batch.images.device):
                outputs = model(batch.images)
            tally.add(at_least_single(outputs), batch)
    finally:
        for module, mode in modes:
            module.training = mode
    return tally.result()


class _Tally:
    """What the images of an evaluation add up to."""

    def __init__(self, objective: Objective, outputs: int) -> None:
        self.objective, self.outputs = objective, outputs
        self.loss = objective.evaluation_loss
        self.classes = objective.task == "classification"
        self.sums = torch.zeros(3, dtype=torch.float64)  # loss, images with the true class among the best five, images
        self.confusion = torch.zeros(outputs, outputs, dtype=torch.int64) if self.classes else None
        self.mistakes: list[Tensor] = []
        self.metrics = [metric for metric in objective.metrics if metric != known("top5")]  # which is counted anyway
        self.kept: list[tuple[Tensor, Tensor, Tensor]] = []  # outputs, labels and indices, where a metric wants them

    def add(self, outputs: Tensor, batch: Batch) -> None:
        """Count a batch with these outputs (N, K)."""
        losses = of_each_image(self.loss, outputs, batch.labels)
        self.sums[0] += losses.cpu().double().sum()
        self.sums[2] += len(outputs)
        if self.classes:
            best = outputs.topk(min(_TOP, self.outputs), dim=1).indices
            self.sums[1] += (best == batch.labels[:, None]).sum().item()
            self.mistakes.append(mistakes_in(outputs, batch.labels, batch.indices))
            cells = (batch.labels * self.outputs + best[:, 0]).cpu()
            self.confusion += torch.bincount(cells, minlength=self.outputs**2).view(self.outputs, self.outputs)
        if self.metrics:
            self.kept.append((outputs.float().cpu(), batch.labels.cpu(), batch.indices.cpu()))

    def result(self) -> Evaluation:
        """The numbers of all ranks. Raises ValueError without any image."""
        loss, hits5, counted = distributed.sum_(self.sums).tolist()
        images = int(counted)
        if images == 0:
            raise ValueError("there are no images to evaluate on")
        values = {"loss": loss / images}
        if self.classes:
            distributed.sum_(self.confusion)
            values["top1"] = 100 * self.confusion.trace().item() / images
            if self.outputs > _TOP:
                values["top5"] = 100 * hits5 / images
        mistakes = of_all_ranks(self.mistakes) if self.classes else None
        return Evaluation(values | self._measured(), images, self.confusion, mistakes)

    def _measured(self) -> dict[str, float]:
        """The metrics, of the images of all ranks in the order of the data set."""
        if not self.metrics:
            return {}
        kept = list(zip(*self.kept, strict=True)) or [[self._nothing()], [self._no_labels()], [torch.zeros(0).long()]]
        outputs, labels, indices = (distributed.gather_rows(torch.cat(tuple(part))) for part in kept)
        order = indices.argsort()
        outputs, labels = outputs[order], labels[order]
        names = self.objective.names or tuple(map(str, range(self.outputs)))
        found = [distributed.from_main(lambda m=m: m.numbers(outputs, labels, names)) for m in self.metrics]
        return {name: value for numbers in found for name, value in numbers.items()}

    def _nothing(self) -> Tensor:
        return torch.zeros(0, self.outputs)

    def _no_labels(self) -> Tensor:
        return torch.zeros(0, dtype=torch.int64) if self.classes else torch.zeros(0, self.outputs)
