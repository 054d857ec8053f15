"""Morlet wavelets as differentiable functions of their orientation, frequency, width and slant."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from hybrid.scattering.filters import PI_OF_THE_NORM, near_copies
from hybrid.scattering.spectral import is_traced

# Terms below exp(-45) = 3e-20 cannot change a sum of order 1e-3 or more in float64.
_NEGLIGIBLE_EXPONENT = 45.0


class Wavelets(NamedTuple):
    """The parameters of K wavelets, (K,) float64 each.

    orientation: of the wave vector, in radians from the vertical (row) axis towards columns. frequency: its length, in radians
    per pixel. width: the standard deviation of the envelope along it, in pixels. slant: the envelope is 1/slant times as wide
    across it.
    """

    orientation: Tensor
    frequency: Tensor
    width: Tensor
    slant: Tensor


def quadratic_form(along: Tensor, across: Tensor, wavelets: Wavelets) -> Tensor:
    """(u∥² + slant²·u⊥²) / width²: the envelope is exp(-½ of it). `along` and `across` are u∥ and u⊥ in pixels."""
    return (along.square() + (wavelets.slant * across).square()) / wavelets.width.square()


def rotated(rows: Tensor, columns: Tensor, orientation: Tensor) -> tuple[Tensor, Tensor]:
    """u∥ and u⊥, the coordinates of pixels along and across the wave vector."""
    cosine, sine = orientation.cos(), orientation.sin()
    return rows * cosine + columns * sine, columns * cosine - rows * sine


def morlet_spectra(shape: tuple[int, int], wavelets: Wavelets) -> Tensor:
    """(K, H, W) float64 spectra of K wavelets on images of `shape` = (H, W).

    They are those of `hybrid.scattering.filters.wavelet`: Gabor functions, made periodic by a sum over copies, minus the
    multiple of their envelopes that makes the mean zero. A wavelet's wave is even in its cosine and odd in its sine, so the
    spectrum is real.
    """
    copies = [near_copies(size, _reach(wavelets)) for size in shape]
    each = Wavelets(*(values[:, None, None] for values in wavelets))
    rows, columns = (
        torch.cat(
            [torch.arange(size, dtype=torch.float64, device=wavelets.width.device) + shift * size for shift in some]
        )
        for size, some in zip(shape, copies, strict=True)
    )
    along, across = rotated(rows[:, None], columns[None, :], each.orientation)
    envelope = torch.exp(-0.5 * quadratic_form(along, across, each))
    envelope = envelope * (each.slant / (2 * PI_OF_THE_NORM * each.width.square()))
    phase = each.frequency * along
    real, imaginary, flat = (
        _periodic(part, shape) for part in (envelope * phase.cos(), envelope * phase.sin(), envelope)
    )
    real = real - real.sum((-2, -1), keepdim=True) / flat.sum((-2, -1), keepdim=True) * flat
    return torch.fft.fft2(torch.complex(real, imaginary)).real


def _reach(wavelets: Wavelets) -> float:
    """How many pixels from its centre the widest wavelet is negligible. Unlimited where asking would wait for a device."""
    if wavelets.width.device.type != "cpu" or is_traced():
        return math.inf
    with torch.no_grad():
        widest = wavelets.width.abs() / wavelets.slant.abs().clamp(max=1.0)
        return math.sqrt(2 * _NEGLIGIBLE_EXPONENT) * float(widest.max())


def _periodic(copies: Tensor, shape: tuple[int, int]) -> Tensor:
    """Sum copies that are side by side: (K, n·H, m·W) -> (K, H, W)."""
    height, width = shape
    return copies.unflatten(-1, (-1, width)).unflatten(-3, (-1, height)).sum((-4, -2))
