"""The two questions that the exact search answers: the k nearest of all, and the nearest of another class."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hybrid.analysis.checks import checked_features
from hybrid.analysis.nearest.exact_search import Search
from hybrid.errors import UserError


class Neighbours(NamedTuple):
    """The k nearest of every sample, nearest first.

    distances: (M, k) float64 Euclidean distances. indices: (M, k) int64 positions among the searched samples.
    """

    distances: Tensor
    indices: Tensor

    def checked(self, samples: int, k: int) -> Neighbours:
        """This table. Raises UserError unless it has `samples` rows with at least k neighbours each."""
        rows, width = self.indices.shape
        if rows != samples or width < k:
            raise UserError(f"neighbours must be {samples} x {k} or wider: this table is {rows} x {width}.")
        return self


def nearest_neighbours(
    features: Tensor, k: int, *, queries: Tensor | None = None, memory_bytes: int = 2**30
) -> Neighbours:
    """The k nearest samples of `features` (N, ...): for each of them among the others, or for each of `queries` among all.

    Args:
        features: (N, ...) floating-point; they are flattened to (N, D).
        k: how many neighbours, from 1 to N - 1, or to N with queries.
        queries: (M, ...) with the same D, on the same device; None takes the features themselves, and M = N.
        memory_bytes: about so much is used beside features and result, on the device of the features.

    The result is that of brute force in float64: every distance is the square root of Σ_d (x_d - y_d)², each step in float64
    on the values as given, and neighbours are ordered by (distance, index). So it is the same for any block size, number of
    threads and device. Products of centred float32 matrices only choose which distances are worth computing. Their rounding
    error is bounded; if the bound does not prove that a row is complete (cancellation, ties, duplicates), the row is searched
    again with float64 products, which take every point that the bound cannot rule out. Time grows with N·M·D.
    Raises UserError for fewer than k samples to choose from, features that are not finite, and too little memory for one row.
    """
    features = _flattened(features, "features")
    searched = features if queries is None else _flattened(queries, "queries")
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
    return Neighbours(*Search(features, searched, int(k), int(memory_bytes), forbidden=itself).run())


def nearest_of_another_class(features: Tensor, labels: Tensor, samples: Tensor, *, memory_bytes: int = 2**30) -> Tensor:
    """(M,) float64 distances from `samples`, (M,) positions in `features` (N, D), to the nearest of another label (N,).

    Exact as `nearest_neighbours`, in one search in which each sample's own class is left out. Raises UserError as that does;
    every sample must have one of another class.
    """
    features = _flattened(features, "features")
    _, classed, sizes = labels.unique(return_inverse=True, return_counts=True)
    sorted_samples = classed[samples].argsort(stable=True)
    order, ends = classed.argsort(stable=True), sizes.cumsum(0)
    own = torch.stack([ends - sizes, ends], 1)[classed[samples[sorted_samples]]]
    queries = features[samples[sorted_samples]]
    search = Search(features[order], queries, 1, memory_bytes, forbidden=own, labels=classed[order])
    distances = torch.empty(len(samples), dtype=torch.float64, device=features.device)
    distances[sorted_samples] = search.run()[0][:, 0]
    return distances


def _flattened(features: Tensor, name: str) -> Tensor:
    """(N, D) features; whether they are finite is seen by the search, which reads them all."""
    return checked_features(features, name, finite=False).flatten(1)
