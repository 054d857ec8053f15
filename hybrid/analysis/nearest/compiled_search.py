"""The first pass of the exact search in C++: scores and the choice of candidates in one tile, then the exact distances.

`search.cpp` multiplies GROUP queries by one panel of points in registers, and compares the scores with a bound for each query.
Nearly all fall below it there, so that no block of scores is ever written to memory. A score is <x, y> - a(x) - a(y), the same
for both points of a pair (`rounding.pair_side`). So a set that is searched in itself needs half of the products.

The library is made and kept as those of the transform are (`hybrid.scattering.compiled`). Before its first use here, its results
are compared with differences in float64.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import math
import threading
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hybrid.analysis.nearest.rounding import Frame, pair_side, product_error, square_roots, squared_distances
from hybrid.scattering.compiled import CompilerError
from hybrid.scattering.compiled.cache import cached_file, checksum
from hybrid.scattering.compiled.cpu.compiler import load_library, native_lanes

if TYPE_CHECKING:
    from hybrid.analysis.nearest.exact_search import Search

_log = logging.getLogger(__name__)
_building = threading.Lock()
_PRODUCTS = 10**10  # of one call into the library, after which Python may handle an interrupt


class _Side(ctypes.Structure):
    """`Side` of search.cpp, and the tensors that it points to."""

    _fields_ = (("packed", ctypes.c_void_p), ("half", ctypes.c_void_p), ("count", ctypes.c_long))

    def __init__(self, packed: Tensor, half: Tensor, count: int) -> None:
        super().__init__(packed.data_ptr(), half.data_ptr(), count)
        self.tensors = (packed, half)


class _Candidates(ctypes.Structure):
    """`Candidates` of search.cpp for `queries` queries, of which it wants so many each, and the tensors that it points to."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("scores", "points", "kept", "bounds", "forbidden")),
        *((name, ctypes.c_long) for name in ("wanted", "capacity")),
    )

    def __init__(self, queries: int, wanted: int, forbidden: Tensor | None) -> None:
        capacity = _capacity(wanted)
        scores, points = torch.empty(queries, capacity), torch.empty(queries, capacity, dtype=torch.int32)
        kept = torch.zeros(queries, dtype=torch.int32)
        bounds = torch.full((queries,), -math.inf)
        self.tensors = (scores, points, kept, bounds, forbidden)
        pointers = [0 if tensor is None else tensor.data_ptr() for tensor in self.tensors]
        super().__init__(*pointers, wanted, capacity)


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
        self.panel: int = self.library.panel_size()

    def suits(self, search: Search) -> bool:
        """Whether the memory of the search is enough for this way, and float32 can bound scores of so many features."""
        count, dimension = search.points.shape
        copies = 0 if _given(search, search.points) else _number(search).itemsize
        needed = (count + self.panel) * (dimension * (4 + copies) + 4)
        few = self.panel * self._row_bytes(search)
        enough = needed <= search.memory_bytes // 2 and few <= search.memory_bytes // 4
        return enough and search.fitting >= self.panel and math.isfinite(product_error(dimension, torch.float32))

    def run(self, search: Search, frame: Frame, wanted: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """(B, k) exact distances and indices of the best candidates, and a (B,) lower bound, block by block of the queries.

        The bound holds for half of the squared distance, in units of the frame, of all points that are no candidates.
        """
        points = self._side(search.points, frame, search.fitting)
        given = _numbers(search, search.points)
        rows = search.memory_bytes // 4 // self._row_bytes(search) // self.panel * self.panel
        itself = search.queries is search.points and len(search.points) <= rows
        for block in torch.arange(len(search.queries)).split(rows):
            queries = search.queries[block[0] : block[-1] + 1]
            forbidden = None if search.forbidden is None else search.forbidden[block].contiguous()
            found = _Candidates(-(-len(block) // self.panel) * self.panel, wanted, forbidden)
            if itself:
                self._search_itself(points, search.points.shape[1], found)
            else:
                self._search_points(self._side(queries, frame, search.fitting), points, queries.shape[1], found)
            yield self._nearest(given, given if itself else _numbers(search, queries), search.k, found)

    def _row_bytes(self, search: Search) -> int:
        """Bytes for the candidates of one query, and its coordinates twice."""
        return 8 * _capacity(search.wanted) + 32 + 12 * search.points.shape[1]

    def _side(self, features: Tensor, frame: Frame, rows: int) -> _Side:
        """The features in panels, prepared `rows` at a time."""
        count, dimension = features.shape
        panels = -(-count // self.panel)
        packed, half = torch.zeros(panels, dimension, self.panel), torch.full((panels * self.panel,), -math.inf)
        rows = rows // self.panel * self.panel
        for first in range(0, count, rows):
            block, last = features[first : first + rows], min(first + rows, count)
            coordinates, half[first:last] = pair_side(frame.centred(block))
            whole = len(block) // self.panel
            panel = first // self.panel
            full = coordinates[: whole * self.panel].view(whole, self.panel, dimension)
            packed[panel : panel + whole] = full.transpose(1, 2)
            if rest := len(block) % self.panel:
                packed[panel + whole, :, :rest] = coordinates[-rest:].T
        return _Side(packed, half, count)

    def _search_itself(self, points: _Side, dimension: int, found: _Candidates) -> None:
        threads = torch.get_num_threads()
        rounds = self.library.rounds(ctypes.c_long(points.count), threads)
        step = max(1, rounds * _PRODUCTS // (points.count**2 * dimension))
        for first in range(0, rounds, step):
            numbers = map(ctypes.c_long, (first, min(first + step, rounds)))
            self._call("search_itself", points, ctypes.c_long(dimension), found, *numbers)

    def _search_points(self, queries: _Side, points: _Side, dimension: int, found: _Candidates) -> None:
        step = -(-_PRODUCTS // (queries.count * dimension * self.panel)) * self.panel
        for first in range(0, points.count, step):
            numbers = map(ctypes.c_long, (first, first + step))
            self._call("search_points", queries, points, ctypes.c_long(dimension), found, *numbers)

    def _nearest(self, points: Tensor, queries: Tensor, k: int, found: _Candidates) -> tuple[Tensor, Tensor, Tensor]:
        distances = torch.empty(len(queries), k, dtype=torch.float64)
        indices = torch.empty(len(queries), k, dtype=torch.int64)
        bounds = torch.empty(len(queries))
        name = f"nearest_{'float' if points.dtype == torch.float32 else 'double'}"
        numbers = map(ctypes.c_long, (*queries.shape, k))
        self._call(name, points, queries, *numbers, found, distances, indices, bounds)
        return distances, indices, -bounds.double()

    def _call(self, name: str, *arguments: Tensor | ctypes.Structure | ctypes.c_long) -> None:
        converted = [
            ctypes.c_void_p(argument.data_ptr()) if isinstance(argument, Tensor)
            else ctypes.byref(argument) if isinstance(argument, ctypes.Structure)
            else argument
            for argument in arguments
        ]  # fmt: skip
        getattr(self.library, name)(*converted, ctypes.c_int(torch.get_num_threads()))


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
        found = [torch.cat(parts) for parts in zip(*kernel.run(search, frame, search.wanted), strict=True)]
        if not (torch.equal(found[0], distances[:, :5]) and torch.equal(found[1], indices[:, :5])):
            raise CompilerError("the compiled search finds other neighbours than differences in float64 do")
