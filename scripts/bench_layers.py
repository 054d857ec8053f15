"""Seconds of each measure of an analysis for one layer of many images: which one takes the time of `preset=full`.

    python scripts/bench_layers.py
    python scripts/bench_layers.py samples=50000 dimension=32 layers=12 threads=2

The features are Gaussian classes, float32, and are standardised first, as those of every layer are; the neighbours are those of
the boundary counts up to k = 30. Wall time and processor time are medians over the layers, which have different features, and
their sums are the time of all layers. Reading images and the network's forward are not in it, nor probes and Jacobians.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hybrid.analysis.boundary import boundary_counts
from hybrid.analysis.contraction import class_distances
from hybrid.analysis.features import Standardizer
from hybrid.analysis.nearest import nearest_neighbours
from hybrid.analysis.separation import class_separation
from hybrid.analysis.spectra import class_spectra
from hybrid.configuration.arguments import check_at_least, command, option

_NEIGHBOURS = 30
Times = dict[str, list[tuple[float, float]]]


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command line."""

    samples: int = option("images", default=50_000)
    dimension: int = option("features of an image", default=32)
    layers: int = option("layers", default=12)
    classes: int = option("classes", default=10)
    threads: int = option("threads of torch", default=1)

    def __post_init__(self) -> None:
        check_at_least(self, 1, "dimension", "layers", "threads")
        check_at_least(self, 2, "classes")
        check_at_least(self, 100, "samples")


@command(Options)
def bench_layers(options: Options) -> None:
    """Measure every layer, and print the medians of the measures and their sums over the layers."""
    torch.set_num_threads(options.threads)
    times: Times = {}
    for layer in range(options.layers):
        features, labels = make_features(options, seed=layer)
        if not layer:
            nearest_neighbours(features[:100], 1)  # the library is loaded, or compiled
        measure(features, labels, times)
    print(f"{'seconds':<14}    wall  processor")
    for name, values in times.items():
        wall, processor = (statistics.median(column) for column in zip(*values, strict=True))
        print(f"{name:<14}  {wall:6.2f}  {processor:9.2f}")
    sums = [sum(pair[k] for values in times.values() for pair in values) for k in (0, 1)]
    print(f"{f'{options.layers} layers':<14}  {sums[0]:6.1f}  {sums[1]:9.1f}")


def make_features(options: Options, *, seed: int) -> tuple[Tensor, Tensor]:
    """(N, D) float32 Gaussian classes that overlap, and their labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(options.classes, (options.samples,), generator=generator)
    means = torch.randn(options.classes, options.dimension, generator=generator) / 4
    return torch.randn(options.samples, options.dimension, generator=generator) + means[labels], labels


def measure(features: Tensor, labels: Tensor, times: Times) -> None:
    """Make the measures of one layer, in the order of an analysis, and note their times."""

    def timed(name: str, task: Callable[[], Any]) -> Any:
        wall, processor = time.perf_counter(), time.process_time()
        result = task()
        times.setdefault(name, []).append((time.perf_counter() - wall, time.process_time() - processor))
        return result

    values = timed("standardize", lambda: Standardizer.fit(features)(features))
    timed("classes", lambda: class_distances(values, labels))
    timed("spectra", lambda: class_spectra(values, labels))
    table = timed("neighbours", lambda: nearest_neighbours(values, _NEIGHBOURS))
    timed("separation", lambda: class_separation(values, labels, neighbours=table))
    timed("boundary", lambda: boundary_counts(values, labels, _NEIGHBOURS, neighbours=table))


if __name__ == "__main__":
    bench_layers()
