"""An analysis of a network on a data set, the forward passes shared among the ranks of a run."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hybrid import distributed
from hybrid.analysis.batches import Images, analyse_batches
from hybrid.analysis.features import Features
from hybrid.analysis.measurements import Host
from hybrid.analysis.result import Analysis
from hybrid.analysis.settings import AnalysisSettings
from hybrid.data import Data
from hybrid.errors import first_line


@dataclass(frozen=True, kw_only=True)
class DataImages:
    """Which images of a data set are analysed, and how they are read.

    split: is measured, not augmented. test_split: the probes are tested on it; None: there are no probes. batch_size: images
    at a time, over all ranks. device: the model's.
    """

    data: Data
    split: str = "train"
    test_split: str | None = None
    batch_size: int
    device: torch.device


def analyse_data(
    model: nn.Module,
    images: DataImages,
    settings: AnalysisSettings,
    *,
    earlier: Analysis | None = None,
    host: Host | None = None,
) -> Analysis:
    """`analyse_batches` on a data set. Images without classes are measured as if each were a class of its own.

    Several ranks share the forward passes, and each makes all measurements of all features, because it would have nothing
    else to do. All ranks call this.
    """
    if images.data.task != "classification":
        settings = settings.without_classes()
    data, shares = images.data, distributed.own_shares(accumulation=1)
    chosen = {"batch_size": images.batch_size, "device": images.device, "classes": settings.classes, "shares": shares}
    train = data.loader(images.split, most=settings.images, **chosen).epoch(0)
    test = images.test_split
    ready = Images(
        train=train,
        test=data.loader(test, most=settings.test_images, **chosen).epoch(0) if test else None,
        sample=lambda: image_sample(images, settings),
        # moving the original would move everybody's
        preprocessing=copy.deepcopy(data.preprocessing).to(images.device),
    )
    host = dataclasses.replace(host or Host(), exchange=exchange)
    return analyse_batches(model, ready, settings, earlier=earlier, host=host)


def image_sample(images: DataImages, settings: AnalysisSettings) -> tuple[Tensor, Tensor] | None:
    """Raw images and labels for what is measured image by image, in an order drawn by the analysis's seed; or None."""
    data, most = images.data, settings.sample_images
    if not most:
        return None
    # few enough classes that there are pairs of the same one
    classes = min(settings.classes or data.num_classes, max(2, most // 16))
    reading = {"batch_size": min(most, 256), "device": images.device}
    batches = list(data.loader(images.split, most=most, classes=classes, raw=True, **reading).epoch(0))
    pictures, labels = torch.cat([batch.images for batch in batches]), torch.cat([batch.labels for batch in batches])
    labels = torch.arange(len(labels), device=labels.device) if labels.is_floating_point() else labels
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(settings.seed)).to(images.device)
    return pictures[order], labels[order]


def exchange(collect: Callable[[], Features]) -> Features:
    """The features of all ranks, in the order of one rank; `collect` makes the features of this rank's share of each batch.

    All ranks call this. An error on one rank is raised on all, which would wait for that rank otherwise.
    """
    if distributed.size() == 1:
        return collect()
    own: Any = None
    try:
        own, error = collect(), None
    except Exception as caught:  # it is raised again below, once the others know
        error = caught
    told = distributed.gather_objects((_line(error), tuple(own.values) if own else (), own.sizes if own else ()))
    if error is not None:
        raise error
    for rank, (line, names, _) in enumerate(told):
        if line is not None:
            raise RuntimeError(f"rank {rank}: {line}")
        if names != told[0][1]:
            raise RuntimeError(f"rank {rank} measured other layers than rank 0 at the last analysis")
    order = _order([sizes for *_, sizes in told])
    values = {name: distributed.gather_rows(rows)[order] for name, rows in own.values.items()}
    sizes = tuple(sum(shares) for shares in zip(*(sizes for *_, sizes in told), strict=True))
    return dataclasses.replace(own, values=values, labels=distributed.gather_rows(own.labels)[order], sizes=sizes)


def _line(error: Exception | None) -> str | None:
    return None if error is None else first_line(error)


def _order(sizes: list[tuple[int, ...]]) -> torch.Tensor:
    """Places of the rows, one rank after the other, in the order of one rank; sizes[rank][batch] are the ranks' shares."""
    starts = torch.tensor([0, *(sum(own) for own in sizes)]).cumsum(0).tolist()
    places = [torch.arange(0)]
    for batch in zip(*sizes, strict=True):
        for rank, count in enumerate(batch):
            places.append(torch.arange(starts[rank], starts[rank] + count))
            starts[rank] += count
    return torch.cat(places)
