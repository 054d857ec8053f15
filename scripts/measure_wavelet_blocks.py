"""What each block of a trained network of wavelets does to the classes, and how much of the network its second moments are.

    hybrid train experiment=cifar10_phase_collapse
    python scripts/measure_wavelet_blocks.py run=outputs/RUN
    python scripts/measure_wavelet_blocks.py run=outputs/RUN images=2000 seeds=3 json=blocks.json

The first table has Fisher's ratio (`hybrid.analysis.fisher_ratio`) of training images before and after the non-linearity of each
block. Features are means over space, so that a wavelet coefficient, whose mean is 0, counts only once its phase is gone. What
is printed is the ratio above its chance level.

The second has the accuracies on test images of the network, and of networks whose mixtures are drawn anew with the covariances
of the trained ones (`hybrid.models.rainbow`): with the trained linear layer, and with one that is trained anew on `images`
training images by L-BFGS. Complex mixtures have the first table alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from measured_rows import write_rows
from torch import Tensor, nn

import hybrid
from hybrid.analysis import fisher_ratio, observe
from hybrid.analysis.layers import layers_of
from hybrid.configuration.arguments import check_at_least, command, option
from hybrid.configuration.output_paths import check_file
from hybrid.errors import UserError
from hybrid.models.rainbow import resampled
from hybrid.models.wavelet_network import WaveletNetwork

_BATCH = 125


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line may say."""

    run: str = option("folder of a trained network of wavelets")
    images: int = option("training images", default=4000)
    test_images: int = option("test images", default=2000)
    aligned: int = option("of the training images, for the alignments", default=500)
    seeds: int = option("networks that are drawn", default=1)
    json: str | None = option("also write the rows to this file", default=None)

    def __post_init__(self) -> None:
        check_at_least(self, 10, "images", "test_images", "aligned")
        check_at_least(self, 1, "seeds")
        check_file("json", self.json)


@command(Options)
def measure_wavelet_blocks(options: Options) -> None:
    """Measure and print both tables."""
    run = hybrid.load_run(options.run, device="cpu")
    head = run.model.head
    if not isinstance(head, WaveletNetwork):
        raise UserError(f"run={options.run}: its head is a {type(head).__name__}, and a network of wavelets is wanted.")
    images, labels = _images(run, "train", options.images)
    rows = fisher_rows(run.model, images, labels)
    print(f"{'block':>6} {'before':>8} {'after':>8}   Fisher's ratio above chance")
    for row in rows:
        print(f"{row['block']:>6} {row['before']:>8.3f} {row['after']:>8.3f}", flush=True)
    if head.blocks[0].settings.projection == "real" and head.blocks[0].settings.concentrate == "none":
        rows += rainbow_rows(head, (images, labels), _images(run, "test", options.test_images), options)
    write_rows(options, rows)


def fisher_rows(model: nn.Module, images: Tensor, labels: Tensor) -> list[dict[str, Any]]:
    """A row a block: the ratios above chance of means over space; NaN where there are too few images for so many channels."""
    rows = []
    for number in range(len(model.head.blocks)):
        names = [f"head.blocks.{number}.{part}" for part in ("wavelets", "nonlinearity")]
        layers = layers_of(model, taps=names)
        means: dict[str, list[Tensor]] = {name: [] for name in names}
        for batch in images.split(_BATCH):
            found = observe(model, batch, layers, keep=lambda values, _layer: values.mean((2, 3)))
            for name in names:
                means[name].append(found[name])
        before, after = (_above_chance(torch.cat(means[name]), labels) for name in names)
        rows.append({"block": number, "before": before, "after": after})
    return rows


def _above_chance(features: Tensor, labels: Tensor) -> float:
    try:
        return fisher_ratio(features, labels).above_chance
    except UserError:
        return float("nan")


def rainbow_rows(
    head: WaveletNetwork, train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], options: Options
) -> list[dict[str, Any]]:
    """A row for the network, and one for each that is drawn."""
    print(f"\n{'network':>12} {'accuracy %':>11} {'new layer':>10}")
    rows = []
    for seed in (None, *range(options.seeds)):
        network = head
        if seed is not None:
            network = resampled(head, train[0][: options.aligned], torch.Generator().manual_seed(seed))
        known, unseen = (_features(network, images) for images in (train[0], test[0]))
        given = accuracy(network.classifier, unseen, test[1])
        anew = accuracy(trained_layer(known, train[1], network.classifier.out_features), unseen, test[1])
        rows.append({"network": "trained" if seed is None else f"drawn {seed}", "accuracy": given, "new_layer": anew})
        print(f"{rows[-1]['network']:>12} {given:>11.2f} {anew:>10.2f}", flush=True)
    return rows


def trained_layer(features: Tensor, labels: Tensor, classes: int, *, decay: float = 1e-3) -> nn.Linear:
    """A linear layer on features (N, D) by logistic regression with a ridge of decay / 2 · ‖W‖²."""
    layer = nn.Linear(features.shape[1], classes)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(layer(features), labels) + decay / 2 * layer.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return layer


@torch.no_grad()
def accuracy(layer: nn.Module, features: Tensor, labels: Tensor) -> float:
    """In %."""
    return 100 * (layer(features).argmax(1) == labels).double().mean().item()


@torch.no_grad()
def _features(network: WaveletNetwork, images: Tensor) -> Tensor:
    """What the linear layer takes, (N, D)."""
    found = [network.pool(network.norm(network.blocks(batch))).flatten(1) for batch in images.split(_BATCH)]
    return torch.cat(found)


def _images(run: hybrid.Run, split: str, count: int) -> tuple[Tensor, Tensor]:
    """Images as the network takes them, without augmentation, each class in proportion; and their labels."""
    loader = run.data.loader(split, batch_size=_BATCH, most=count)
    batches = list(loader.epoch(0))
    return tuple(torch.cat([getattr(batch, name) for batch in batches])[:count] for name in ("images", "labels"))


if __name__ == "__main__":
    measure_wavelet_blocks()
