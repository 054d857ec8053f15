"""The gradient of the torch engine: every map is computed again, not kept, and each step is followed by its adjoint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hybrid.scattering.spectral import (
    apply_separable_adjoint,
    filter_and_fold,
    filter_and_fold_adjoint,
    inverse,
    modulus,
    modulus_adjoint,
    spectrum,
    spectrum_adjoint,
)

if TYPE_CHECKING:
    from hybrid.scattering.transform import Scattering2D


def gradient(engine: Scattering2D, images: Tensor, gradients: Tensor, angles: int) -> Tensor:
    """The gradient of sum(gradients · coefficients) with respect to the images: (B, H, W), (B, P, h, w) -> (B, H, W).

    angles: of the first order, how many are taken at a time.
    """
    with torch.enable_grad():
        leaf = images.detach().requires_grad_()
        padded = engine.pad(leaf)
    image_spectrum = spectrum(padded.detach())
    total = torch.zeros_like(image_spectrum)
    for j1 in range(engine.J):
        for some in slices(engine.L, angles):
            total += _path_gradient(engine, image_spectrum, gradients, j1, some)
    of_padded = spectrum_adjoint(total) + _lowpass_adjoint(engine, gradients[:, 0], 0)
    return torch.autograd.grad(padded, leaf, of_padded)[0]


def slices(total: int, count: int) -> Iterator[slice]:
    """0 … total in slices of `count`."""
    return (slice(begin, min(begin + count, total)) for begin in range(0, total, count))


def _path_gradient(engine: Scattering2D, spectra: Tensor, gradients: Tensor, j1: int, angles: slice) -> Tensor:
    """With respect to the spectra of the images, through all paths that begin with scale j1 and these angles."""
    L = engine.L
    of_first = gradients[:, 1 + L * j1 + angles.start : 1 + L * j1 + angles.stop]
    wavelets = engine.wavelets(j1, 0, spectra.dtype, angles)
    maps = inverse(filter_and_fold(spectra.unsqueeze(1), wavelets, 2**j1))  # (B, theta1, h, w)
    moduli = modulus(maps)
    of_moduli = _lowpass_adjoint(engine, of_first, j1)
    if engine.max_order == 2 and j1 < engine.J - 1:
        paths_before = 1 + L * engine.J + sum(L * L * (engine.J - 1 - j) for j in range(j1))
        paths = L * (engine.J - 1 - j1)  # of one angle of the first order
        of_second = gradients[:, paths_before + paths * angles.start : paths_before + paths * angles.stop]
        of_moduli += _second_order_gradient(engine, spectrum(moduli), of_second.unflatten(1, (-1, paths)), j1)
    return _wavelet_adjoint(maps, moduli, of_moduli, wavelets, 2**j1)


def _second_order_gradient(engine: Scattering2D, spectra: Tensor, gradients: Tensor, j1: int) -> Tensor:
    """With respect to first-order moduli: their spectra (B, theta1, h, 2w) and gradients (B, theta1, paths, h', w')."""
    total = torch.zeros_like(spectra)
    for j2 in range(j1 + 1, engine.J):
        wavelets = engine.wavelets(j2, j1, spectra.dtype)
        maps = inverse(filter_and_fold(spectra.unsqueeze(2), wavelets, 2 ** (j2 - j1)))
        some = slice(engine.L * (j2 - j1 - 1), engine.L * (j2 - j1))
        of_moduli = _lowpass_adjoint(engine, gradients[:, :, some], j2)
        total += _wavelet_adjoint(maps, modulus(maps), of_moduli, wavelets, 2 ** (j2 - j1))
    return spectrum_adjoint(total)


def _wavelet_adjoint(maps: Tensor, moduli: Tensor, of_moduli: Tensor, wavelets: Tensor, step: int) -> Tensor:
    """The adjoint of modulus, inverse transform and filter: (..., K, h/step, w/step) -> (..., h, 2w). Writes over `moduli`."""
    of_maps = modulus_adjoint(maps, moduli, of_moduli)
    folded = torch.view_as_real(torch.fft.fft2(of_maps)).flatten(-2)
    return filter_and_fold_adjoint(folded, wavelets, step)


def _lowpass_adjoint(engine: Scattering2D, gradients: Tensor, level: int) -> Tensor:
    return apply_separable_adjoint(gradients, *engine.lowpass_factors(level))
