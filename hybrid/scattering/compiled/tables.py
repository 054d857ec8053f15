"""C structures with the numbers that compiled code reads: filters as gather lists, low-pass windows, positions."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from hybrid.scattering.filters import MorletBank, morlet_bank
from hybrid.scattering.geometry import Settings, margins

# What is left out, relative to the largest value. On 1/f images in float64, 1e-7 of the wavelets moves the worst channel by
# 1.8e-7, 1e-6 by 3.6e-7, 1e-5 by 3e-6; the taps matter as much.
_NEGLIGIBLE_FILTER = 1e-7
_NEGLIGIBLE_TAP = 1e-8


class Fold(ctypes.Structure):
    """See tables.h."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("count", "base", "offset", "re", "im", "sign")]


class Smoothing(ctypes.Structure):
    """See tables.h."""

    _fields_ = [(name, ctypes.c_int) for name in ("taps", "start", "step", "outputs")]
    _fields_ += [(name, ctypes.c_void_p) for name in ("weights", "gains")]


class Plan(ctypes.Structure):
    """See tables.h."""

    _fields_ = [
        *[(name, ctypes.c_int) for name in ("height", "width")],
        *[(name, ctypes.c_void_p) for name in ("source_row", "source_column")],
        *[(name, ctypes.c_int) for name in ("angles", "order", "channels")],
        *[(name, ctypes.c_void_p) for name in ("first", "second", "vertical", "horizontal")],
    ]


@dataclass
class Tables:
    """A `Plan`, and the arrays to which its pointers point: they must live as long.

    weights: of learned filters, the numbers of which re of each Fold is a part.
    """

    plan: Plan
    kept: list[object] = field(default_factory=list)
    weights: Tensor | None = None


def make_tables(settings: Settings, lanes: int, *, by_rows: bool, bank: MorletBank | None = None) -> Tables:
    """Fill the tables of one transform. With `by_rows` lanes are neighbouring columns of one map, else they are images.

    bank: other filters of the same sizes, in place of the Morlet bank.
    """
    bank = bank or morlet_bank(settings.J, settings.padded, settings.L, dtype=np.float32)
    tables = make_lowpass_tables(settings, bank.phi)
    gather = functools.partial(row_fold if by_rows else image_fold, lanes=lanes)
    tables.plan.first, tables.plan.second = _filters(settings, bank, gather, tables.kept)
    return tables


def make_lowpass_tables(settings: Settings, phi: tuple[tuple[np.ndarray, np.ndarray], ...]) -> Tables:
    """The tables of one transform without its wavelets; phi: as in `MorletBank`."""
    tables = Tables(Plan())
    plan, keep = tables.plan, tables.kept
    plan.height, plan.width = settings.input_shape
    sources = [source_positions(settings, axis) for axis in (0, 1)]
    plan.source_row, plan.source_column = (pointer(keep, source) for source in sources)
    plan.angles, plan.order, plan.channels = settings.L, settings.max_order, settings.output_shape[0]
    for name, axis in (("vertical", 0), ("horizontal", 1)):
        windows = [
            _smoothing(keep, factors[axis], 2 ** (settings.J - level), settings.dropped)
            for level, factors in enumerate(phi)
        ]
        setattr(plan, name, _array(keep, Smoothing, windows))
    return tables


def source_positions(settings: Settings, axis: int) -> np.ndarray:
    """Return the pixel that stands at each padded position of an axis (0 rows, 1 columns)."""
    if settings.boundary != "reflect":
        return np.arange(settings.padded[axis], dtype=np.int32)
    before, after = margins(settings.shape, settings.J)[axis]
    return np.pad(np.arange(settings.shape[axis], dtype=np.int32), (before, after), mode="reflect")


def _filters(
    settings: Settings,
    bank: MorletBank,
    gather: Callable[[np.ndarray, int], tuple[np.ndarray, ...]],
    keep: list[object],
) -> tuple[int, int]:
    """The arrays `first` and `second` of a Plan; gather(weights, step) gives the arrays of one filter."""

    def structure(spectrum: np.ndarray, step: int) -> Fold:
        return Fold(*[pointer(keep, array) for array in gather(filter_weights(spectrum), step)])

    J, angles = settings.J, range(settings.L)
    first = [structure(bank.psi[j, 0][theta], 2**j) for j in range(J) for theta in angles]
    second = [
        structure(bank.psi[j2, j1][theta], 2 ** (j2 - j1)) if j2 > j1 and settings.max_order == 2 else Fold()
        for j1 in range(J)
        for j2 in range(J)
        for theta in angles
    ]
    return _array(keep, Fold, first), _array(keep, Fold, second)


