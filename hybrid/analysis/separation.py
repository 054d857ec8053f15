"""Separation: the distance from each sample to the nearest one of its own class and of another class.

A representation Φ separates the classes by ε if ‖Φx - Φx'‖ >= ε for all x, x' of different labels (Mallat 2016, "Understanding
deep convolutional networks"). That ε is the distance of a single pair. The quantiles of the distance to the nearest sample of
another class say which share of the samples keeps a larger ε.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from hybrid.analysis.checks import checked_features, checked_labels
from hybrid.analysis.nearest import Neighbours, nearest_neighbours, nearest_of_another_class
from hybrid.errors import UserError

_NEIGHBOURS = 31  # of a table made here: where it shows both kinds of neighbour, no further search is needed


@dataclass(frozen=True)
class Separation:
    """Distances of each of N samples, in the units of the features, exact as `nearest_neighbours`.

    same: (N,) float64, to the nearest other sample of the same class. other: (N,) float64, to the nearest sample of another
    class. nearest_is_same: (N,) bool, whether the nearest of all has the same label; of several at one distance the first
    decides.
    """

    same: Tensor
    other: Tensor
    nearest_is_same: Tensor

    def minimum(self) -> float:
        """The ε of the definition, which is the smallest distance between two samples of different classes."""
        return self.other.min().item()

    def quantiles(self, shares: Sequence[float]) -> tuple[float, ...]:
        """For each share, from 0 to 1, the ε that all but this share of the samples keep; interpolated linearly."""
        if not all(0 <= share <= 1 for share in shares):
            raise UserError(f"shares={list(shares)} is not valid: each must be between 0 and 1.")
        ordered = self.other.sort().values
        places = torch.tensor(list(shares), dtype=torch.float64, device=ordered.device) * (len(ordered) - 1)
        low, high = ordered[places.floor().long()], ordered[places.ceil().long()]
        return tuple((low + (high - low) * places.frac()).tolist())

    def cumulative(self, which: Literal["same", "other"], distances: Tensor) -> Tensor:
        """(n,) float64, the share of samples whose nearest of that kind is at most as far as each of `distances` (n,)."""
        if which not in ("same", "other"):
            raise UserError(f"which={which} is not valid: it is same or other.")
        ordered = (self.same if which == "same" else self.other).sort().values
        wanted = distances.to(ordered).contiguous()
        return torch.searchsorted(ordered, wanted, right=True).double() / len(ordered)

    def published(self) -> tuple[Tensor, Tensor]:
        """Distances to the nearest of all samples, ascending: of samples whose nearest has the same label, and of the others.

        The CVPR 2017 paper "Building a Regular Decision Boundary with Deep Networks" draws the distributions of these two
        groups. Each sample is in one group alone.
        """
        return self.same[self.nearest_is_same].sort().values, self.other[~self.nearest_is_same].sort().values


def class_separation(
    features: Tensor, labels: Tensor, *, neighbours: Neighbours | None = None, memory_bytes: int = 2**30
) -> Separation:
    """Distances to the nearest of the own class and of the others, for `features` (N, ...) with integer `labels` (N,).

    neighbours: the table of `nearest_neighbours(features, k)` with any k; it saves a search. Samples whose neighbours in it are
    all of one kind are searched again for the other kind, within `memory_bytes`. Raises UserError as `nearest_neighbours`
    does, for a single class, and for a class of one sample.
    """
    features = checked_features(features, finite=False).flatten(1)
    labels = checked_labels(labels, len(features)).to(features.device)
    classes, classed, sizes = labels.unique(return_inverse=True, return_counts=True)
    if len(classes) < 2:
        raise UserError("labels name one class: separation needs at least two.")
    if sizes.min() < 2:
        lonely = classes[sizes < 2].tolist()
        raise UserError(f"class {lonely[0]} has one sample ({len(lonely)} such classes): separation needs two of each.")
    if neighbours is None:
        neighbours = nearest_neighbours(features, min(_NEIGHBOURS, len(features) - 1), memory_bytes=memory_bytes)
    distances, indices = neighbours.checked(len(features), 1)
    is_same = classed[indices] == classed[:, None]
    same, other = (_first(distances, kind) for kind in (is_same, ~is_same))
    _search_same(features, classed, same, memory_bytes)
    missing = other.isinf().nonzero()[:, 0]
    if len(missing):
        other[missing] = nearest_of_another_class(features, classed, missing, memory_bytes=memory_bytes)
    return Separation(same, other, is_same[:, 0])


def _first(distances: Tensor, kind: Tensor) -> Tensor:
    """(N,) the first of the ascending (N, k) distances that is of the kind, infinite without one."""
    return distances.masked_fill(~kind, torch.inf).amin(1)


def _search_same(features: Tensor, classed: Tensor, same: Tensor, memory_bytes: int) -> None:
    """Fill in infinite distances to the own class, class by class."""
    for number in classed[same.isinf()].unique().tolist():
        members = (classed == number).nonzero()[:, 0]
        same[members] = nearest_neighbours(features[members], 1, memory_bytes=memory_bytes).distances[:, 0]
