"""The first pass of the exact search in C++: scores and the choice of candidates in one tile, then the exact distances.

`search.cpp` multiplies GROUP queries by one panel of points in registers, and compares the scores with a bound for each query.
Nearly all fall below it there, so that no block of scores is ever written to memory. A score is <x, y> - a(x) - a(y), the same
for both points of a pair (`rounding.negative_shares`). So a set that is searched in itself needs half of the products.

The library is made and kept as those of the transform are (`hybrid.scattering.compiled`). Before its first use here, its results
are compared with differences in float64.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import math
import threading
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hybrid.analysis.nearest.rounding import (
    Frame,
    distance_error,
    negative_shares,
    product_error,
    square_roots,
    squared_distances,
    underflow_error,
)
from hybrid.scattering.compiled import CompilerError
from hybrid.scattering.compiled.cache import cached_file, checksum
from hybrid.scattering.compiled.cpu.compiler import load_library, native_lanes

if TYPE_CHECKING:
    from hybrid.analysis.nearest.exact_search import Search

_log = logging.getLogger(__name__)
_building = threading.Lock()
_PRODUCTS = 10**10  # of one call into the library, after which Python may handle an interrupt
# bfloat16 is tried from so many points of so many features on. It is taken if it proves this share of so many of the rows.
_HALVES_FROM, _PROVEN, _PILOT = (4096, 128), 0.95, 192


class _Structure(ctypes.Structure):
    """A structure of search.cpp, which keeps the tensors that it points to."""

    tensors: tuple[Tensor | None, ...]

    def __init__(self, tensors: Sequence[Tensor | None], *numbers: float) -> None:
        super().__init__(*(0 if tensor is None else tensor.data_ptr() for tensor in tensors), *numbers)
        self.tensors = tuple(tensors)


class _Side(_Structure):
    """Points or queries in panels: coordinates, -a(x) and ‖x‖² (float64) of each. loss: the largest error by bfloat16."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("packed", "half", "squares")),
        *((name, ctypes.c_long) for name in ("count", "dimension", "halves")),
    )
    loss = 0.0


