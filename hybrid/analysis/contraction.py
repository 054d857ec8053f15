"""Contraction: distances after a layer over distances before it, and the spread of each class.

    ratios = contraction_ratios(distances[0], distances[n], pairs.same_class)
    ratios.summary()["different"].expanded      # share of pairs of different classes that moved apart

A layer is contractive if ‖Φx - Φx'‖ ≤ ‖x - x'‖ for all pairs (Mallat 2016, "Understanding deep convolutional networks").
A scattering transform sampled every 2^J pixels has 4^J times fewer samples per path, so its norms are about 2^J times smaller
for that reason alone. Multiply it by 2^J before you compare it with pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hybrid.analysis.checks import as_tensor, checked_features, checked_labels
from hybrid.analysis.pairs import class_order
from hybrid.errors import UserError

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

# Distances are made in tiles of so many rows and so many elements: on a CPU they stay in its cache.
_ROWS, _CPU_TILE, _DEVICE_TILE = 256, 2**18, 2**26


@dataclass(frozen=True)
class RatioSummary:
    """A group of ratios in a few numbers; they are NaN, with count 0, for an empty group.

    expanded: the share of pairs whose ratio is above 1, from 0 to 1. quantiles: level -> ratio, interpolated linearly.
    """

    count: int
    mean: float
    expanded: float
    quantiles: dict[float, float]


@dataclass(frozen=True)
class ContractionRatios:
    """Output distance over input distance of pairs of samples.

    same: (S,) float64, of pairs within a class. different: (D,) float64, of pairs across classes. zero_input: how many pairs
    are left out because their input distance is 0 (two copies of an image, for example). tolerance: a pair counts as
    expanded above 1 + tolerance.
    """

    same: Tensor
    different: Tensor
    zero_input: int
    tolerance: float

    def summary(self, levels: Sequence[float] = QUANTILES) -> dict[str, RatioSummary]:
        """Mean, quantiles and share of expanded pairs of the groups "same", "different" and "all"."""
        groups = {"same": self.same, "different": self.different, "all": torch.cat([self.same, self.different])}
        return {name: _summary(ratios.cpu(), levels, self.tolerance) for name, ratios in groups.items()}


@dataclass(frozen=True)
class ClassDistances:
    """Mean Euclidean distances over all pairs of samples, within each class and between classes.

    classes: (K,), the labels, ascending. counts: (K,), how many samples each class has. within: (K,) float64, the mean
    distance within each class. mean_within: the mean over all pairs within a class. mean_between: over all pairs across
    classes.
    """

    classes: Tensor
    counts: Tensor
    within: Tensor
    mean_within: float
    mean_between: float

    @property
    def ratio(self) -> float:
        """mean_within / mean_between. It is below 1 if samples of one class are nearer to each other than to the others."""
        return self.mean_within / self.mean_between

    @property
    def released(self) -> Tensor:
        """(K,) float64, the figure that the released code of Oyallon (2017) computes for each class.

        It is the sum over ordered pairs, which counts each pair twice, divided by n²/2. That is 2 (n - 1) / n times the mean
        distance, so about twice the mean for large classes.
        """
        return 2 * (1 - 1 / self.counts.double()) * self.within


def contraction_ratios(
    input_distances: Tensor, output_distances: Tensor, same_class: Tensor, *, tolerance: float = 1e-5
) -> ContractionRatios:
    """Output distance over input distance of each of P pairs; the input may be the pixels or any earlier layer.

    Args:
        input_distances: (P,), from `pair_distances`, of the pixels or an earlier layer.
        output_distances: (P,), from `pair_distances`, of the layer.
        same_class: (P,) bool, from `sample_pairs`.
        tolerance: how far above 1 a ratio must be to count as an expansion. float32 distances of an isometry are off by
            about 1e-6.

    Raises UserError for shapes that differ, distances that are negative or not finite, and inputs that are all at distance 0.
    """
    input_distances = as_tensor(input_distances, "input_distances")
    output_distances, same_class = as_tensor(output_distances, "output_distances"), as_tensor(same_class, "same_class")
    _check_distances(input_distances, output_distances, same_class)
    before, after = input_distances.double(), output_distances.to(input_distances.device).double()
    same_class = same_class.to(before.device)
    apart = before > 0
    left_out = len(before) - int(apart.sum())
    if left_out == len(before):
        raise UserError(
            f"all {left_out} pairs have input distance 0: the inputs are constant, nothing can be contracted"
        )
    ratios = after / before.where(apart, 1)
    return ContractionRatios(ratios[apart & same_class], ratios[apart & ~same_class], left_out, tolerance)


def class_distances(features: Tensor, labels: Tensor, *, memory_bytes: int = 2**30) -> ClassDistances:
    """Exact mean distances over all pairs of N samples, from features (N, ...), which are flattened, and labels (N,) integers.

    Tiles of distances, of at most `memory_bytes`, come from matrix products in float64 on centred features; distances below
    about 1e-8 of the spread of a class are rounding. The features are copied in float64 beside them. It takes N²·D flops.
    Raises UserError for features that are not finite or all equal, fewer than two classes, and a class with one sample.
    """
    features = checked_features(features).flatten(1)
    labels = checked_labels(labels, len(features)).to(features.device)
    order, bounds = class_order(labels)
    starts = [start for start, _ in bounds]
    classes, counts = labels[order[starts]], torch.tensor([stop - start for start, stop in bounds])
    if len(bounds) < 2:
        raise UserError(f"distances between classes need two classes, got {len(bounds)}")
    if int(counts.min()) < 2:
        alone = int(classes[int(counts.argmin())])
        raise UserError(f"class {alone} has one sample: distances within a class need two")
    if bool((features == features[:1]).all()):
        raise UserError("all features are equal: there is no distance between classes to compare with")
    ordered = features[order].double()
    ordered -= ordered.mean(0)
    groups = [ordered[start:stop] for start, stop in bounds]
    within = torch.stack([_sum_within(group - group.mean(0), memory_bytes) for group in groups])
    between = sum(_sum_across(ordered[a:b], ordered[b:], memory_bytes) for a, b in bounds[:-1])
    same_pairs = (counts * (counts - 1) / 2).double()
    other_pairs = len(labels) * (len(labels) - 1) / 2 - float(same_pairs.sum())
    return ClassDistances(
        classes=classes.cpu(),
        counts=counts,
        within=within.cpu() / same_pairs,
        mean_within=float(within.sum()) / float(same_pairs.sum()),
        mean_between=float(between) / other_pairs,
    )


def _summary(ratios: Tensor, levels: Sequence[float], tolerance: float) -> RatioSummary:
    if len(ratios) == 0:
        return RatioSummary(0, float("nan"), float("nan"), {level: float("nan") for level in levels})
    ordered = ratios.sort().values  # torch.quantile takes at most 16 million values
    place = torch.tensor(levels, dtype=torch.float64) * (len(ordered) - 1)
    values = torch.lerp(ordered[place.floor().long()], ordered[place.ceil().long()], place.frac()).tolist()
    expanded = float((ratios > 1 + tolerance).double().mean())
    return RatioSummary(len(ratios), float(ratios.mean()), expanded, dict(zip(levels, values, strict=True)))


def _check_distances(before: Tensor, after: Tensor, same_class: Tensor) -> None:
    if before.ndim != 1 or not before.shape == after.shape == same_class.shape or len(before) == 0:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in (before, after, same_class))
        raise UserError(f"distances and same_class must be (P,) with one P ≥ 1, got {shapes}")
    if same_class.dtype != torch.bool:
        raise UserError(f"same_class must be bool, got {str(same_class.dtype).removeprefix('torch.')}")
    for name, distances in (("input", before), ("output", after)):
        if not bool((torch.isfinite(distances) & (distances >= 0)).all()):
            raise UserError(f"the {name} distances must be finite and at least 0")


def _sum_within(group: Tensor, memory_bytes: int) -> Tensor:
    """Sum of the distances over the pairs of a group (n, D)."""
    total = group.new_zeros(())
    for start in range(0, len(group), _ROWS):
        block, rest = group[start : start + _ROWS], group[start + _ROWS :]
        total += torch.pdist(block).sum() + _sum_across(block, rest, memory_bytes)
    return total


def _sum_across(first: Tensor, second: Tensor, memory_bytes: int) -> Tensor:
    """Sum of the distances from all samples of one group to all samples of the other."""
    total, squares = first.new_zeros(()), second.square().sum(1)
    elements = min(
        memory_bytes // 16, _CPU_TILE if first.device.type == "cpu" else _DEVICE_TILE
    )  # two float64 tiles live
    columns = max(1, elements // _ROWS)
    for rows in first.split(_ROWS):
        lengths = rows.square().sum(1, keepdim=True)
        for start in range(0, len(second), columns):
            part = slice(start, start + columns)
            distances = torch.addmm(squares[part], rows, second[part].T, alpha=-2).add_(lengths)
            total += distances.clamp_(min=0).sqrt_().sum()
    return total
