"""Boundary complexity: how many samples have a majority of wrong labels among their k nearest, for k = 1, 2, …

Oyallon, "Building a Regular Decision Boundary with Deep Networks" (CVPR 2017), calls them local support vectors Γ^k: the
faster their number falls with k, the more regular the boundary between the classes, and the deeper the layer, the lower the
curve. Neighbours are those of the training samples among themselves, a sample never being its own neighbour.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hybrid.analysis.checks import checked_features, checked_labels
from hybrid.analysis.nearest import Neighbours, nearest_neighbours
from hybrid.errors import UserError

_ROWS = 4096  # samples at a time: their tables of labels and votes stay in a cache


@dataclass(frozen=True)
class BoundaryCounts:
    """How many of `samples` samples are boundary samples, for k = 1 … k_max: three curves of k_max integers.

    Let w_k(x) be the number of labels other than x's among the first k neighbours of x. Then

    nested     is |Γ^k|, with Γ^k = {x in Γ^(k-1) : w_k(x) > k / 2} and Γ^0 all samples. It never increases.
    plain      is |{x : w_k(x) > k / 2}|: the same without memory of smaller k.
    plurality  is |{x : some wrong label has strictly more of the k votes than x's own}|. It equals plain for two classes. A
               tie is no error, so that the numbering of the classes has no effect.
    """

    samples: int
    k_max: int
    nested: tuple[int, ...]
    plain: tuple[int, ...]
    plurality: tuple[int, ...]


def boundary_counts(
    features: Tensor,
    labels: Tensor,
    k_max: int = 30,
    *,
    neighbours: Neighbours | None = None,
    memory_bytes: int = 2**30,
) -> BoundaryCounts:
    """The boundary complexity of `features` (N, ...) with integer `labels` (N,), for k = 1 … `k_max`.

    neighbours: the table of `nearest_neighbours(features, k)` with k >= k_max, which saves the search; None makes it within
    `memory_bytes`. Raises UserError as `nearest_neighbours` does, and if no class has two samples, because every sample would
    then be a boundary sample.
    """
    labels, neighbours = _checked(features, labels, k_max, neighbours, memory_bytes)

    def memberships(own: Tensor, others: Tensor) -> Tensor:
        wrong = others != own
        majority = 2 * _running(torch.add, wrong) > torch.arange(1, k_max + 1, device=own.device)[:, None]
        plurality = _running(torch.maximum, _wrong_votes(others, wrong)) > _running(torch.add, ~wrong)
        return torch.stack([_running(torch.minimum, majority), majority, plurality])

    nested, plain, plurality = _counts(labels, neighbours, k_max, memberships)
    return BoundaryCounts(len(labels), k_max, nested, plain, plurality)


def released_boundary_counts(
    features: Tensor,
    labels: Tensor,
    k_max: int = 30,
    *,
    neighbours: Neighbours | None = None,
    memory_bytes: int = 2**30,
) -> tuple[int, ...]:
    """The k_max counts of the code released with the paper, for comparison with its curves; arguments as `boundary_counts`.

    For k = 1 … `k_max` that code fits scikit-learn's KNeighborsClassifier(n_neighbors=k + 1) on all samples, and of the samples
    that are left it keeps those that the classifier gets wrong. Each sample is its own first neighbour and votes for itself,
    and a tie goes to the smallest label. So the counts depend on the numbering of the classes, and about half of Γ^1 is lost
    for good at k = 1. Here a sample is its own first neighbour even if a duplicate has a smaller index; scikit-learn does not
    specify which of several points at one distance it takes.
    """
    labels, neighbours = _checked(features, labels, k_max, neighbours, memory_bytes)

    def memberships(own: Tensor, others: Tensor) -> Tensor:
        wrong = others != own
        # Votes are doubled, and one more goes to labels below the own one: they win a tie.
        rivals = _running(torch.maximum, 2 * _wrong_votes(others, wrong) + (others < own))
        return _running(torch.minimum, rivals > 2 * (_running(torch.add, ~wrong) + 1))[None]

    return _counts(labels, neighbours, k_max, memberships)[0]


def _checked(
    features: Tensor, labels: Tensor, k_max: int, neighbours: Neighbours | None, memory_bytes: int
) -> tuple[Tensor, Neighbours]:
    """The labels and the table of neighbours, checked; the table is made where none is given."""
    features = checked_features(features, finite=False)  # the search looks at that
    labels = checked_labels(labels, len(features)).to(features.device)
    if k_max < 1:
        raise UserError(f"k_max={k_max} is not valid: it must be at least 1.")
    if labels.unique(return_counts=True)[1].max() < 2:
        raise UserError("labels give every class one sample: boundary complexity needs classes of several.")
    if neighbours is None:
        return labels, nearest_neighbours(features, k_max, memory_bytes=memory_bytes)
    return labels, neighbours.checked(len(features), k_max)


def _wrong_votes(others: Tensor, wrong: Tensor) -> Tensor:
    """(k, n) int32: how many of the neighbours up to this one have its label; 0 if that is the sample's own label.

    Only the label of the k-th neighbour gains a vote at k, so a running maximum of these is the best wrong label's votes,
    whatever the number of classes.
    """
    votes = torch.zeros_like(others)
    for place, other in enumerate(others):
        votes[place:] += others[place:] == other
    return votes.mul_(wrong)


def _running(combine: Callable[[Tensor, Tensor], Tensor], table: Tensor) -> Tensor:
    """Each row of (k, n) combined with all rows before it; sums of booleans are int32."""
    table = table.int() if combine is torch.add else table.clone()
    for before, row in zip(table[:-1], table[1:], strict=True):
        combine(before, row, out=row)
    return table


def _counts(
    labels: Tensor, neighbours: Neighbours, k_max: int, memberships: Callable[[Tensor, Tensor], Tensor]
) -> list[tuple[int, ...]]:
    """How many samples belong to each curve, for k = 1 … k_max; memberships(own (n,), neighbours' (k, n)) is (curves, k, n)."""
    classed = labels.unique(return_inverse=True)[1].int()  # in the order of the labels
    blocks = zip(classed.split(_ROWS), neighbours.indices[:, :k_max].split(_ROWS), strict=True)
    total = sum(memberships(own, classed[indices].T.contiguous()).sum(2) for own, indices in blocks)
    return [tuple(curve) for curve in total.tolist()]