def lowpass_window(spectrum: np.ndarray, step: int, dropped: int = 1) -> tuple[int, np.ndarray]:
    """Return (start, taps) of a low-pass: tap t of output i is for sample start + step · i + t, wrapped.

    Output i stands on sample step · (i + dropped): the outermost samples are padding.
    """
    size = len(spectrum)
    kernel = np.fft.ifft(spectrum).real
    distance = np.minimum(np.arange(size), size - np.arange(size))
    reach = int(distance[abs(kernel) > _NEGLIGIBLE_TAP * abs(kernel).max()].max())
    taps = min(2 * reach + 1, size)
    offsets = np.arange(taps) - taps // 2
    return step * dropped - taps // 2, kernel[-offsets % size].astype(np.float32)


def _smoothing(keep: list[object], spectrum: np.ndarray, step: int, dropped: int) -> Smoothing:
    size = len(spectrum)
    start, weights = lowpass_window(spectrum, step, dropped)
    gains = (spectrum / size).astype(np.float32)  # with the inverse transform's factor
    pointers = pointer(keep, weights), pointer(keep, gains)
    return Smoothing(len(weights), start, step, size // step - 2 * dropped, *pointers)


def filter_weights(spectrum: np.ndarray) -> np.ndarray:
    """Return the multipliers of a spectrum, with the divisions of the inverse transform and of the mean over aliases in them.

    Negligible multipliers are 0, but for frequency 0. A map's mean is hundreds of times as large as the rest of its spectrum,
    so a wavelet's value there, some 1e-8 by rounding, belongs to the definition (at J = 5 it moves channels by 2e-6).
    """
    weights = (spectrum / spectrum.size).astype(np.float32)
    negligible = abs(weights) < _NEGLIGIBLE_FILTER * abs(weights).max()
    negligible[0, 0] = False
    weights[negligible] = 0
    return weights


def _aliases(weights: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return weights, rows and columns (w, h, step²) of the elements that add up to element (k, l) of the folded product."""
    height, width = (size // step for size in weights.shape)
    rows = np.arange(height)[None, :, None, None] + height * np.arange(step)[None, None, :, None]
    columns = np.arange(width)[:, None, None, None] + width * np.arange(step)[None, None, None, :]
    rows, columns = (index.reshape(width, height, -1) for index in np.broadcast_arrays(rows, columns))
    return weights[rows, columns], rows, columns


def image_fold(multipliers: np.ndarray, step: int, lanes: int) -> tuple[np.ndarray, ...]:
    """Make the gather lists of each column, into a half spectrum [row][column ≤ width / 2][re, im][lanes]."""
    weights, rows, columns = _aliases(multipliers, step)
    height, width = multipliers.shape
    mirrored = columns > width // 2
    rows, columns = np.where(mirrored, -rows % height, rows), np.where(mirrored, width - columns, columns)
    offsets = (rows * (width // 2 + 1) + columns) * 2 * lanes
    return _pack(weights != 0, offsets, weights, np.where(mirrored, -weights, weights))


def row_fold(multipliers: np.ndarray, step: int, lanes: int) -> tuple[np.ndarray, ...]:
    """Make the gather lists of `lanes` columns, into a spectrum with rows of SPECTRUM_STRIDE (rows.cpp)."""
    weights, rows, columns = _aliases(multipliers, step)
    stride = (-(-multipliers.shape[1] // lanes) + 1) * lanes
    offsets = (rows * stride + columns)[::lanes]
    missing = -len(weights) % lanes
    weights = np.pad(weights, ((0, missing), (0, 0), (0, 0))).reshape(-1, lanes, *weights.shape[1:])
    weights = np.moveaxis(weights, 1, -1)
    packed = _pack((weights != 0).any(-1), offsets, weights)
    return *packed, packed[-1]


def _pack(present: np.ndarray, *columns: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return counts and bases of each group, and the (groups, h, aliases, …) arrays, flat; the first one holds indices.

    The aliases that are `present` come first; a group keeps as many as its fullest row has.
    """
    height = present.shape[1]
    order, counts = np.argsort(~present, axis=-1, kind="stable"), present.sum(-1).max(-1)
    columns = tuple(
        np.take_along_axis(values, order.reshape(order.shape + (1,) * (values.ndim - 3)), 2) for values in columns
    )
    bases = np.concatenate([[0], np.cumsum(counts * height)[:-1]])
    flat = [
        np.concatenate(
            [values[group, :, :count].reshape(height * count, *values.shape[3:]) for group, count in enumerate(counts)]
        )
        for values in columns
    ]
    kinds = [np.int32, *[np.float32] * (len(columns) - 1)]
    packed = [values.astype(kind).ravel() for values, kind in zip(flat, kinds, strict=True)]
    return counts.astype(np.int32), bases.astype(np.int32), *packed


def pointer(keep: list[object], array: np.ndarray) -> int:
    """The address of an array's numbers in C order. It is valid as long as `keep`, which holds them."""
    array = np.ascontiguousarray(array)
    keep.append(array)
    return array.ctypes.data


def _array(keep: list[object], kind: type[ctypes.Structure], values: Sequence[ctypes.Structure]) -> int:
    array = (kind * len(values))(*values)
    keep.append(array)
    return ctypes.addressof(array)
