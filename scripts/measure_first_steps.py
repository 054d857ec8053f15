"""Whether the heads train from the first step on: the training loss of a hundred steps at one or more learning rates.

    python scripts/measure_first_steps.py data=digits
    python scripts/measure_first_steps.py data=cifar10 models=[scat_linear,scat_mlp] rates=[auto,0.1,0.01]
    python scripts/measure_first_steps.py data=folder root=photos size=128 models=[scat_linear] batch=64

Trains on a few images without augmentation, by SGD with momentum 0.9, weight decay 5e-4 and a cosine. The coefficients are
computed once. A row says the first loss, the largest, the mean of the last tenth, and the accuracies of that tenth and of
validation images. A loss that grows far above the first one, or an accuracy like chance, means that the rate is too large.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import hybrid
from hybrid.configuration.arguments import check_at_least, command, option
from hybrid.training.averages import EarlyStatistics
from hybrid.training.optimizer import sgd

MODELS = (
    "scat_linear", "scat_mlp", "scat_cnn", "scat_sle", "scat_resnet", "scat_wrn", "wrn_16_8", "resnet18", "regular_cnn",
    "vgg16",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line may say."""

    data: str = option("a name of configs/data", default="digits")
    root: str | None = option("its folder", default=None)
    size: int | None = option("side of the images; null: the data's own", default=None)
    models: tuple[str, ...] = option("names of configs/model", default=MODELS)
    rates: tuple[str, ...] = option("learning rates: auto, or numbers", default=("auto",))
    images: int = option("training images, and validation images at most", default=500)
    batch: int = option("images of a step", default=32)
    steps: int = option("of a training", default=100)
    threads: int = option("of the CPU", default=1)

    def __post_init__(self) -> None:
        check_at_least(self, 1, "images", "batch", "steps", "threads")


@command(Options)
def main(options: Options) -> None:
    """Train each model at each rate, and print a row for each."""
    torch.set_num_threads(options.threads)
    settings: dict[str, Any] = {} if options.size is None else {"size": options.size}
    if options.data == "folder" and options.size is not None:
        settings["resize"] = round(options.size * 8 / 7)
    data = hybrid.load_data(
        options.data, root=options.root, augmentation="none", subset=options.images, validation=0.2, **settings
    )
    train, validation = (_whole(data, split, options.images) for split in ("train", "validation"))
    print(
        f"{'model':12} {'rate':>9} {'inputs':>7} {'first':>7} {'largest':>9} {'last':>7} {'train %':>8} {'val. %':>7}"
    )
    for name in options.models:
        for rate in options.rates:
            print(_row(name, rate, train, validation, data=data, options=options), flush=True)


def _whole(data: Any, split: str, most: int) -> tuple[Tensor, Tensor]:
    batches = list(data.loader(split, batch_size=64, most=most).epoch(0))
    return torch.cat([batch.images for batch in batches]), torch.cat([batch.labels for batch in batches])


def _row(name: str, rate: str, train: Any, validation: Any, *, data: Any, options: Options) -> str:
    torch.manual_seed(0)
    model = hybrid.build_model(name, image_shape=data.image_shape, num_classes=data.num_classes)
    with torch.no_grad():
        features, held_out = (
            torch.cat([model.frontend(part) for part in x.split(16)]) for x in (train[0], validation[0])
        )
        if model.needs_statistics:
            model.fit_normalization(features.split(64))
    rest = nn.Sequential(model.normalization, model.head).to(memory_format=torch.channels_last)
    optimizer = sgd(model, lr=rate if rate == "auto" else float(rate), weight_decay=5e-4, images=options.batch)
    lr = optimizer.defaults["lr"]
    losses, hits = _train(rest, optimizer, features, train[1], options)
    rest.eval()
    with torch.no_grad():
        right = torch.cat([rest(part).argmax(1) for part in held_out.split(32)]) == validation[1]
    tenth = -max(1, len(losses) // 10)
    last, hit = (sum(values[tenth:]) / -tenth for values in (losses, hits))
    numbers = f"{losses[0]:7.2f} {max(losses):9.3g} {last:7.3g} {100 * hit:8.1f} {100 * right.float().mean():7.1f}"
    return f"{name:12} {lr:9.2g} {features[0].numel():7} {numbers}"


def _train(
    model: nn.Module, optimizer: torch.optim.Optimizer, features: Tensor, labels: Tensor, options: Options
) -> tuple[list[float], list[float]]:
    """The loss and the accuracy of each step; it ends at a loss that is not finite."""
    generator, losses, hits = torch.Generator().manual_seed(1), [], []
    rate, order = optimizer.defaults["lr"], torch.empty(0, dtype=torch.int64)
    model.train()
    EarlyStatistics(model)
    for step in range(options.steps):
        if len(order) < options.batch:
            order = torch.randperm(len(features), generator=generator)
        rows, order = order[: options.batch], order[options.batch :]
        for group in optimizer.param_groups:
            group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * step / options.steps))
        outputs = model(features[rows])
        loss = F.cross_entropy(outputs, labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        hits.append((outputs.argmax(1) == labels[rows]).float().mean().item())
        if not math.isfinite(losses[-1]):
            break
    return losses, hits


if __name__ == "__main__":
    main()
