"""What theory says of a scattering transform, measured on its filters and on images: frame bounds, energies, non-expansiveness.

The statements hold on a torus and without sampling, so that is where they are checked: `propagate` takes images that are already
padded as the transform pads them, keeps every map at full size, and works in float64. It shares the filters with Scattering2D,
not its algorithm. Sources: Mallat, "Group invariant scattering" (2012); Bruna & Mallat (2013). The Morlet bank is no tight frame,
so every inequality has the bank's own constant, the largest Littlewood-Paley sum A, where the papers have 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hybrid.errors import UserError
from hybrid.scattering import Scattering2D
from hybrid.scattering.filters import morlet_bank, wavelet
from hybrid.scattering.geometry import check_parameters, margins
from hybrid.scattering.spectral import reflect_pad


@dataclass(frozen=True)
class LittlewoodPaley:
    """A(ω) = |φ̂(ω)|² + ½ Σ_jθ (|ψ̂(ω)|² + |ψ̂(-ω)|²): by how much the wavelet transform of a real image changes each frequency.

    total: (H, W) float64, frequency 0 at [0, 0]. ‖Wx‖² lies between minimum·‖x‖² and maximum·‖x‖².
    """

    total: np.ndarray

    @property
    def minimum(self) -> float:
        """Over the whole grid; it lies in the corners of the square."""
        return float(self.total.min())

    @property
    def maximum(self) -> float:
        return float(self.total.max())

    @property
    def radius(self) -> np.ndarray:
        """(H, W): |ω| in radians per pixel."""
        rows, columns = (2 * math.pi * np.fft.fftfreq(size) for size in self.total.shape)
        return np.hypot(rows[:, None], columns[None, :])

    def minimum_within(self, radius: float) -> float:
        """The smallest A(ω) with |ω| ≤ radius."""
        return float(self.total[self.radius <= radius * (1 + 1e-12)].min())

    def profile(self, rings: int = 24) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean |ω|, smallest and largest A of rings of equal width in log|ω|, up to the corners; empty rings are left out."""
        radius, total = self.radius.ravel()[1:], self.total.ravel()[1:]
        edges = np.geomspace(radius.min(), radius.max() * (1 + 1e-9), rings + 1)
        ring = np.digitize(radius, edges)
        filled = [ring == k for k in range(1, rings + 1) if (ring == k).any()]
        values = [(radius[part].mean(), total[part].min(), total[part].max()) for part in filled]
        return tuple(np.array(values).T)


def littlewood_paley(J: int, shape: tuple[int, int], L: int = 8) -> LittlewoodPaley:
    """Of the bank for images padded to `shape` = (H, W), multiples of 2^J (`Scattering2D.padded_shape`)."""
    psi, phi = _filters(J, shape, L)
    squares = np.sum(psi**2, axis=(0, 1))
    mirrored = np.roll(squares[::-1, ::-1], (1, 1), (0, 1))
    return LittlewoodPaley(phi**2 + (squares + mirrored) / 2)


@dataclass(frozen=True)
class Propagation:
    """Inner products of N images after each part of the transform, divided by the number of pixels; float64 on the CPU.

    inputs: (N, N), of the images. frame: (N, N), of their wavelet transforms Wx (low-pass and all wavelets).
    orders: (3, N, N), of S0, S1 and S2 without sampling, scales growing along each path.
    waves: (4, N), mean squares of x, of all |x ⋆ ψ|, of all ||x ⋆ ψ| ⋆ ψ'|, and of what those pass on to order 3.
    means: (N,), mean pixels.
    """

    inputs: Tensor
    frame: Tensor
    orders: Tensor
    waves: Tensor
    means: Tensor

    def expansion(self) -> tuple[Tensor, Tensor]:
        """‖Wx - Wx'‖ / ‖x - x'‖ and ‖Sx - Sx'‖ / ‖x - x'‖ of all pairs of different images, (pairs,) each.

        They are at most √A and A^(3/2), A ≥ 1 the largest Littlewood-Paley sum: W takes part three times in order 2, and the
        modulus is non-expansive.
        """
        inputs = _pair_squares(self.inputs)
        different = inputs > 1e-12 * self.inputs.diagonal().mean()
        if not different.any():
            raise UserError("non-expansiveness needs two images that differ.")
        outputs = [_pair_squares(self.frame), _pair_squares(self.orders.sum(0))]
        return tuple((values[different] / inputs[different]).clamp_min(0).sqrt() for values in outputs)

    def energies(self) -> dict[str, float]:
        """Shares of the images' energy around their mean, averaged: "S0", "S1", "S2", "beyond" (left for order 3), "lost".

        "lost" is the rest: what the filters attenuate, and paths whose second scale is not larger. In a tight frame with all
        paths it would be 0.
        """
        variance = self.waves[0] - self.means**2
        if not (variance > 0).all():
            raise UserError("energies need images that are not constant.")
        orders = self.orders.diagonal(dim1=1, dim2=2).clone()
        orders[0] -= self.means**2  # the low-pass keeps the mean (its gain at frequency 0 is 1.00003)
        shares = [*(orders / variance), self.waves[3] / variance]
        values = {name: share.mean().item() for name, share in zip(("S0", "S1", "S2", "beyond"), shares, strict=True)}
        return values | {"lost": 1 - sum(values.values())}


