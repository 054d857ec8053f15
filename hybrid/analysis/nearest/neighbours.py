"""Exact nearest neighbours: one table per layer, shared by boundary complexity, separation and the k-NN accuracies.

neighbours = nearest_neighbours(features, 31)
boundary_counts(features, labels, neighbours=neighbours)
separation(features, labels, neighbours=neighbours)
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hybrid.analysis.nearest.exact_search import Search
from hybrid.errors import UserError

_ROWS = 16384  # samples at a time where each needs a (k, k) table


class Neighbours(NamedTuple):
    """The k nearest of every sample, nearest first."""

    distances: Tensor
    """(M, k) float64 Euclidean distances."""
    indices: Tensor
    """(M, k) int64 places among the searched samples."""


def nearest_neighbours(
    features: Tensor, k: int, *, queries: Tensor | None = None, memory_bytes: int = 2**30
) -> Neighbours:
    """The k nearest of `features` (N, D), for each of them among the others, or for each of `queries` (M, D) among all.

    (N, ...) features are flattened. The result is that of brute force in float64: every distance is the square root of
    Σ_d (x_d - y_d)², each step in float64 on the values as given, and neighbours are ordered by (distance, index). So it is
    the same for any block size, number of threads and device. Products of centred float32 matrices only choose which
    distances are worth computing; their rounding error is bounded, and a row for which the bound does not prove that no
    other point can belong to it (cancellation, ties, duplicates) is searched again with float64 products, now taking every
    point that the bound cannot rule out.

    Time grows with N·M·D. Beside features and result at most about `memory_bytes` are used, on the device of the features.
    Raises UserError for fewer than k other samples, features that are not finite, or too little memory for one row.
    """
    features = checked_features(features)
    searched = features if queries is None else checked_features(queries, "queries")
    if queries is not None and (searched.shape[1] != features.shape[1] or searched.device != features.device):
        raise UserError(
            f"queries must have the {features.shape[1]} coordinates of features, on the same device: "
            f"they have {searched.shape[1]}, on {searched.device}."
        )
    most = len(features) - (queries is None)
    if not 1 <= k <= most:
        others = "other " if queries is None else ""
        raise UserError(
            f"k={k} is not valid: each of {len(searched)} samples has {most} {others}samples to choose from."
        )
    itself = None
    if queries is None:
        place = torch.arange(len(features), device=features.device)
        itself = torch.stack([place, place + 1], 1)
    return Neighbours(*Search(features, searched, k, memory_bytes, forbidden=itself).run())


def knn_accuracy(neighbours: Neighbours, train_labels: Tensor, test_labels: Tensor, k: int) -> float:
    """Percentage of test samples whose k nearest training samples vote for their label; a tie goes to the smallest label.

    `neighbours` are those of the test samples among the training samples, at least k of them:
    nearest_neighbours(train_features, k, queries=test_features). Uniform weights and ties as in scikit-learn's
    KNeighborsClassifier.
    """
    if not 1 <= k <= neighbours.indices.shape[1]:
        raise UserError(f"k={k} is not valid: the table holds {neighbours.indices.shape[1]} neighbours.")
    if len(test_labels) != len(neighbours.indices) or neighbours.indices.max() >= len(train_labels):
        raise UserError(
            f"{len(train_labels)} train_labels and {len(test_labels)} test_labels do not fit a table of "
            f"{len(neighbours.indices)} samples with neighbours up to {int(neighbours.indices.max())}."
        )
    right = 0
    for indices, labels in zip(neighbours.indices.split(_ROWS), test_labels.split(_ROWS), strict=True):
        votes = train_labels[indices[:, :k]].sort(1).values  # the first of the most frequent is the smallest of them
        count = (votes[:, :, None] == votes[:, None, :]).sum(2)
        right += (votes.gather(1, count.argmax(1, keepdim=True))[:, 0] == labels).sum().item()
    return 100 * right / len(test_labels)


def checked_features(features: Tensor, name: str = "features") -> Tensor:
    """(N, D) from (N, ...) floating features, at least one of each."""
    if not features.is_floating_point() or features.ndim < 2 or not features.numel():
        shape = tuple(features.shape)
        raise UserError(f"{name} must be a floating (N, D) tensor, not {features.dtype} of shape {shape}.")
    return features.detach().flatten(1)


def checked_labels(labels: Tensor, samples: int) -> Tensor:
    """(N,) int64 labels of that many samples."""
    if labels.dtype != torch.int64 or labels.shape != (samples,):
        shape = tuple(labels.shape)
        raise UserError(f"labels must be an int64 tensor of shape ({samples},), not {labels.dtype} of shape {shape}.")
    return labels


def checked_table(neighbours: Neighbours, samples: int, k: int) -> Neighbours:
    """A given table of that many samples among themselves, with at least k neighbours each."""
    rows, width = neighbours.indices.shape
    if rows != samples or width < k:
        raise UserError(f"neighbours must be {samples} x {k} or wider: this table is {rows} x {width}.")
    return neighbours
