"""Random pairs of samples, half of them of one class, and the distances between the samples of a pair.

The features of early layers, which are not averaged, are too large to keep for many images. Distances are small, so take the
pairs in batches, run the model on both sides, and keep only the distances.

    pairs = sample_pairs(labels, 10_000, generator=torch.Generator().manual_seed(0))
    distances = [pair_distances(layer(images[a]), layer(images[b])) for a, b, _ in pairs.batches(256)]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Integral

import torch
from torch import Tensor

from hybrid.analysis.checks import checked_features, checked_labels
from hybrid.errors import UserError

_CACHED = 2**24  # bytes that stay near a CPU's caches: three times faster than blocks of 1 GiB


@dataclass(frozen=True)
class Pairs:
    """P pairs of samples.

    first, second: (P,) int64, the positions of the two samples. same_class: (P,) bool, whether they have the same label.
    """

    first: Tensor
    second: Tensor
    same_class: Tensor

    def __len__(self) -> int:
        return len(self.first)

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield (first, second, same_class) of `size` pairs at a time, in order."""
        return zip(self.first.split(size), self.second.split(size), self.same_class.split(size), strict=True)


def sample_pairs(labels: Tensor, count: int, *, generator: torch.Generator) -> Pairs:
    """Draw `count` different pairs uniformly: half within a class, half across classes, never a sample with itself.

    Args:
        labels: (N,) integers.
        count: at least 1. If there are too few pairs of one kind, more of the other are drawn; if there are fewer than
            `count` pairs in all, every pair is returned. (i, j) and (j, i) are one pair.
        generator: must be on the CPU, so that a seed gives the same pairs on every device.

    The pairs within a class come first. The result is on the device of the labels. Raises UserError for fewer than two
    samples or a count below 1.
    """
    labels = checked_labels(labels)
    if isinstance(count, bool) or not isinstance(count, Integral) or count < 1:
        raise UserError(f"count, the number of pairs, must be an integer of at least 1, got {count!r}")
    if len(labels) < 2:
        raise UserError(f"a pair needs two samples, got {len(labels)}")
    host = labels.cpu()
    by_class, classes = class_order(host)
    # In class order, a sample's partners of other classes stand before its class, those of its own class between that
    # place and itself: every pair is counted once, by its later sample.
    begins = torch.cat([torch.full((stop - start,), start) for start, stop in classes])
    inside = torch.arange(len(host)) - begins
    same = min(count // 2, int(inside.sum()))
    different = min(count - same, int(begins.sum()))
    same = min(count - different, int(inside.sum()))
    later, offset = _draw(inside, same, generator)
    other_later, other_earlier = _draw(begins, different, generator)
    first = by_class[torch.cat([begins[later] + offset, other_earlier])]
    second = by_class[torch.cat([later, other_later])]
    return Pairs(*(tensor.to(labels.device) for tensor in (first, second, host[first] == host[second])))


def pair_distances(first: Tensor, second: Tensor) -> Tensor:
    """Euclidean distance ‖first - second‖ of each pair: two tensors (P, ...) of one shape -> (P,) float64, on their device.

    The difference is taken before the square, so near pairs lose no digits; half precision is widened first.
    Raises UserError for different shapes, a type that is not floating-point, and values that are not finite.
    """
    first, second = checked_features(first), checked_features(second)
    if first.shape != second.shape:
        raise UserError(
            f"the two sides of the pairs have different shapes: {tuple(first.shape)}, {tuple(second.shape)}"
        )
    return _distances(first, second)


def distances_of(features: Tensor, pairs: Pairs, *, memory_bytes: int = 2**30) -> Tensor:
    """Distances of `pairs` of samples of features (N, ...): (P,) float64, made within about `memory_bytes` at a time.

    Raises UserError as `pair_distances` does, and for pairs of more than N samples.
    """
    features = checked_features(features)
    if len(pairs) and int(torch.maximum(pairs.first.max(), pairs.second.max())) >= len(features):
        raise UserError(f"the pairs are of more samples than the {len(features)} of the features")
    if features.device.type == "cpu":
        memory_bytes = min(memory_bytes, _CACHED)
    size = max(1, memory_bytes // (32 * max(1, features[:1].numel())))  # two sides, a difference, its float64 copy
    blocks = [
        _distances(features[first.to(features.device)], features[second.to(features.device)])
        for first, second, _ in pairs.batches(size)
    ]
    return torch.cat(blocks) if blocks else torch.zeros(0, dtype=torch.float64, device=features.device)


def _distances(first: Tensor, second: Tensor) -> Tensor:
    difference = _widened(first) - _widened(second)
    return torch.linalg.vector_norm(difference.flatten(1), dim=1, dtype=torch.float64)


def class_order(labels: Tensor) -> tuple[Tensor, list[tuple[int, int]]]:
    """Positions of the samples sorted by label (stable), and the (start, stop) of each class among them."""
    counts = torch.unique(labels, return_counts=True)[1].tolist()
    stops = torch.tensor(counts).cumsum(0).tolist()
    return labels.argsort(stable=True), [(stop - count, stop) for count, stop in zip(counts, stops, strict=True)]


def _draw(partners: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw `count` different pairs (sample, index of its partner), where sample i has partners[i] partners."""
    stops = partners.cumsum(0)
    total = int(stops[-1])
    numbers = _distinct(total, count, generator)
    sample = torch.searchsorted(stops, numbers, right=True)
    return sample, numbers - (stops - partners)[sample]


def _distinct(total: int, count: int, generator: torch.Generator) -> Tensor:
    """Draw `count` different integers below `total` in random order; they are listed only if half of them are wanted."""
    if 2 * count >= total:
        return torch.randperm(total, generator=generator)[:count]
    drawn = torch.zeros(0, dtype=torch.int64)
    while len(drawn) < count:
        more = torch.cat([drawn, torch.randint(total, (count - len(drawn),), generator=generator)])
        values, group = torch.unique(more, return_inverse=True)
        place = torch.full_like(values, len(more)).scatter_reduce_(0, group, torch.arange(len(more)), "amin")
        drawn = more[place.sort().values]  # the first of each value, in the order drawn
    return drawn


def _widened(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()
