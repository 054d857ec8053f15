"""The numbers that the kernels read, as one piece of memory that can stand at any address."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hybrid.scattering.cpu.source import Direction
from hybrid.scattering.cuda.source import LANES
from hybrid.scattering.filters import MorletBank, morlet_bank
from hybrid.scattering.tables import Plan, Settings, filter_weights, image_fold, source_positions

_ALIGNMENT = 16  # bytes
_POINTER = 8


@dataclass(frozen=True)
class Memory:
    """The bytes, with pointers counted from their beginning; where pointers stand; where tables begin, and an entry's size.

    first, second: a Fold for each filter. first_weights, second_weights: a Weights for each. positions: one Positions.
    """

    contents: np.ndarray
    pointers: np.ndarray
    begins: dict[str, tuple[int, int]]
    settings: Settings

    def offset(self, table: str, entry: int = 0) -> int:
        """In bytes."""
        begin, size = self.begins[table]
        return begin + entry * size

    def at(self, address: int) -> np.ndarray:
        """The bytes (uint8) as they must be at this address."""
        words = self.contents.copy().view(np.uint64)
        words[self.pointers // _POINTER] += np.uint64(address)
        return words.view(np.uint8)

    def plan(self, address: int) -> Plan:
        """What the kernels read of a plan: the low-pass is in the source, the filters come with each launch."""
        plan, settings = Plan(), self.settings
        plan.height, plan.width = settings.input_shape
        plan.angles, plan.order, plan.channels = settings.L, settings.max_order, settings.output_shape[0]
        for name in ("source_row", "source_column"):
            setattr(plan, name, address + self.offset(name))
        return plan


class _Builder:
    def __init__(self) -> None:
        self.parts: list[np.ndarray] = []
        self.size = 0
        self.pointers: list[int] = []

    def array(self, values: np.ndarray) -> int:
        """Where it will begin."""
        begin, raw = self.size, np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        padding = np.zeros(-len(raw) % _ALIGNMENT, np.uint8)
        self.parts += [raw, padding]
        self.size += len(raw) + len(padding)
        return begin

    def table(self, rows: list[list[int]]) -> tuple[int, int]:
        """An array of structures that are made of pointers: where it will begin, and the size of one."""
        words = np.array(rows, np.uint64)
        begin = self.array(words)
        self.pointers += range(begin, begin + words.nbytes, _POINTER)
        return begin, _POINTER * words.shape[-1]


def make_memory(settings: Settings, direction: Direction) -> Memory:
    """Everything that the kernels of one direction read."""
    builder, bank = _Builder(), morlet_bank(settings.J, settings.padded, settings.L, dtype=np.float32)
    sources = [source_positions(settings, axis) for axis in (0, 1)]
    begins = {
        name: (builder.array(source), source.itemsize)
        for name, source in zip(("source_row", "source_column"), sources, strict=True)
    }
    for name, spectra in zip(("first", "second"), _spectra(settings, bank), strict=True):
        begins[name] = builder.table([list(map(builder.array, image_fold(*spectrum, LANES))) for spectrum in spectra])
        if direction == "backward":
            weights = [list(map(builder.array, _weights(spectrum))) for spectrum, _ in spectra]
            begins[f"{name}_weights"] = builder.table(weights)
    if direction == "backward":
        begins["positions"] = builder.table([[builder.array(a) for source in sources for a in _positions(source)]])
    return Memory(np.concatenate(builder.parts), np.array(builder.pointers, np.int64), begins, settings)


def first_filter(settings: Settings, j: int, theta: int) -> int:
    """Its number in `first`."""
    return j * settings.L + theta


def second_filter(settings: Settings, j1: int, j2: int) -> int:
    """The number in `second` of the filter of scale j2 and angle 0 for maps of scale j1 < j2."""
    pairs = [(a, b) for a in range(settings.J) for b in range(a + 1, settings.J)]
    return pairs.index((j1, j2)) * settings.L


def _spectra(settings: Settings, bank: MorletBank) -> tuple[list[tuple[np.ndarray, int]], list[tuple[np.ndarray, int]]]:
    """The filters with the step by which each folds, in the order of `first_filter` and `second_filter`."""
    J, angles = settings.J, range(settings.L)
    first = [(bank.psi[j, 0][theta], 2**j) for j in range(J) for theta in angles]
    pairs = [(j1, j2) for j1 in range(J) for j2 in range(j1 + 1, J)] if settings.max_order == 2 else []
    return first, [(bank.psi[j2, j1][theta], 2 ** (j2 - j1)) for j1, j2 in pairs for theta in angles]


def _weights(spectrum: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(H, W / 2 + 1) twice: of the element itself, and of the conjugate that is not stored; 0 where it has none."""
    weights = filter_weights(spectrum)
    height, width = weights.shape
    half = width // 2 + 1
    conjugate = np.zeros((height, half), np.float32)
    columns = np.arange(1, width - half + 1)
    conjugate[:, columns] = weights[-np.arange(height) % height][:, width - columns]
    return np.ascontiguousarray(weights[:, :half]), conjugate


def _positions(source: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which padded positions show each pixel: those of pixel p are list[begin[p]:begin[p + 1]]."""
    begins = np.concatenate([[0], np.cumsum(np.bincount(source))])
    return begins.astype(np.int32), np.argsort(source, kind="stable").astype(np.int32)
