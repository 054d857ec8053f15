"""Whether batch norm's running statistics fit: where they do not, evaluation sees other features than training."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable

from torch import nn

from hybrid import distributed
from hybrid.data import Batch
from hybrid.training.averages import batch_statistics
from hybrid.training.evaluation import Evaluation, evaluate
from hybrid.training.session import Session

_COMPARED, _FEWEST, _POINTS = 256, 8, 15.0  # training images, in batches of at least so many; difference in points
_HALF = 50.0  # % of the test images: a network that classifies more of them right is taken to be trained


def statistics_warning(session: Session, test: Evaluation) -> str | None:
    """A line where batch norm's running statistics are why evaluation is worse than training; None where all is well.

    A few training images, as they are, are evaluated with these statistics, and with those of the batch; once where one of
    the two shows that they cannot differ by so much.

    test: the result of the test images, which says what to evaluate first.
    """
    data, plan, model = session.data, session.plan, session.state.evaluated
    settings = plan.trainer
    if plan.objective.task != "classification":
        return None
    size = min(settings.batch_size // settings.accumulation, len(data.splits["train"]))
    batches, evaluated = _training_images(session, size, count=size * max(1, _COMPARED // size))
    objective = dataclasses.replace(plan.objective, metrics=())
    rest = {"num_classes": data.num_classes, "objective": objective, "arithmetic": settings.arithmetic}
    with batch_statistics(model) as has_batch_norm:
        if not has_batch_norm or size < _FEWEST:
            return None
        by_batch = evaluate(evaluated, batches(), **rest) if test.top1 < _HALF else None
    if by_batch is not None and by_batch.top1 < _POINTS:
        return None
    by_running = evaluate(evaluated, batches(), **rest)
    if by_running.top1 > 100 - _POINTS:
        return None
    if by_batch is None:
        with batch_statistics(model):
            by_batch = evaluate(evaluated, batches(), **rest)
    if by_batch.top1 - by_running.top1 < _POINTS:
        return None
    images = by_batch.images // distributed.size()
    return (
        f"batch norm's running statistics do not fit yet: of {images} training images {by_running.top1:.0f} % are classified "
        f"right with them, and {by_batch.top1:.0f} % with the statistics of the batch, as in training. So the accuracies of "
        f"evaluation say little. What helps: {', '.join(_remedies(session))}."
    )


def _remedies(session: Session) -> list[str]:
    """Settings that can help, and that the run does not have already."""
    settings, normalization = session.plan.trainer, session.plan.table.get("model/normalization")
    mean = [] if settings.averages_begin == "mean" else ["trainer.averages_begin=mean"]
    statistics = [] if normalization == "statistics" else ["model/normalization=statistics"]
    return ["a longer training", *mean, *statistics, "a smaller optimizer.lr"]


def _training_images(session: Session, size: int, *, count: int) -> tuple[Callable[[], Iterable[Batch]], nn.Module]:
    """`count` training images in batches of `size`, the same at each call, and the model that takes them.

    Where their features are kept these are taken, in the order of an epoch: otherwise images as they are.
    """
    data, device, cache, model = session.data, session.plan.device, session.cache, session.state.evaluated
    if cache is None or "train" not in cache:
        loader = data.loader("train", batch_size=size, device=device, most=count, drop_last=True)
        return lambda: loader.epoch(0), model
    kept = cache.loader(data.loader("train", batch_size=size, device=device, train=True, drop_last=True))
    return lambda: itertools.islice(kept.epoch(0), count // size), cache.rest(model)
