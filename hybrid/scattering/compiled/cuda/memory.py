"""The numbers that the kernels read, in one piece of memory that works at any address."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hybrid.scattering.compiled.cuda.source import LANES
from hybrid.scattering.compiled.source_parts import Direction
from hybrid.scattering.compiled.tables import Plan, filter_weights, image_fold, source_positions
from hybrid.scattering.filters import MorletBank, morlet_bank
from hybrid.scattering.geometry import Settings

_ALIGNMENT = 16  # bytes
_POINTER = 8


@dataclass(frozen=True)
class Memory:
    """The bytes, with pointers counted from their beginning; where pointers stand; where tables begin, and an entry's size.

    first, second: a Filter (device.cu) for each. weights j and weights j1 j2: for each element of a half spectrum and each angle,
    what `_weights` says. positions: one Positions (backward.cu).
    """

    contents: np.ndarray
    pointers: np.ndarray
    begins: dict[str, tuple[int, int]]
    settings: Settings

    def at(self, address: int) -> np.ndarray:
        """Return the bytes (uint8) for memory that begins at this address."""
        words = self.contents.copy().view(np.uint64)
        words[self.pointers // _POINTER] += np.uint64(address)
        return words.view(np.uint8)

    def plan(self, address: int) -> Plan:
        """Return the part of a plan that kernels read: the low-pass is in the source, the filters come with each launch."""
        plan, settings = Plan(), self.settings
        plan.height, plan.width = settings.input_shape
        plan.angles, plan.order, plan.channels = settings.L, settings.max_order, settings.output_shape[0]
        for name in ("source_row", "source_column"):
            setattr(plan, name, address + self.begins[name][0])
        return plan


class _Builder:
    def __init__(self) -> None:
        self.parts: list[np.ndarray] = []
        self.size = 0
        self.pointers: list[int] = []

    def array(self, values: np.ndarray) -> int:
        """Add an array; return where it begins."""
        begin, raw = self.size, np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        padding = np.zeros(-len(raw) % _ALIGNMENT, np.uint8)
        self.parts += [raw, padding]
        self.size += len(raw) + len(padding)
        return begin

    def table(self, rows: list[list[int]]) -> tuple[int, int]:
        """Add an array of structures of pointers; return where it begins, and the size of one structure."""
        words = np.array(rows, np.uint64)
        begin = self.array(words)
        self.pointers += range(begin, begin + words.nbytes, _POINTER)
        return begin, _POINTER * words.shape[-1]


def make_memory(settings: Settings, direction: Direction) -> Memory:
    """Collect all numbers that the kernels of one direction read."""
    builder, bank = _Builder(), morlet_bank(settings.J, settings.padded, settings.L, dtype=np.float32)
    sources = [source_positions(settings, axis) for axis in (0, 1)]
    begins = {
        name: (builder.array(source), source.itemsize)
        for name, source in zip(("source_row", "source_column"), sources, strict=True)
    }
    first, second = _spectra(settings, bank)
    for name, scales in (("first", first), ("second", second)):
        filters = [(spectrum, step) for spectra, step in scales.values() for spectrum in spectra]
        begins[name] = builder.table([list(map(builder.array, _filter(*each))) for each in filters])
    if direction == "backward":
        for scales, (spectra, _) in {**first, **second}.items():
            weights = np.stack([_weights(spectrum) for spectrum in spectra], -2)
            begins[weights_table(*scales)] = builder.array(weights), weights[0, 0, 0].nbytes
        begins["positions"] = builder.table([[builder.array(a) for source in sources for a in _positions(source)]])
    return Memory(np.concatenate(builder.parts), np.array(builder.pointers, np.int64), begins, settings)


def first_filter(settings: Settings, j: int, theta: int) -> int:
    """Return the number in `first` of the filter of scale j and angle theta."""
    return j * settings.L + theta


def second_filter(settings: Settings, j1: int, j2: int) -> int:
    """Return the number in `second` of the filter of scale j2 and angle 0 for maps of scale j1 < j2."""
    return _pairs(settings).index((j1, j2)) * settings.L


def weights_table(*scales: int) -> str:
    """Return the name of the weights of scale j, or of scale j2 for maps of scale j1."""
    return " ".join(["weights", *map(str, scales)])


def _pairs(settings: Settings) -> list[tuple[int, int]]:
    J = settings.J
    return [(j1, j2) for j1 in range(J) for j2 in range(j1 + 1, J)] if settings.max_order == 2 else []


_Scales = dict[tuple[int, ...], tuple[np.ndarray, int]]


def _spectra(settings: Settings, bank: MorletBank) -> tuple[_Scales, _Scales]:
    """By scale: the filters of all angles and the step by which they fold; in the order of first_filter and second_filter."""
    first: _Scales = {(j,): (bank.psi[j, 0], 2**j) for j in range(settings.J)}
    return first, {(j1, j2): (bank.psi[j2, j1], 2 ** (j2 - j1)) for j1, j2 in _pairs(settings)}


def _filter(spectrum: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The arrays of a Filter."""
    count, base, offset, re, im = image_fold(filter_weights(spectrum), step, LANES)
    words = np.stack([offset, re.view(np.int32), im.view(np.int32), np.zeros_like(offset)], -1)
    return count, base, words


def _weights(spectrum: np.ndarray) -> np.ndarray:
    """(H, W / 2 + 1, 2): of the element itself, and of the conjugate that is not stored; 0 where it has none."""
    weights = filter_weights(spectrum)
    height, width = weights.shape
    half = width // 2 + 1
    result = np.zeros((height, half, 2), np.float32)
    result[..., 0] = weights[:, :half]
    columns = np.arange(1, width - half + 1)
    result[:, columns, 1] = weights[-np.arange(height) % height][:, width - columns]
    return result


def _positions(source: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which padded positions show each pixel: those of pixel p are list[begin[p]:begin[p + 1]]."""
    begins = np.concatenate([[0], np.cumsum(np.bincount(source))])
    return begins.astype(np.int32), np.argsort(source, kind="stable").astype(np.int32)
