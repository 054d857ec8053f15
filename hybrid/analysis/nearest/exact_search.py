"""The search behind `nearest_neighbours`: candidates from matrix products, distances recomputed, every row proven.

1. Blocks of lower bounds on all distances, by float32 matrix products (`rounding`). The k + 9 smallest of a
   row are its candidates. Their distances are computed anew, by differences in float64. The row is proven if the largest
   bound among the candidates, below which no other point can be, exceeds the k-th distance found.
2. Rows that are not proven (cancellation, ties or duplicates at the edge of the candidates) know how far their k-th
   neighbour is at most. All points whose float64 lower bound does not exceed that are taken, however many, and their
   distances computed as before: nothing can be missing. Points with more than k identical ones before them can be nobody's
   neighbour, and are left out first: a constant layer costs no more than another one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from hybrid.analysis.nearest import compiled_search
from hybrid.analysis.nearest.rounding import (
    Frame,
    distance_error,
    ieee_products,
    point_side,
    product_error,
    query_side,
    square_roots,
    squared_distances,
    underflow_error,
)
from hybrid.analysis.nearest.smallest import first_copies, nearest_per_row, smallest
from hybrid.errors import UserError

_MARGIN = 9  # candidates above k: room for a few ties
_ROWS, _TILE = 128, 2048  # queries and points at a time on a CPU: 1 MiB of scores stays in the second-level cache
# Of either at a time if there is no cache to keep them in: on a GPU, or if each block prepares the points anew.
_MANY = 8192


@dataclass(frozen=True)
class Search:
    """Finds the k nearest of `points` (N, D) for each of `queries` (M, D), of any floating-point type.

    forbidden: (M, 2); for query i the points from forbidden[i, 0] to below forbidden[i, 1] do not count, and at least k others
    must be left. labels: (N,), needed if equal points may be forbidden to different queries, to tell them apart. memory_bytes:
    the most that is used beside the results: half for the prepared points, a quarter for scores, an eighth each for pairs
    and preparation.
    """

    points: Tensor
    queries: Tensor
    k: int
    memory_bytes: int
    forbidden: Tensor | None = None
    labels: Tensor | None = None

    @torch.no_grad()
    def run(self) -> tuple[Tensor, Tensor]:
        """(M, k) float64 distances, ascending, and (M, k) int64 indices; of equal distances the smaller index is first."""
        self._check_memory()
        frame = Frame.of(self.points, self.queries, rows=self.fitting)
        with ieee_products(self.points.device):
            kernel = compiled_search.kernel() if self.points.device.type == "cpu" else None
            if kernel and kernel.suits(self):
                distances, indices, limits = kernel.run(self, frame)
            else:
                distances, indices, limits = self._first_pass(frame)
            left = limits.isfinite().nonzero()[:, 0]
            if len(left):
                distances[left], indices[left] = self._second_pass(frame, left, limits[left])
        return distances, indices

    @property
    def wanted(self) -> int:
        """How many candidates a query has, where there are so many points."""
        return self.k + _MARGIN

    @property
    def fitting(self) -> int:
        """How many rows of D float64 numbers, each with four copies, fit an eighth of the memory."""
        return min(self.memory_bytes // 8 // (32 * (self.points.shape[1] + 2)), 65536)

    def _check_memory(self) -> None:
        points, dimension = self.points.shape
        needed = max(8 * 32 * (dimension + 2), 4 * self._row_bytes())
        if self.memory_bytes < needed:
            wanted = f"{points} points of {dimension} features need at least {needed}"
            raise UserError(f"memory_bytes={self.memory_bytes} is too little: {wanted}.")

    def _row_bytes(self) -> int:
        """Bytes for one query's scores, their minima, and the values that `smallest` gathers."""
        return 9 * len(self.points) + 1024 * (self.k + _MARGIN)

    def _first_pass(self, frame: Frame) -> tuple[Tensor, Tensor, Tensor]:
        """Distances, indices, and (M,) limits: infinite for a proven row, else the largest score that a neighbour can have."""
        points, dimension = self.points.shape
        dtype = torch.float32 if math.isfinite(product_error(dimension, torch.float32)) else torch.float64
        columns = _Columns(self, frame, dtype)
        rows = min(_MANY if columns.large else _ROWS, self.memory_bytes // 4 // self._row_bytes(), self.fitting)
        buffer = torch.empty(min(rows, len(self.queries)), points, dtype=dtype, device=self.points.device)
        results = []
        for block in torch.arange(len(self.queries), device=self.points.device).split(rows):
            left, squares = query_side(frame.centred(self.queries[block]), dtype)
            scores = buffer[: len(block)]
            for first, last, right in columns:
                torch.mm(left, right.T, out=scores[:, first:last])
            self._forbid(scores, block)
            bounds, candidates = smallest(scores, min(self.k + _MARGIN, points))
            distances, candidates = self._sorted(block, candidates)
            limit = _limit(distances[:, self.k - 1] * frame.scale, squares, dimension, dtype)
            proven = bounds.amax(1) > limit if bounds.shape[1] < points else torch.ones_like(limit, dtype=torch.bool)
            results.append((distances[:, : self.k], candidates[:, : self.k], limit.masked_fill(proven, math.inf)))
        return tuple(torch.cat(parts) for parts in zip(*results, strict=True))

    def _forbid(self, scores: Tensor, block: Tensor) -> None:
        """Set the scores of points that do not count for the query to infinity."""
        if self.forbidden is None:
            return
        intervals = self.forbidden[block]
        if self.labels is None:  # one point each
            scores.scatter_(1, intervals[:, :1], math.inf)
            return
        runs, lengths = intervals.unique_consecutive(dim=0, return_counts=True)
        row = 0
        for (first, last), length in zip(runs.tolist(), lengths.tolist(), strict=True):
            scores[row : row + length, first:last] = math.inf
            row += length

    def _sorted(self, block: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
        """(B, m) exact distances of the candidates, ascending, infinite if forbidden, and the candidates in that order."""
        candidates = candidates.sort(1).values  # ties by index: the next sort is stable
        distances = self._distances(block.repeat_interleave(candidates.shape[1]), candidates.flatten())
        distances = distances.view_as(candidates)
        if self.forbidden is not None:
            distances.masked_fill_(_inside(candidates, self.forbidden[block]), math.inf)
        distances, order = distances.sort(dim=1, stable=True)
        return distances, candidates.gather(1, order)

    def _distances(self, queries: Tensor, points: Tensor) -> Tensor:
        """(P,) exact distances between the queries and the points of these indices."""
        rows = min(self.fitting, 4096) if self.points.device.type == "cpu" else self.fitting
        pairs = zip(queries.split(rows), points.split(rows), strict=True)
        return square_roots(torch.cat([squared_distances(self.queries[a], self.points[b]) for a, b in pairs]))

    def _second_pass(self, frame: Frame, left: Tensor, limits: Tensor) -> tuple[Tensor, Tensor]:
        """Distances and indices of the queries `left` (R,), from every point whose score is within the limit (R,)."""
        index = first_copies(self.points, self.k + 1, labels=self.labels, rows=self.fitting)
        columns = _Columns(self, frame, torch.float64, index)
        rows = min(_ROWS, self.fitting)
        found = []
        for block, limit in zip(left.split(rows), limits.split(rows), strict=True):
            side, squares = query_side(frame.centred(self.queries[block]), torch.float64)
            nearest = (index[:0], index[:0], limits[:0])  # rows within the block, points, distances
            for first, last, right in columns:
                within = side @ right.T <= limit[:, None]
                if self.forbidden is not None:
                    within &= ~_inside(index[first:last], self.forbidden[block])
                row, column = within.nonzero().unbind(1)
                pairs = (row, index[first:last][column], self._distances(block[row], index[first:last][column]))
                nearest = nearest_per_row(*(torch.cat(both) for both in zip(nearest, pairs, strict=True)), self.k)
                if len(nearest[0]) == len(block) * self.k:  # what is found narrows down what is still wanted
                    farthest = nearest[2].view(-1, self.k)[:, -1] * frame.scale
                    limit = limit.minimum(_limit(farthest, squares, self.points.shape[1], torch.float64))
            found.append((nearest[2].view(-1, self.k), nearest[1].view(-1, self.k)))
        return tuple(torch.cat(parts) for parts in zip(*found, strict=True))


class _Columns:
    """The points as right factors of the products, tile by tile: (first, last, (last - first, D + 2)).

    Prepared once if half of the memory holds them, else at every iteration.
    """

    def __init__(self, search: Search, frame: Frame, dtype: torch.dtype, index: Tensor | None = None) -> None:
        self.points, self.index, self.frame, self.dtype = search.points, index, frame, dtype
        self.count = len(search.points) if index is None else len(index)
        gpu = search.points.device.type != "cpu"
        self.tile = min(_MANY if gpu else _TILE, search.fitting)
        needed = self.count * (search.points.shape[1] + 2) * dtype.itemsize
        self.prepared = [tile for *_, tile in self._tiles()] if needed <= search.memory_bytes // 2 else None
        self.large = gpu or self.prepared is None

    def __iter__(self) -> Iterator[tuple[int, int, Tensor]]:
        if self.prepared is None:
            yield from self._tiles()
            return
        for number, tile in enumerate(self.prepared):
            yield number * self.tile, number * self.tile + len(tile), tile

    def _tiles(self) -> Iterator[tuple[int, int, Tensor]]:
        for first in range(0, self.count, self.tile):
            last = min(first + self.tile, self.count)
            points = self.points[first:last] if self.index is None else self.points[self.index[first:last]]
            yield first, last, point_side(self.frame.centred(points), self.dtype)


def _limit(distance: Tensor, squares: Tensor, dimension: int, dtype: torch.dtype) -> Tensor:
    """(B,), the largest lower bound that a point not farther than `distance` can have, all errors included."""
    error = distance_error(dimension)
    most = distance.square() * (1 + error) + squares * error
    return (most - squares) / 2 + underflow_error(dimension, dtype)


def _inside(indices: Tensor, intervals: Tensor) -> Tensor:
    """Whether each of the (B, m) or (m,) indices lies in the row's interval, (B, 2)."""
    return (indices >= intervals[:, :1]) & (indices < intervals[:, 1:])
