"""The transform on rotations and translations, on plain torch operations.

    U1[θ1, j1] = |x ⋆ ψ[j1, θ1]|                               a function of position and angle, for each scale
    V[j1, k2] = |U1 ⋆ φ ⊛ ψ[k2]|                               ⊛ is the convolution along the angle
    U2[j1, j2, θ2, k2] = |U1[θ1] ⋆ ψ[j2, θ1 + θ2] ⊛ ψ[k2]|     the spatial wavelet turns with θ1; ψ[-1] is a low-pass
    S = mean over θ1, then ⋆ φ                                 both are linear, and a mean makes the low-passes fewer

As in the translation transform every map is sampled at the rate of its own scale, by summing aliases in Fourier space.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from hybrid.scattering.filters import lowpass_matrix, lowpass_spectra, morlet_bank
from hybrid.scattering.rotation.angular import angular_matrices
from hybrid.scattering.rotation.parameters import RotationSettings
from hybrid.scattering.spectral import (
    apply_separable,
    filter_and_fold,
    filtered,
    inverse,
    is_traced,
    modulus_of_parts,
    product_type,
    reflect_pad,
    spectrum,
)
from hybrid.scattering.torch_engine import keep_precision, levels_of, records_gradients, slices, wavelet_modulus

# Largest temporary tensor, in bytes, as in the torch engine of the translation transform.
_CPU_PIECE, _DEVICE_PIECE = 4 * 2**20, 2**29


class RotationEngine(nn.Module):
    """(B, H, W) float32 or float64 images, B ≥ 1 -> (B, P, h, w) of the same type.

    A batch is computed in pieces of bounded memory. For the gradient each piece is computed again.

    On maps that are sampled more coarsely than the image, both Nyquist lines of the filters are 0. kymatio keeps one of the two,
    which is no symmetric choice: maps of an image that is turned by 90 degrees would then not be exactly the turned maps.
    """

    def __init__(self, settings: RotationSettings) -> None:
        super().__init__()
        self.settings, self.plane = settings, settings.plane
        for level, factors in enumerate(lowpass_spectra(self.plane.J, self.plane.padded)):
            rows, columns = (_symmetric(torch.from_numpy(factor), level, -1) for factor in factors)
            self._lowpass_constants(level, rows, columns)
        for dtype in (np.float32, np.float64):
            bank = morlet_bank(self.plane.J, self.plane.padded, self.plane.L, dtype=dtype)
            for j, level in levels_of(self.plane):
                spectra = torch.from_numpy(bank.psi[j, level] / bank.psi[j, level][0].size)
                values = _symmetric(_symmetric(spectra, level, -1), level, -2)
                if dtype == np.float32:  # float64, which is rare, makes them later
                    values = _whole_turn(values).float()
                self._constant(f"psi_{j}_{level}_{np.dtype(dtype).name}", values)
        matrices = angular_matrices(self.plane.L, settings.K, joint=settings.joint)
        self._constant("of_moduli", torch.from_numpy(matrices.of_moduli))
        self._constant("of_waves", torch.from_numpy(matrices.of_waves))

    def _lowpass_constants(self, level: int, rows: Tensor, columns: Tensor) -> None:
        step, dropped = 2 ** (self.plane.J - level), self.plane.dropped
        for name, factor in (("rows", rows), ("columns", columns)):
            matrix = lowpass_matrix(factor.numpy(), step, dropped=dropped)
            self._constant(f"phi_{level}_{name}", torch.from_numpy(matrix))
        self._constant(f"phi_{level}", torch.outer(rows, columns / (len(rows) * len(columns))).repeat_interleave(2, -1))

    def _constant(self, name: str, values: Tensor) -> None:
        self.register_buffer(name, values, persistent=False)

    def words(self, device: torch.device) -> str:
        """The engine's name, as `ImageTransform.engine_on` gives it."""
        return "torch engine"

    def forward(self, images: Tensor) -> Tensor:
        """(B, H, W) -> (B, P, h, w)."""
        if is_traced():
            return self.coefficients(images)
        pieces = [self._piece(piece) for piece in images.split(self._images_at_a_time(images))]
        return torch.cat(pieces) if len(pieces) > 1 else pieces[0]

    def _piece(self, images: Tensor) -> Tensor:
        if records_gradients(images):
            return checkpoint(self.coefficients, images, use_reentrant=False, preserve_rng_state=False)
        return self.coefficients(images)

    def coefficients(self, images: Tensor) -> Tensor:
        """All paths of (B, H, W) images: (B, P, h, w)."""
        U0 = reflect_pad(images, self.plane.margins) if self.plane.boundary == "reflect" else images
        U0_hat = spectrum(U0).unsqueeze(1)
        S0 = self._lowpass(U0.double(), 0).to(U0.dtype).unsqueeze(1)  # in float64, because it has most of the energy
        S1, S2 = [], []
        for j1 in range(self.plane.J):
            U1 = wavelet_modulus(U0_hat, self._psi(j1, 0, U0.dtype)[: self.plane.L], 2**j1)  # (B, θ1, h, w)
            U1_hat = spectrum(U1)
            S1.append(self._lowpass(self._over_angles(U1, 1), j1))
            S2.append(self._angular_paths(U1_hat, j1))
            S2.extend(self._wave_paths(U1_hat, j1, j2) for j2 in range(j1 + 1, self.plane.J))
        return torch.cat([S0, *S1, *S2], 1)

    def _angular_paths(self, U1_hat: Tensor, j1: int) -> Tensor:
        """V of all k2, averaged: spectra (B, θ1, h, 2w) -> (B, paths, h', w')."""
        maps = filtered(U1_hat, getattr(self, f"phi_{j1}").to(U1_hat.dtype)).transpose(0, 1)  # U1 ⋆ φ, (θ1, B, h, w)
        moduli = self._moduli(self.of_moduli, maps.flatten(1)).unflatten(0, (self.settings.K, -1))
        averages = self._over_angles(moduli, 1).flatten(0, 1).unflatten(-1, maps.shape[1:])
        return self._lowpass(averages.transpose(0, 1), j1)

    def _wave_paths(self, U1_hat: Tensor, j1: int, j2: int) -> Tensor:
        """U2 of all θ2 and k2, averaged: spectra (B, θ1, h, 2w) -> (B, paths, h', w'), a few θ2 at a time."""
        L, (height, width) = self.plane.L, self.plane.padded
        turning = self._psi(j2, j1, U1_hat.dtype)
        # (θ1, θ2, h, 2w), a view: wavelet θ1 + θ2, or wavelet θ2 for every θ1
        windows = turning.unfold(0, L, 1)[:L].movedim(-1, 1) if self.settings.joint else turning[None, :L]
        count = L
        if not is_traced():
            per_angle = len(U1_hat) * len(self.of_waves) * (height >> j2) * (width >> j2) * U1_hat.element_size()
            count = max(1, _limit(U1_hat) // per_angle)
        parts = [self._waves(U1_hat, windows[:, thetas], 2 ** (j2 - j1)) for thetas in slices(L, count)]
        return self._lowpass(torch.cat(parts, 2), j2).permute(1, 2, 0, 3, 4).flatten(1, 2)

    def _waves(self, U1_hat: Tensor, windows: Tensor, step: int) -> Tensor:
        """U2 of some θ2, whose wavelets are (θ1, θ2, h, 2w): (B, θ1, h, 2w) -> (k2 · θ1, B, θ2, h', w')."""
        L, K = self.plane.L, self.settings.K
        differentiable = is_traced() or records_gradients(U1_hat)
        waves = inverse(filter_and_fold(U1_hat.unsqueeze(2), windows, step, differentiable=differentiable))
        samples = torch.view_as_real(waves).permute(5, 1, 0, 2, 3, 4)  # (part, θ1, B, θ2, h', w')
        moduli = self._moduli(self.of_waves, samples.reshape(2 * L, -1))
        low = self._over_angles(moduli[:L], 0)
        high = self._over_angles(moduli[L:].unflatten(0, (K, 2 * L)), 1).flatten(0, 1)
        return torch.cat([low, high]).unflatten(-1, samples.shape[2:])

    def _moduli(self, matrix: Tensor, samples: Tensor) -> Tensor:
        """|matrix · samples|, where the upper half of the rows gives real parts and the lower half imaginary ones."""
        dtype = product_type(samples)
        parts = (matrix.to(dtype) @ samples.to(dtype)).to(samples.dtype)
        return modulus_of_parts(*parts.chunk(2), differentiable=is_traced() or records_gradients(samples))

    def _over_angles(self, moduli: Tensor, axis: int) -> Tensor:
        """The mean over the axis of the angles, which stays; or the moduli as they are, where angles are not averaged."""
        return moduli.mean(axis, keepdim=True) if self.settings.average_angles else moduli

    def _lowpass(self, maps: Tensor, level: int) -> Tensor:
        """Maps sampled every 2^level -> their averages over 2^J pixels, without the padding."""
        return apply_separable(maps, getattr(self, f"phi_{level}_rows"), getattr(self, f"phi_{level}_columns"))

    def _psi(self, j: int, level: int, dtype: torch.dtype) -> Tensor:
        """(2L, h, 2w) multipliers of scale j and every angle of a whole turn, for maps sampled every 2^level."""
        if dtype == torch.float64:
            return _whole_turn(getattr(self, f"psi_{j}_{level}_float64"))
        return getattr(self, f"psi_{j}_{level}_float32")

    def _images_at_a_time(self, images: Tensor) -> int:
        """So many that neither the spectra of order 1 nor the waves of one θ2 are larger than the limit."""
        height, width = self.plane.padded
        numbers = max(2 * self.plane.L, len(self.of_waves) // 4) * height * width
        return max(1, _limit(images) // (numbers * images.element_size()))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> RotationEngine:
        return super()._apply(keep_precision(fn), recurse)


def _limit(tensor: Tensor) -> int:
    return _CPU_PIECE if tensor.device.type == "cpu" else _DEVICE_PIECE


def _symmetric(spectra: Tensor, level: int, axis: int) -> Tensor:
    """Spectra for maps sampled every 2^level with 0 at the axis' Nyquist frequency, if these are coarser than the image."""
    if level == 0:
        return spectra
    result = spectra.clone()
    result.select(axis, spectra.shape[axis] // 2).zero_()
    return result


def _whole_turn(spectra: Tensor) -> Tensor:
    """(L, h, w) of half a turn -> (2L, h, 2w) of a whole one, each number for the real and the imaginary part.

    Half a turn further, a wavelet's spectrum is reflected at frequency 0.
    """
    opposite = spectra.flip(-1, -2).roll((1, 1), (-1, -2))
    return torch.cat([spectra, opposite]).repeat_interleave(2, -1)
