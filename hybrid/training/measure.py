"""An analysis of a network on a data set, the forward passes shared among the ranks of a run."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from hybrid import distributed
from hybrid.analysis.analyse import analyse
from hybrid.analysis.report import Report
from hybrid.analysis.settings import AnalysisSettings
from hybrid.data import Data
from hybrid.training.shared_features import exchange


def measure(
    model: nn.Module,
    data: Data,
    settings: AnalysisSettings,
    *,
    device: torch.device,
    batch_size: int,
    split: str = "train",
    test_split: str | None = None,
    earlier: Report | None = None,
    say: Callable[[str], None] = lambda text: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Report:
    """`analyse` on a data set: images of `split`, none augmented, and of `test_split` for the probes.

    Several ranks share the forward passes, and each makes all measurements of all features: none would have anything else to do.
    """
    shares = distributed.own_shares(accumulation=1)
    chosen = {"batch_size": batch_size, "device": device, "classes": settings.classes, "shares": shares}
    train = data.loader(split, most=settings.images, **chosen).epoch(0)
    test = data.loader(test_split, most=settings.test_images, **chosen).epoch(0) if test_split else None
    return analyse(
        model,
        train,
        sample=image_sample(data, split, settings, device=device),
        test=test,
        preprocessing=copy.deepcopy(data.preprocessing).to(device),  # moving the original would move everybody's
        settings=settings,
        earlier=earlier,
        exchange=exchange,
        say=say,
        should_stop=should_stop,
    )


def image_sample(
    data: Data, split: str, settings: AnalysisSettings, *, device: torch.device
) -> tuple[Tensor, Tensor] | None:
    """Raw images and labels for what is measured image by image, in an order drawn by the analysis's seed; or None."""
    counts = {"contraction": settings.pair_images, "jacobian": settings.jacobian_images}
    counts["stability"] = settings.stability_images if settings.stability else 0
    most = max((count for measure, count in counts.items() if measure in settings.measures), default=0)
    if not most:
        return None
    # few enough classes that there are pairs of the same one
    classes = min(settings.classes or data.num_classes, max(2, most // 16))
    loader = data.loader(split, batch_size=min(most, 256), device=device, most=most, classes=classes, raw=True)
    batches = list(loader.epoch(0))
    images, labels = torch.cat([batch.images for batch in batches]), torch.cat([batch.labels for batch in batches])
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(settings.seed)).to(device)
    return images[order], labels[order]
