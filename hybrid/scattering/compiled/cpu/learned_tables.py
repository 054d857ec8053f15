"""The tables of filters that come with each call: where the weights of learned wavelets stand in the lists of compiled code."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from hybrid.scattering.compiled.tables import Plan, Tables, image_fold, make_lowpass_tables, pointer, row_fold
from hybrid.scattering.filters import lowpass_spectra
from hybrid.scattering.geometry import Settings
from hybrid.scattering.torch_engine import Filters, levels_of

_FLOAT = 4  # bytes


def as_row(filters: Filters, settings: Settings) -> Tensor:
    """Filters as `FourierEngine` takes them -> the (L, H / 2^level, W / 2^level) numbers of each, one after the other."""
    return torch.cat([filters[key][..., ::2].reshape(-1) for key in levels_of(settings)])


def from_row(row: Tensor, settings: Settings) -> Filters:
    """The inverse of `as_row`."""
    keys = levels_of(settings)
    shapes = [(settings.L, *(side >> level for side in settings.padded)) for _, level in keys]
    parts = row.split([math.prod(shape) for shape in shapes])
    return {
        key: part.reshape(shape).repeat_interleave(2, -1) for key, part, shape in zip(keys, parts, shapes, strict=True)
    }


class LearnedTables:
    """The tables of one transform without its filters, which are one row of numbers.

    No number is left out, whatever its value, because training may change each.
    """

    def __init__(self, settings: Settings, lanes: int, *, by_rows: bool) -> None:
        self._tables = make_lowpass_tables(settings, lowpass_spectra(settings.J, settings.padded))
        fold, L, J = row_fold if by_rows else image_fold, settings.L, settings.J
        rows, sources, signs, begin, entries = [], [], [], 0, 0
        numbers: dict[tuple[int, int], int] = {}  # of the Fold of the first angle
        for j, level in levels_of(settings):
            height, width = (side >> level for side in settings.padded)
            positions = np.arange(1, height * width + 1).reshape(height, width)  # 0 fills up a vector's lanes
            *lists, re, im = fold(positions, 2 ** (j - level), lanes)
            addresses = [pointer(self._tables.kept, values) for values in lists]
            numbers[j, level] = len(rows)
            for _ in range(L):
                rows.append([*addresses, *[_FLOAT * entries] * 3])
                sources.append(np.where(re > 0, re - 1 + begin, 0).astype(np.int64))
                signs.append(np.stack([np.sign(re), np.sign(im)]))
                begin, entries = begin + height * width, entries + len(re)
        self.size, self._rows = begin, np.array(rows, np.uint64)
        self._source = torch.from_numpy(np.concatenate(sources))
        self._present, self._sign = torch.from_numpy(np.concatenate(signs, -1)).float().contiguous()
        angles = np.arange(L)
        self._first = np.concatenate([numbers[j, 0] + angles for j in range(J)])
        pairs = [(j2, j1) for j1 in range(J) for j2 in range(J)]  # of which those with j2 ≤ j1 are not read
        self._second = np.concatenate([numbers.get(pair, 0) + angles for pair in pairs])

    def filled(self, filters: Tensor) -> Tables:
        """The tables for these numbers, float32."""
        numbers = filters.detach()[self._source]
        re, im = numbers * self._present, numbers * self._sign
        rows = self._rows.copy()
        rows[:, 3:] += np.array([weights.data_ptr() for weights in (re, im, self._sign)], np.uint64)
        tables = Tables(Plan.from_buffer_copy(self._tables.plan), [im, self._tables], weights=re)
        tables.plan.first = pointer(tables.kept, rows[self._first])
        tables.plan.second = pointer(tables.kept, rows[self._second])
        return tables

    def sums(self, threads: int) -> Tensor:
        """Zeros, to which each thread adds the gradients of the weights."""
        return torch.zeros(threads, len(self._source))

    def gradient(self, sums: Tensor) -> Tensor:
        """What `sums` became, where lanes are images -> the gradient of the numbers."""
        return torch.empty(self.size).index_copy_(0, self._source, sums.sum(0))