@torch.no_grad()
def propagate(images: Tensor, J: int, L: int = 8) -> Propagation:
    """(N, H, W) images, taken as periodic, through order 2 at full size: N² inner products from one pass over the paths.

    H and W are multiples of 2^J: `padded` makes such images. The time grows with L² J² N H W; nothing of the paths is kept.
    """
    if images.ndim != 3 or any(side % 2**J for side in images.shape[-2:]) or not images.isfinite().all():
        raise UserError(
            f"propagate takes finite (N, H, W) images, sides multiples of {2**J}; got {tuple(images.shape)}."
        )
    shape = tuple(images.shape[-2:])
    psi, phi = (torch.from_numpy(values).to(images.device) for values in _filters(J, shape, L))
    total = torch.from_numpy(littlewood_paley(J, shape, L).total).to(images.device)
    spectra = torch.fft.fft2(images.double())
    orders = torch.zeros(3, len(images), len(images), dtype=torch.float64, device=images.device)
    waves = torch.zeros(4, len(images), dtype=torch.float64, device=images.device)
    for order, j, values in _paths(spectra, psi):
        orders[order] += _inner_products(values * phi)
        power = values.abs().square()
        waves[order] += power.mean((1, 2)) / power[0].numel()
        if order == 2 and j < J - 1:
            later = psi[j + 1 :].square().sum((0, 1))
            waves[3] += (power * later).mean((1, 2)) / power[0].numel()
    results = (_inner_products(spectra), _inner_products(spectra * total.sqrt()), orders, waves)
    return Propagation(*(result.cpu() for result in results), images.double().mean((1, 2)).cpu())


def padded(images: Tensor, J: int) -> Tensor:
    """(N, H, W) -> extended by reflection as Scattering2D extends them."""
    shape = check_parameters(J, images.shape[-2:]).shape
    return reflect_pad(images, margins(shape, J))


@torch.no_grad()
def sampled_expansion(scattering: Scattering2D, images: Tensor) -> tuple[Tensor, Tensor]:
    """2^J ‖Sx - Sx'‖ over ‖Px - Px'‖, P the padding, and over ‖x - x'‖: the transform as networks use it.

    Of all pairs of different (N, H, W) images. Sampling every 2^J pixels divides norms by about 2^J, which is put back. Only the
    first ratio is the theory's: padding repeats the border, so an expansion in the second might not be the transform's.
    """
    images = images.double()
    coefficients = 2**scattering.J * scattering(images)
    flat = [part.flatten(1) for part in (coefficients, images, padded(images, scattering.J))]
    outputs, inputs, extended = (_pair_squares(rows @ rows.T) for rows in flat)
    different = inputs > 1e-12 * images.square().sum((1, 2)).mean()
    if not different.any():
        raise UserError("non-expansiveness needs two images that differ.")
    outputs = outputs[different].clamp_min(0)
    return (outputs / extended[different]).sqrt().cpu(), (outputs / inputs[different]).sqrt().cpu()


def _paths(spectra: Tensor, psi: Tensor) -> Iterator[tuple[int, int, Tensor]]:
    """(order, last scale, spectra of the maps before the low-pass) of every path, (N, H, W) complex each."""
    yield 0, -1, spectra
    for j1, first_scale in enumerate(psi):
        for first_filter in first_scale:
            first = torch.fft.fft2(torch.fft.ifft2(spectra * first_filter).abs())
            yield 1, j1, first
            for j2 in range(j1 + 1, len(psi)):
                for second_filter in psi[j2]:
                    yield 2, j2, torch.fft.fft2(torch.fft.ifft2(first * second_filter).abs())


def _filters(J: int, shape: tuple[int, int], L: int) -> tuple[np.ndarray, np.ndarray]:
    """All wavelets (J, L, H, W) and the low-pass (H, W), real spectra in float64."""
    rows, columns = morlet_bank(J, shape, 1).phi[0]
    psi = [[wavelet(shape, j, theta, L) for theta in range(L)] for j in range(J)]
    return np.array(psi), np.outer(rows, columns)


def _inner_products(spectra: Tensor) -> Tensor:
    """(N, H, W) spectra -> (N, N) real parts of the maps' inner products, divided by the pixels, by Parseval's theorem."""
    rows = torch.view_as_real(spectra.to(torch.complex128)).flatten(1)
    return rows @ rows.T / spectra[0].numel() ** 2


def _pair_squares(gram: Tensor) -> Tensor:
    """(N, N) inner products -> squared distances of the pairs above the diagonal."""
    squares = gram.diagonal()
    first, second = torch.triu_indices(*gram.shape, offset=1, device=gram.device)
    return squares[first] + squares[second] - 2 * gram[first, second]