class _Candidates(_Structure):
    """Room for candidates of queries, and which points do not count for each."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("scores", "points", "kept", "bounds", "forbidden")),
        *((name, ctypes.c_long) for name in ("wanted", "capacity")),
    )

    @classmethod
    def of(cls, queries: int, wanted: int, forbidden: Tensor | None) -> _Candidates:
        capacity = _capacity(wanted)
        scores, points = torch.empty(queries, capacity), torch.empty(queries, capacity, dtype=torch.int32)
        kept, bounds = torch.zeros(queries, dtype=torch.int32), torch.full((queries,), -math.inf)
        return cls((scores, points, kept, bounds, forbidden), wanted, capacity)


class _Errors(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_double) for name in ("scale", "distance", "underflow"))


def _capacity(wanted: int) -> int:
    """Places for the candidates of a query: if those of one panel, 48 at most, might not fit any more, the best are chosen."""
    return 2 * wanted + 16 + 48


class Kernel:
    """The library of search.cpp. Raises CompilerError where it cannot be made."""

    def __init__(self) -> None:
        lanes = native_lanes()
        text = (files("hybrid.analysis.nearest") / "search.cpp").read_text()
        self.library = load_library(f"#define LANES {lanes}\n#define GROUP {lanes // 2}\n{text}", f"nearest{lanes}")
        self.library.panel_size.restype = self.library.rounds.restype = ctypes.c_long
        self.library.pack_float.restype = self.library.pack_double.restype = ctypes.c_double
        self.panel: int = self.library.panel_size()
        self.has_halves = bool(self.library.has_halves())

    def suits(self, search: Search) -> bool:
        """Whether the memory of the search is enough for this way, and float32 can bound scores of so many features."""
        count, dimension = search.points.shape
        copies = 0 if _given(search, search.points) else _number(search).itemsize
        needed = (count + self.panel) * (dimension * (4 + copies) + 12)
        enough = needed <= search.memory_bytes // 8 * 5 and self._block_rows(search, itself=False) > 0
        return enough and math.isfinite(product_error(dimension, torch.float32))

    def run(self, search: Search, frame: Frame) -> tuple[Tensor, Tensor, Tensor]:
        """(M, k) exact distances and indices of the best candidates, and (M,) limits as `Search._first_pass` gives them."""
        if self._may_take_halves(search):
            points = self._side(search.points, frame, halves=True)
            sample = torch.arange(0, len(search.points), max(1, len(search.points) // _PILOT))[:_PILOT]
            pilot = replace(search, queries=search.points[sample], forbidden=_rows(search.forbidden, sample))
            limits = self._blocks(pilot, frame, points)[2]
            if limits.isinf().double().mean() >= _PROVEN:
                return self._again(search, frame, *self._blocks(search, frame, points))
            del points
        return self._blocks(search, frame, self._side(search.points, frame))

    def _may_take_halves(self, search: Search) -> bool:
        """Whether products of bfloat16 numbers are possible, and may be worth the search of a sample that tells."""
        count, dimension = search.points.shape
        large = count >= _HALVES_FROM[0] and dimension >= _HALVES_FROM[1]
        return self.has_halves and large and self._is_itself(search)

    def _again(
        self, search: Search, frame: Frame, distances: Tensor, indices: Tensor, limits: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The results with the rows that bfloat16 has not proven searched in float32."""
        left = limits.isfinite().nonzero()[:, 0]
        if len(left):
            few = replace(search, queries=search.points[left], forbidden=_rows(search.forbidden, left))
            found = self._blocks(few, frame, self._side(search.points, frame))
            distances[left], indices[left], limits[left] = found
        return distances, indices, limits

    def _blocks(self, search: Search, frame: Frame, points: _Side) -> tuple[Tensor, Tensor, Tensor]:
        """The search with prepared points, a block of the queries at a time."""
        given, itself = _numbers(search, search.points), self._is_itself(search)
        rows = self._block_rows(search, itself=itself)
        wanted = search.wanted + points.halves * search.k // 2
        results = []
        for block in torch.arange(len(search.queries)).split(rows):
            numbers = given if itself else _numbers(search, search.queries[block[0] : block[-1] + 1])
            queries = points if itself else self._side(numbers, frame, halves=bool(points.halves), loss=points.loss)
            forbidden = _rows(search.forbidden, block)
            found = _Candidates.of(-(-len(block) // self.panel) * self.panel, wanted, forbidden)
            if itself:
                self._search_itself(points, found)
            else:
                self._search_points(queries, points, found)
            results.append(self._nearest(given, numbers, queries, search.k, found, frame))
        return tuple(torch.cat(parts) for parts in zip(*results, strict=True))

    def _is_itself(self, search: Search) -> bool:
        """Whether a set is searched in itself, and there is memory for the candidates of all."""
        return search.queries is search.points and len(search.points) <= self._block_rows(search, itself=True)

    def _block_rows(self, search: Search, *, itself: bool) -> int:
        """How many queries a quarter of the memory holds: candidates, results, and coordinates twice if they are no points."""
        row = 8 * _capacity(search.wanted + search.k // 2) + 64 + 12 * search.points.shape[1] * (not itself)
        return search.memory_bytes // 4 // row // self.panel * self.panel

    def _side(self, features: Tensor, frame: Frame, *, halves: bool = False, loss: float | None = None) -> _Side:
        """The features in panels. loss: that of the points among which these are."""
        features = features.to(torch.float64 if features.dtype == torch.float64 else torch.float32).contiguous()
        count, dimension = features.shape
        panels, packed_dimension = -(-count // self.panel), -(-dimension // (1 + halves))
        packed = torch.empty(panels, packed_dimension, self.panel)
        half, squares = torch.full((panels * self.panel,), -math.inf), torch.empty(count, dtype=torch.float64)
        side = _Side((packed, half, squares), count, packed_dimension, halves)
        arguments = (frame.centre, ctypes.c_double(frame.scale), ctypes.c_long(dimension), side)
        measured = self._call(f"pack_{_name(features)}", features, *arguments)
        if halves:
            side.loss = measured if loss is None else loss
        half[:count] = negative_shares(squares, dimension, side.loss)
        return side

    def _search_itself(self, points: _Side, found: _Candidates) -> None:
        rounds = self.library.rounds(ctypes.c_long(points.count), torch.get_num_threads())
        step = max(1, rounds * _PRODUCTS // (points.count**2 * points.dimension))
        for first in range(0, rounds, step):
            numbers = map(ctypes.c_long, (first, min(first + step, rounds)))
            self._call("search_itself", points, found, *numbers)

    def _search_points(self, queries: _Side, points: _Side, found: _Candidates) -> None:
        step = -(-_PRODUCTS // (queries.count * points.dimension * self.panel)) * self.panel
        for first in range(0, points.count, step):
            self._call("search_points", queries, points, found, *map(ctypes.c_long, (first, first + step)))

    def _nearest(
        self, points: Tensor, numbers: Tensor, queries: _Side, k: int, found: _Candidates, frame: Frame
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Distances, indices and limits of a block of queries, which are `numbers` as they are given."""
        count, dimension = numbers.shape
        distances, limits = torch.empty(count, k, dtype=torch.float64), torch.empty(count, dtype=torch.float64)
        indices = torch.empty(count, k, dtype=torch.int64)
        errors = _Errors(frame.scale, distance_error(dimension), underflow_error(dimension, torch.float32))
        sizes = map(ctypes.c_long, (dimension, k))
        self._call(
            f"nearest_{_name(points)}", points, numbers, queries, *sizes, found, errors, distances, indices, limits
        )
        return distances, indices, limits - queries.tensors[2] / 2  # a score of `Search` is half of ‖x‖² less

    def _call(self, name: str, *arguments: Tensor | ctypes.Structure | ctypes._SimpleCData) -> float:
        converted = [
            ctypes.c_void_p(argument.data_ptr()) if isinstance(argument, Tensor)
            else ctypes.byref(argument) if isinstance(argument, ctypes.Structure)
            else argument
            for argument in arguments
        ]  # fmt: skip
        return getattr(self.library, name)(*converted, ctypes.c_int(torch.get_num_threads()))


def _rows(forbidden: Tensor | None, rows: Tensor) -> Tensor | None:
    return None if forbidden is None else forbidden[rows].contiguous()


def _name(features: Tensor) -> str:
    return "double" if features.dtype == torch.float64 else "float"


def _number(search: Search) -> torch.dtype:
    """float32 if it holds all features as they are given, else float64."""
    double = torch.float64 in (search.points.dtype, search.queries.dtype)
    return torch.float64 if double else torch.float32


def _given(search: Search, features: Tensor) -> bool:
    """Whether the library can read the features where they are."""
    return features.dtype == _number(search) and features.is_contiguous()


def _numbers(search: Search, features: Tensor) -> Tensor:
    return features.to(_number(search)).contiguous()


def kernel() -> Kernel | None:
    """The checked library; None where it cannot be made, which is logged once."""
    with _building:
        return checked_kernel()


@functools.cache
def checked_kernel() -> Kernel | None:
    """The same for one thread of this process at a time."""
    try:
        made = Kernel()
        library = Path(made.library._name)
        cached_file(f"check-{library.stem}", f"{checksum(library)} {torch.__version__}", "txt", _Check(made))
    except CompilerError as error:
        _log.warning("nearest neighbours by torch, several times slower than by compiled code: %s", error)
        return None
    return made


class _Check:
    """Writes a file that says that the library is right. Raises CompilerError if it is not."""

    def __init__(self, made: Kernel) -> None:
        self.kernel = made

    def __call__(self, path: Path) -> None:
        check(self.kernel)
        path.write_text("equal to differences in float64\n")


@torch.no_grad()
def check(kernel: Kernel) -> None:
    """Compare neighbours with those by all differences in float64. Raises CompilerError if they are not equal."""
    from hybrid.analysis.nearest.exact_search import Search

    points = torch.randn(301, 19, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    place = torch.arange(301)
    itself = torch.stack([place, place + 1], 1)
    exact = square_roots(squared_distances(points[:, None], points[None]))
    wanted = exact.clone().fill_diagonal_(math.inf).sort(dim=1, stable=True)
    others = exact[:100].sort(dim=1, stable=True)
    searches = (
        (Search(points, points, 5, 2**20, forbidden=itself), wanted),
        (Search(points, points[:100].clone(), 5, 2**20), others),
    )
    for search, (distances, indices) in searches:
        frame = Frame.of(search.points, search.queries, rows=search.fitting)
        sides = [kernel._side(points, frame, halves=halves) for halves in range(1 + kernel.has_halves)]
        for side in sides[: 1 + (search.queries is points)]:
            found = kernel._blocks(search, frame, side)
            if not (torch.equal(found[0], distances[:, :5]) and torch.equal(found[1], indices[:, :5])):
                raise CompilerError("the compiled search finds other neighbours than differences in float64 do")
