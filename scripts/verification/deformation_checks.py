"""Lipschitz constants to deformations, by frequency: scattering, the modulus of the Fourier transform, and pixels.

The argument is Mallat's (2012, section 1; Bruna & Mallat 2013, section 2.1). A dilation by 1 - ε moves a frequency ξ by ε|ξ|. The
Fourier modulus notices as soon as that is more than the width of the spectrum there, so no constant C bounds
‖Φ(x_τ) - Φ(x)‖ ≤ C ‖∇τ‖∞ ‖x‖ at all frequencies. Wavelets are as wide, in proportion, at every frequency.

All three have the norm of the image where there is nothing to lose: the Fourier modulus is divided by the square root of the
number of pixels, scattering multiplied by 2^J.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from hybrid.analysis.perturbations import random_deformation
from hybrid.analysis.warping import warp
from hybrid.errors import UserError
from hybrid.scattering import TorchScattering2D

_OVERSAMPLING = 8  # interpolation must not be what is measured
_DIRECTIONS = 5  # no multiple or divisor of the usual number of angles


@dataclass(frozen=True)
class LipschitzConstants:
    """‖Φ(x_τ) - Φ(x)‖ / (‖∇τ‖∞ ‖x‖) of n images in each of F frequency bands.

    frequencies: (F,), radians per pixel, rising. scattering, fourier, pixels: (F, n) float64.
    """

    frequencies: tuple[float, ...]
    scattering: Tensor
    fourier: Tensor
    pixels: Tensor


def wave_packet_constants(
    J: int, frequencies: Sequence[float], *, L: int = 8, size: int = 128, width: float = 16, dilation: float = 0.05
) -> LipschitzConstants:
    """Of exp(-|u|²/2w²) cos(ξ·u), dilated about its centre: x((1 - ε)u), computed by the formula, without interpolation.

    frequencies: |ξ| in radians per pixel, each in five directions, evenly over half a turn: most lie between the wavelets'.
    size: side of the image in pixels; width: w in pixels, at most an eighth of it, so that the border is zero; dilation: ε.
    """
    if not 0 < dilation < 1 or not 0 < width <= size / 8:
        raise UserError(f"wave packets: 0 < dilation < 1 and width at most {size / 8}: got {dilation} and {width}.")
    scattering = TorchScattering2D(J, (size, size), L)
    angles = torch.arange(_DIRECTIONS, dtype=torch.float64) * math.pi / _DIRECTIONS
    rows = []
    for frequency in sorted(frequencies):
        pair = (_packets(frequency, angles, size, width, zoom) for zoom in (1.0, 1.0 - dilation))
        rows.append(_constants(scattering, *pair, dilation))
    return LipschitzConstants(tuple(sorted(frequencies)), *(torch.stack(part) for part in zip(*rows, strict=True)))


def image_constants(images: Tensor, J: int, *, L: int = 8, gradient: float = 0.1, seed: int = 0) -> LipschitzConstants:
    """Of octave bands of (N, H, W) images under smooth random deformations with ‖∇τ‖∞ = gradient, one per image.

    Each image has its mean subtracted, is faded to zero at its border by a Hann window, and lies in an image twice as large, so
    that neither a border nor the padding is seen. Bands are √-cosines of log₂|ω| centred at 3π/4, 3π/8, …, J + 1 of them; the
    deformation acts after the filter. Images that are zero in some band are refused.
    """
    height, width = images.shape[-2:]
    windows = [torch.hann_window(side + 2, periodic=False, dtype=torch.float64)[1:-1] for side in (height, width)]
    centred = images.double() - images.double().mean((1, 2), keepdim=True)
    faded = centred * torch.outer(*windows).to(images.device)
    top, left = height // 2, width // 2
    canvas = F.pad(faded, (left, width - left, top, height - top))
    shape = (2 * height, 2 * width)
    field = random_deformation(len(images), shape, gradient, torch.Generator().manual_seed(seed))
    scattering = TorchScattering2D(J, shape, L).to(images.device)
    frequencies = [0.75 * math.pi / 2**k for k in range(J, -1, -1)]
    rows = []
    for frequency in frequencies:
        part = _octave(canvas, frequency)
        moved = warp(part[:, None], field, oversampling=_OVERSAMPLING)[:, 0]
        rows.append(_constants(scattering, part, moved, gradient))
    return LipschitzConstants(tuple(frequencies), *(torch.stack(part) for part in zip(*rows, strict=True)))


@torch.no_grad()
def _constants(scattering: TorchScattering2D, images: Tensor, moved: Tensor, gradient: float) -> tuple[Tensor, ...]:
    """Scattering, Fourier modulus, pixels: (n,) each."""
    norms = images.flatten(1).norm(dim=1)
    if not (norms > 0).all():
        raise UserError("Lipschitz constants need images that are not zero in any band of frequencies.")

    def constant(difference: Tensor) -> Tensor:
        return (difference.flatten(1).norm(dim=1) / (gradient * norms)).cpu()

    modulus = torch.fft.fft2(moved).abs() - torch.fft.fft2(images).abs()
    return (
        constant(2**scattering.J * (scattering(moved) - scattering(images))),
        constant(modulus / math.sqrt(images[0].numel())),
        constant(moved - images),
    )


def _packets(frequency: float, angles: Tensor, size: int, width: float, zoom: float) -> Tensor:
    """(angles, size, size) wave packets, seen through u -> zoom·u."""
    positions = zoom * (torch.arange(size, dtype=torch.float64) - size // 2)
    rows, columns = positions[:, None], positions[None, :]
    along = angles.cos()[:, None, None] * rows + angles.sin()[:, None, None] * columns
    return torch.exp(-(rows**2 + columns**2) / (2 * width**2)) * torch.cos(frequency * along)


def _octave(images: Tensor, centre: float) -> Tensor:
    """The images' part from half to twice the centre frequency; the squares of all octaves' filters add up to 1."""
    rows, columns = (2 * math.pi * torch.fft.fftfreq(side, dtype=torch.float64) for side in images.shape[-2:])
    radius = rows[:, None].hypot(columns[None, :])
    octaves = (radius.clamp_min(1e-9) / centre).log2().clamp(-1, 1)
    return torch.fft.ifft2(torch.fft.fft2(images) * (octaves * math.pi / 2).cos().to(images.device)).real
