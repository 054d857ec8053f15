"""Wavelets of one octave or half an octave as a layer: the fixed filters of the networks of wavelets.

A map is a tensor (N, C, H, W). A complex map of C channels is a real tensor (N, 2C, H, W), where the real part of a channel
stands before its imaginary part. The layer gives C (1 + L) complex channels: of each channel the low-pass, then the L wavelets.

The filters and their constants are those of "Separation and Concentration in Deep Networks" (ICLR 2021) and "Phase Collapse in
Neural Networks" (ICLR 2022), as released. A wavelet is the Morlet wavelet of `hybrid.scattering.filters`. A map is padded by
reflection, by two pixels or so, and the padded map is periodic.

Fourier transforms of small maps are slow. Each filter is a sum of a few separable ones (its singular values), and so the whole
bank, border and subsampling included, is a few products with small matrices. The two ways agree but for rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from hybrid.errors import unknown_name
from hybrid.scattering.filters import angle, gabor
from hybrid.scattering.geometry import margins

Bank = Literal["octave", "half_octave", "half_octave_subsampled"]
Engine = Literal["auto", "matrix", "fft"]
_XI = 0.75 * math.pi  # centre frequency of the octave, in radians a pixel
_SMALL, _LARGE = 8, 64  # sides: up to the first a bank is one matrix; from the second on Fourier transforms are faster
_NEGLIGIBLE = 1e-9  # of a filter's largest singular value
_REACH = 7  # standard deviations of an envelope


@dataclass(frozen=True)
class Filters:
    """The numbers of a bank: standard deviations in pixels, frequency in radians a pixel, and the stride."""

    sigma: float
    xi: float
    slant: float
    lowpass_sigma: float
    stride: int


def filters_of(bank: Bank, L: int) -> Filters:
    """The numbers of a bank of L angles. Raises ValueError for an unknown bank, and for an L that it does not have.

    Two banks of half an octave, one after the other, make an octave. The second one's slant √(3s² / (4 - s²)) with s = 4 / L
    exists from L = 3 on.
    """
    slant, half = 4 / L, 0.8 / math.sqrt(2)
    if bank == "octave":
        return Filters(0.8, _XI, slant, 0.8, 2)
    if bank == "half_octave":
        return Filters(0.8, _XI, slant, half, 1)
    if bank != "half_octave_subsampled":
        raise unknown_name(bank, get_args(Bank), what="bank of wavelets")
    if L < 3:
        raise ValueError(f"L is {L}; the bank {bank} takes whole numbers from 3")
    return Filters(0.8 * math.sqrt(1.5), math.pi / math.sqrt(2), math.sqrt(3 * slant**2 / (4 - slant**2)), half, 2)


def spectra(bank: Bank, L: int, shape: tuple[int, int]) -> np.ndarray:
    """(1 + L, H, W) float64: the spectra, which are real, of the low-pass and the L wavelets on a periodic grid (H, W)."""
    chosen = filters_of(bank, L)
    return np.stack([np.fft.fft2(each).real for each in _in_space(chosen, L, shape)])


def frame_bounds(bank: Bank, L: int, shape: tuple[int, int]) -> tuple[float, float]:
    """The least and the largest factor by which the bank multiplies the energy of a frequency of real maps (H, W).

    It is φ̂² + ½ Σ (ψ̂(ω)² + ψ̂(-ω)²), before subsampling. Complex maps have no such symmetry: there the factor is up to 1.51.
    """
    squares = spectra(bank, L, shape) ** 2
    mirrored = np.roll(squares[1:, ::-1, ::-1], 1, (1, 2))
    total = squares[0] + (squares[1:] + mirrored).sum(0) / 2
    return float(total.min()), float(total.max())


class Wavelets(nn.Module):
    """Real maps (N, C, H, W) or complex ones (N, 2C, H, W) -> complex maps (N, 2C(1 + L), h, w).

    h, w are H, W without stride. With stride 2 they are halves, rounded down, but a side of one pixel stays.

    Args:
        input_shape: (C, H, W), where C counts the complex channels of complex maps.
        bank: the name of the filters.
        L: the number of angles over half a turn.
        complex_input: whether the maps are complex.
        engine: "matrix", "fft", or "auto", which takes matrices up to sides of 64 pixels.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        *,
        bank: Bank,
        L: int,
        complex_input: bool,
        engine: Engine = "auto",
    ) -> None:
        super().__init__()
        channels, *sides = input_shape
        self.bank, self.L, self.channels, self.parts = bank, L, channels, 1 + complex_input
        self._lines = tuple(_Line.of(side, filters_of(bank, L).stride) for side in sides)
        self.output_shape = (channels * (1 + L), *(line.outputs for line in self._lines))
        if engine not in get_args(Engine):
            raise unknown_name(engine, get_args(Engine), what="engine of the wavelets")
        if engine == "auto":
            engine = "matrix" if max(sides) < _LARGE else "fft"
        self.engine = engine
        if engine == "fft":
            bank_spectra = spectra(bank, L, tuple(line.padded for line in self._lines))
            self.register_buffer("spectra", _single(bank_spectra), persistent=False)
            for name, line in zip(("rows", "columns"), self._lines, strict=True):
                self.register_buffer(f"{name}_reflected", torch.from_numpy(line.reflected), persistent=False)
                self.register_buffer(f"{name}_kept", torch.from_numpy(line.kept), persistent=False)
            return
        for name, matrix in self._matrices(max(sides) <= _SMALL):
            self.register_buffer(name, _single(matrix), persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        return self._by_fourier(maps) if self.engine == "fft" else self._by_matrices(maps)

    def extra_repr(self) -> str:
        return f"{self.bank}, L={self.L}, complex_input={self.parts == 2}, engine={self.engine}"

    def _matrices(self, whole: bool) -> list[tuple[str, np.ndarray]]:
        """whole: one matrix (outputs of a channel, inputs of a channel); else rows and columns of each filter."""
        rows, columns = self._lines
        kernels = _around_0(filters_of(self.bank, self.L), self.L)
        factors = [_separable(kernel, rows, columns) for kernel in kernels]
        if whole:
            matrices = [np.einsum("rih,rjw->ijhw", left, right) for left, right in factors]
            flat = [each.reshape(rows.outputs * columns.outputs, -1) for each in matrices]
            return [("whole", np.concatenate([_real(each, self.parts) for each in flat]))]
        named = []
        for number, (left, right) in enumerate(factors):
            of_rows = left.transpose(1, 2, 0).reshape(rows.outputs, -1)  # (h, H · r)
            named += [
                (f"columns{number}", right.reshape(-1, columns.side)),
                (f"rows{number}", _real(of_rows, self.parts)),
            ]
        return named

    def _by_matrices(self, maps: Tensor) -> Tensor:
        """With the images innermost, both matrix products are of large contiguous matrices."""
        rows, columns = self._lines
        count, filters = maps.shape[0], 1 + self.L
        inner = maps.permute(1, 2, 3, 0).contiguous()  # (C · parts, H, W, N)
        if hasattr(self, "whole"):
            flat = inner.reshape(self.channels, -1, count)
            return _images_first(_each(self.whole, flat), self.channels, filters, rows.outputs, columns.outputs)
        lines = inner.view(-1, columns.side, count)
        found = []
        for number in range(filters):
            left, right = getattr(self, f"rows{number}"), getattr(self, f"columns{number}")
            first = _each(right, lines).view(self.channels, -1, columns.outputs * count)  # (C, parts · H · r, w · N)
            found.append(_each(left, first).view(self.channels, 2, -1))
        return _images_first(torch.stack(found, 1), self.channels, filters, rows.outputs, columns.outputs)

    def _by_fourier(self, maps: Tensor) -> Tensor:
        padded = maps[:, :, self.rows_reflected[:, None], self.columns_reflected]
        if self.parts == 2:
            padded = torch.complex(padded[:, 0::2].contiguous(), padded[:, 1::2].contiguous())
        filtered = torch.fft.fft2(padded)[:, :, None] * self.spectra
        result = torch.fft.ifft2(filtered)[..., self.rows_kept[:, None], self.columns_kept]
        return torch.view_as_real(result).movedim(-1, 3).flatten(1, 3)


@dataclass(frozen=True, eq=False)
class _Line:
    """A side of a map: its pixels, those with padding, the samples that a stride leaves, and where they lie.

    reflected: (padded,) the pixel at each place of the padded side. kept: (outputs,) the places of the samples.
    """

    side: int
    padded: int
    outputs: int
    reflected: np.ndarray
    kept: np.ndarray

    @classmethod
    def of(cls, side: int, stride: int) -> _Line:
        before, after = margins((side, side), 1)[0]
        outputs = max(side // stride, 1)
        places = np.arange(-before, side + after) % max(2 * side - 2, 1)
        reflected = side - 1 - abs(places - (side - 1))
        return cls(side, side + before + after, outputs, reflected, before + stride * np.arange(outputs))

    def matrix(self, taps: np.ndarray) -> np.ndarray:
        """(r, outputs, side): convolutions with filters (r, 2R + 1), whose centre is tap R, of the padded and periodic side."""
        reach = taps.shape[1] // 2
        result = np.zeros((len(taps), self.outputs, self.side))
        for tap in range(-reach, reach + 1):
            source = self.reflected[(self.kept - tap) % self.padded]
            for output, pixel in enumerate(source.tolist()):
                result[:, output, pixel] += taps[:, reach + tap]
        return result


def _in_space(chosen: Filters, L: int, shape: tuple[int, int]) -> list[np.ndarray]:
    """The low-pass and the wavelets on a periodic grid, with the origin in its corner."""
    result = [gabor(shape, chosen.lowpass_sigma, 1.0, 0.0, 0.0).real]
    for theta in range(L):
        wave = gabor(shape, chosen.sigma, chosen.slant, angle(theta, L), chosen.xi)
        envelope = gabor(shape, chosen.sigma, chosen.slant, angle(theta, L), 0.0)
        result.append(wave - wave.sum() / envelope.sum() * envelope)
    return result


def _around_0(chosen: Filters, L: int) -> list[np.ndarray]:
    """The filters on a grid (2R + 1, 2R + 1), beyond which they are negligible, with the origin in its centre."""
    reach = math.ceil(_REACH * max(chosen.sigma / min(1, chosen.slant), chosen.lowpass_sigma))
    return [np.fft.fftshift(each) for each in _in_space(chosen, L, (2 * reach + 1, 2 * reach + 1))]


def _separable(kernel: np.ndarray, rows: _Line, columns: _Line) -> tuple[np.ndarray, np.ndarray]:
    """A filter as a sum over r of separable ones: (r, h, H) complex for the rows, (r, w, W) real for the columns."""
    stacked = np.concatenate([kernel.real, kernel.imag])
    left, values, right = np.linalg.svd(stacked, full_matrices=False)
    rank = int((values > _NEGLIGIBLE * values[0]).sum())
    real, imaginary = np.split(left[:, :rank] * values[:rank], 2)
    of_rows = [rows.matrix(part.T) for part in (real, imaginary)]
    return of_rows[0] + 1j * of_rows[1], columns.matrix(right[:rank])


def _real(matrix: np.ndarray, parts: int) -> np.ndarray:
    """A complex matrix (a, b) as the real one (2a, parts · b) that takes the real parts of b numbers, then the imaginary ones."""
    blocks = [[matrix.real, -matrix.imag], [matrix.imag, matrix.real]]
    return np.block([row[:parts] for row in blocks])


def _single(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).float()


def _each(matrix: Tensor, batch: Tensor) -> Tensor:
    """matrix (a, b) times each of batch (n, b, c)."""
    return torch.bmm(matrix.expand(len(batch), -1, -1), batch)


def _images_first(result: Tensor, channels: int, filters: int, height: int, width: int) -> Tensor:
    """(…, N innermost) as (N, C · filters · 2, h, w); the memory stays as it is."""
    return result.view(2 * channels * filters, height, width, -1).permute(3, 0, 1, 2)
