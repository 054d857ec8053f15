"""Seconds for the boundary curves: one exact table of 31 neighbours, beside the released code's 30 fits of scikit-learn.

    python scripts/bench_boundary.py
    python scripts/bench_boundary.py samples=[2000,4000] dimension=32 spread=2 json=boundary.json

"ours" is nearest_neighbours(features, 31) and all four curves of it. "released" is the procedure that the curves were
published with: for k = 2 … 31 fit KNeighborsClassifier(n_neighbors=k) on all samples and predict those that all smaller k got
wrong, so its time depends on how many are left: `spread`, the distance of the class means in standard deviations of the noise,
sets that. "all" predicts every sample at each k, `all_samples=0` leaves it out (it is the slowest). Each size is measured
`repeats` times in turn, ours, released, ours, …, after one small call of ours; medians of the wall times, or with clock=cpu
of the processor times, which suffer less from other programs on the machine. The released counts must be equal. The features
are Gaussian classes, float32.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from measured_rows import write_rows
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from hybrid.analysis.boundary import boundary_counts, released_boundary_counts
from hybrid.analysis.nearest import nearest_neighbours
from hybrid.configuration.arguments import check_at_least, command, option
from hybrid.configuration.output_paths import check_file
from hybrid.errors import UserError, unknown_name

K_MAX = 30
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line may say."""

    samples: tuple[int, ...] = option(
        "numbers of samples, each twice the one before to show the growth", default=(2000, 4000, 8000)
    )
    ours_only: tuple[int, ...] = option("numbers of samples that only ours is measured at", default=())
    all_samples: int = option("largest number of samples at which `all` is measured too", default=4000)
    dimension: int = option("features per sample", default=64)
    classes: int = option("classes", default=10)
    spread: float = option("distance of two class means, in standard deviations of the noise", default=2.0)
    repeats: int = option("measurements of each", default=3)
    threads: int = option("threads of torch; scikit-learn's are those of OMP_NUM_THREADS", default=1)
    clock: str = option("wall, or cpu: the processor time of all threads", default="wall")
    seed: int = option("of the features", default=0)
    json: str | None = option("also write the rows to this file", default=None)

    def __post_init__(self) -> None:
        if not all(count > K_MAX + 1 for count in (*self.samples, *self.ours_only)):
            raise UserError(f"samples and ours_only must be larger than {K_MAX + 1}, the neighbours of each sample.")
        if not (self.samples or self.ours_only):
            raise UserError("samples and ours_only are both empty: nothing to measure.")
        check_at_least(self, 1, "dimension", "classes", "repeats", "threads")
        if self.clock not in CLOCKS:
            raise unknown_name(self.clock, CLOCKS, what="clock")
        check_file("json", self.json)


@command(Options)
def bench_boundary(options: Options) -> None:
    """Measure, print row by row, and write the JSON file if one is wanted."""
    torch.set_num_threads(options.threads)
    print(
        f"{'samples':>8} {'ours, s':>9} {'released, s':>12} {'ratio':>7} {'all, s':>9} {'ratio':>7} {'predicted':>10}"
    )
    rows = []
    for count in (*options.samples, *options.ours_only):
        rows.append(measure(count, options))
        print(line(rows[-1]), flush=True)
    write_rows(options, rows)


def measure(count: int, options: Options) -> dict[str, Any]:
    """Median seconds of each procedure at this many samples."""
    features, labels = make_features(count, options)
    tasks: dict[str, Callable[[], tuple[int, ...]]] = {"ours": lambda: ours(features, labels)}
    if count in options.samples:
        tasks["released"] = lambda: released(features, labels, everyone=False)
        if count <= options.all_samples:
            tasks["all"] = lambda: released(features, labels, everyone=True)
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    counts, clock = {}, CLOCKS[options.clock]
    nearest_neighbours(features[:100], 1)  # the library is loaded, or compiled
    for _ in range(options.repeats):
        for name, task in tasks.items():
            start = clock()
            counts[name] = task()
            seconds[name].append(clock() - start)
    if len(set(counts.values())) > 1:
        raise RuntimeError(f"the procedures disagree: {counts}")
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    predicted = (count + sum(counts["ours"][:-1])) / count  # how often all samples would have to be predicted
    return {"samples": count, "predicted": predicted, "seconds": medians, "counts": counts["ours"]}


def make_features(count: int, options: Options) -> tuple[Tensor, Tensor]:
    """(N, D) float32 Gaussian classes and their labels."""
    generator = torch.Generator().manual_seed(options.seed)
    labels = torch.randint(0, options.classes, (count,), generator=generator)
    means = torch.randn(options.classes, options.dimension, generator=generator)
    noise = torch.randn(count, options.dimension, generator=generator)
    return noise + means[labels] * options.spread / (2 * options.dimension) ** 0.5, labels


def ours(features: Tensor, labels: Tensor) -> tuple[int, ...]:
    """The table and every curve; the released one is returned to be compared."""
    neighbours = nearest_neighbours(features, K_MAX + 1)
    boundary_counts(features, labels, K_MAX, neighbours=neighbours)
    return released_boundary_counts(features, labels, K_MAX, neighbours=neighbours)


def released(features: Tensor, labels: Tensor, *, everyone: bool) -> tuple[int, ...]:
    """The released loop; with `everyone` it predicts all samples at each k."""
    train, targets = features.numpy(), labels.numpy()
    left, counts = targets >= 0, []
    for k in range(2, K_MAX + 2):
        model = KNeighborsClassifier(n_neighbors=k).fit(train, targets)
        asked = left | everyone
        if asked.any():
            wrong = left.copy()
            wrong[asked] = model.predict(train[asked]) != targets[asked]
            left = left & wrong
        counts.append(int(left.sum()))
    return tuple(counts)


def line(row: dict[str, Any]) -> str:
    """One row of the table; a dash where nothing was measured."""
    seconds = row["seconds"]
    text = f"{row['samples']:>8} {seconds['ours']:>9.2f}"
    for name, width in (("released", 12), ("all", 9)):
        if name in seconds:
            text += f" {seconds[name]:>{width}.2f} {seconds[name] / seconds['ours']:>7.1f}"
        else:
            text += f" {'-':>{width}} {'-':>7}"
    return text + f" {row['predicted']:>10.1f}"


if __name__ == "__main__":
    bench_boundary()
