"""Scattering as products of real matrices: the same values as `Scattering2D`, without complex numbers and Fourier transforms.

ONNX knows no complex numbers, and runtimes differ in how they do its DFT operator. Matrix products all of them do well.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from hybrid.scattering.filters import MorletBank, lowpass_matrix, morlet_bank
from hybrid.scattering.geometry import Boundary, check_parameters


class DftScattering(nn.Module):
    """(..., H, W) float32 -> (..., P, H // 2^J, W // 2^J): values, path order and parameters of `Scattering2D`.

    The Fourier transform of a map x is F x Fᵀ with the DFT matrix F = cos - i sin; here its real and imaginary parts are two
    real maps. Reflection at the border and the low-pass are matrices already, so padding costs nothing: F is multiplied by
    it. All matrices are built in float64 and rounded once. Slower than an FFT from about 100 pixels on.

    bank: other filters of the same sizes, in place of the Morlet bank.
    """

    def __init__(
        self,
        J: int,
        shape: tuple[int, int],
        L: int = 8,
        max_order: int = 2,
        *,
        boundary: Boundary = "reflect",
        bank: MorletBank | None = None,
    ) -> None:
        super().__init__()
        settings = check_parameters(J, shape, L, max_order, boundary=boundary)
        self.J, self.L, self.max_order, self.shape = J, L, max_order, settings.shape
        self.output_shape, self._dropped = settings.output_shape, settings.dropped
        nothing = ((0, 0), (0, 0))
        reflected = zip(settings.input_shape, nothing if settings.pre_pad else settings.margins, strict=True)
        pads = [_reflection(size, margin) for size, margin in reflected]
        self._register_fourier(settings.padded, pads)
        self._register_filters(bank or morlet_bank(J, settings.padded, L), pads)

    def _register_fourier(self, padded: tuple[int, int], pads: list[np.ndarray]) -> None:
        for axis, size, pad in zip(("rows", "columns"), padded, pads, strict=True):
            for level in range(self.J):
                cosine, sine = _fourier(size // 2**level)
                self._constant(f"cos_{level}_{axis}", cosine)
                self._constant(f"sin_{level}_{axis}", sine)
            cosine, sine = _fourier(size)
            self._constant(f"cos_image_{axis}", cosine @ pad)
            self._constant(f"sin_image_{axis}", sine @ pad)

    def _register_filters(self, bank: MorletBank, pads: list[np.ndarray]) -> None:
        for (j, level), spectra in bank.psi.items():
            if level == 0 or self.max_order == 2:
                # the mean over aliases and the inverse transform both divide: once, here
                self._constant(f"psi_{j}_{level}", spectra / spectra[0].size)
        for level, factors in enumerate(bank.phi):
            for axis, factor in zip(("rows", "columns"), factors, strict=True):
                matrix = lowpass_matrix(factor, 2 ** (self.J - level), dropped=self._dropped)
                self._constant(f"phi_{level}_{axis}", matrix)
        for axis, factor, pad in zip(("rows", "columns"), bank.phi[0], pads, strict=True):
            self._constant(f"phi_image_{axis}", lowpass_matrix(factor, 2**self.J, dropped=self._dropped) @ pad)

    def _constant(self, name: str, values: np.ndarray) -> None:
        self.register_buffer(name, torch.from_numpy(values.astype(np.float32)), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        spectrum = [part.unsqueeze(-3) for part in self._spectrum(images, "image")]  # (..., 1, h, w)
        zeroth, first, second = self._lowpass(images, "image").unsqueeze(-3), [], []
        for j1 in range(self.J):
            modulus = self._wavelet_modulus(spectrum, j1, level=0)  # (..., L, h, w)
            first.append(self._lowpass(modulus, j1))
            if self.max_order == 2 and j1 < self.J - 1:
                second.append(self._second_order(modulus, j1))
        return torch.cat([zeroth, *first, *second], -3)

    def _second_order(self, first: Tensor, j1: int) -> Tensor:
        spectra = [part.unsqueeze(-3) for part in self._spectrum(first, j1)]  # (..., theta1, 1, h, w)
        octaves = range(j1 + 1, self.J)
        maps = [self._lowpass(self._wavelet_modulus(spectra, j2, level=j1), j2) for j2 in octaves]
        return torch.cat(maps, -3).flatten(-4, -3)

    def _spectrum(self, maps: Tensor, level: int | str) -> tuple[Tensor, Tensor]:
        """Real and imaginary part of F x Fᵀ."""
        cos_rows, sin_rows = self._matrices(level, "rows")
        cos_columns, sin_columns = (matrix.T for matrix in self._matrices(level, "columns"))
        real, imaginary = maps @ cos_columns, -(maps @ sin_columns)
        return cos_rows @ real + sin_rows @ imaginary, cos_rows @ imaginary - sin_rows @ real

    def _wavelet_modulus(self, spectra: list[Tensor], j: int, *, level: int) -> Tensor:
        """|inverse transform of spectrum times wavelet|, sampled every 2^(j - level)."""
        filters, step = getattr(self, f"psi_{j}_{level}"), 2 ** (j - level)
        real, imaginary = (_fold(part * filters, step) for part in spectra)
        cos_rows, sin_rows = self._matrices(j, "rows")
        cos_columns, sin_columns = self._matrices(j, "columns")  # symmetric: the inverse has + sin, and 1 / size in psi
        left_real, left_imaginary = cos_rows @ real - sin_rows @ imaginary, cos_rows @ imaginary + sin_rows @ real
        real = left_real @ cos_columns - left_imaginary @ sin_columns
        imaginary = left_real @ sin_columns + left_imaginary @ cos_columns
        return torch.sqrt(real * real + imaginary * imaginary)

    def _lowpass(self, maps: Tensor, level: int | str) -> Tensor:
        return getattr(self, f"phi_{level}_rows") @ (maps @ getattr(self, f"phi_{level}_columns").T)

    def _matrices(self, level: int | str, axis: str) -> tuple[Tensor, Tensor]:
        return getattr(self, f"cos_{level}_{axis}"), getattr(self, f"sin_{level}_{axis}")


def _fourier(size: int) -> tuple[np.ndarray, np.ndarray]:
    """cos and sin of 2 pi k n / size, with k n taken modulo size before it is rounded."""
    products = np.outer(np.arange(size), np.arange(size)) % size
    return np.cos(2 * math.pi / size * products), np.sin(2 * math.pi / size * products)


def _reflection(size: int, margin: tuple[int, int]) -> np.ndarray:
    """(size + margins, size): the matrix that pads by mirroring without repeating the edge."""
    return np.eye(size)[np.pad(np.arange(size), margin, mode="reflect")]


def _fold(spectra: Tensor, step: int) -> Tensor:
    """Sum the step x step aliases: keeping every step-th sample in space, times step²."""
    if step == 1:
        return spectra
    return spectra.unflatten(-1, (step, -1)).sum(-2).unflatten(-2, (step, -1)).sum(-3)
