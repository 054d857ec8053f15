"""The scattering transform on plain torch operations."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from hybrid.scattering.filters import MorletBank, lowpass_matrix, morlet_bank
from hybrid.scattering.geometry import margins
from hybrid.scattering.gradient import gradient, slices
from hybrid.scattering.interface import ScatteringModule
from hybrid.scattering.spectral import (
    apply_separable,
    filter_and_fold,
    inverse_modulus,
    is_traced,
    reflect_pad,
    spectrum,
)

# Largest temporary tensor, in bytes, when a batch is taken in pieces. On the CPU it should stay in the last-level cache: 6 to
# 26 MB took the same time on one of 32 MB, 3 MB a sixth longer. Elsewhere it bounds memory.
_CPU_PIECE, _DEVICE_PIECE = 8 * 2**20, 2**30


class Scattering2D(ScatteringModule):
    """Scattering of order ≤ 2 with Morlet wavelets (Mallat 2012; Bruna & Mallat 2013), equal to kymatio 0.3's Scattering2D.

    Order 0 is x ⋆ φ, order 1 |x ⋆ ψ1| ⋆ φ, order 2 ||x ⋆ ψ1| ⋆ ψ2| ⋆ φ with ψ2 of larger scale than ψ1, all sampled every
    2^J pixels, on the image extended by reflection. Convolutions are products of Fourier transforms; every intermediate map
    is sampled at the rate of its own scale, 2^j.

    J: the largest scale, 2^J pixels; 1 ≤ J and 2^J ≤ min(H, W). shape: (H, W) of the images. L: number of angles over half a
    turn. max_order: 1 or 2. pre_pad: the images come already padded to `padded_shape`, so no reflection is added.
    Raises ValueError saying what fits. float64 needs a device that has it (Apple's MPS has not).

    It is differentiable (the modulus has gradient 0 at 0), may be pickled, copied, compiled as one graph and exported with a
    dynamic batch. A batch is computed in pieces of bounded memory, a large image by a few angles at a time. For the gradient
    only the images are kept: it computes each piece again.
    """

    def __init__(
        self, J: int, shape: tuple[int, int], L: int = 8, max_order: int = 2, *, pre_pad: bool = False
    ) -> None:
        super().__init__(J, shape, L, max_order, pre_pad=pre_pad)
        self._margins = margins(self.shape, J)
        self._register_wavelets(morlet_bank(J, self.padded_shape, L, dtype=np.float32), "float32")
        bank = morlet_bank(J, self.padded_shape, L)
        self._register_wavelets(bank, "float64")
        for level, (rows, columns) in enumerate(bank.phi):
            self._constant(f"phi_{level}_rows", lowpass_matrix(rows, 2 ** (J - level)))
            self._constant(f"phi_{level}_columns", lowpass_matrix(columns, 2 ** (J - level)))

    def _register_wavelets(self, bank: MorletBank, dtype: str) -> None:
        for (j, level), spectra in bank.psi.items():
            if level > 0 and self.max_order < 2:
                continue
            # The mean over aliases (1/step²) and the inverse transform (1/size after folding) both divide: once, here.
            multipliers = (spectra / spectra[0].size).astype(dtype)
            if (
                dtype == "float32"
            ):  # a factor for the real, one for the imaginary part; float64, the rare one, does it later
                multipliers = np.repeat(multipliers, 2, axis=-1)
            self._constant(f"psi_{j}_{level}_{dtype}", multipliers)

    def _constant(self, name: str, values: np.ndarray) -> None:
        self.register_buffer(name, torch.from_numpy(values), persistent=False)

    def _transform(self, images: Tensor) -> Tensor:
        if is_traced():
            return self._coefficients(images, self.L)
        if _records_gradients(images):
            return _Recomputed.apply(images, self)
        return self._in_pieces(images)

    def _in_pieces(self, images: Tensor) -> Tensor:
        """(B, H, W) -> (B, P, h, w), a few images or angles at a time."""
        pieces, angles = self._pieces(images)
        coefficients = [self._coefficients(piece, angles) for piece in pieces]
        return torch.cat(coefficients) if len(coefficients) > 1 else coefficients[0]

    def _gradient_in_pieces(self, images: Tensor, gradients: Tensor) -> Tensor:
        """The gradient of sum(gradients · coefficients): (B, H, W), (B, P, h, w) -> (B, H, W)."""
        pieces, angles = self._pieces(images)
        sizes = [len(piece) for piece in pieces]
        parts = [
            gradient(self, piece, part, angles) for piece, part in zip(pieces, gradients.split(sizes), strict=True)
        ]
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def _pieces(self, images: Tensor) -> tuple[tuple[Tensor, ...], int]:
        """The batch in pieces, and how many angles of the first order to take at a time: temporaries then stay small."""
        height, width = self.padded_shape
        per_angle = height * width * 2 * images.element_size()
        if self.max_order == 2 and self.J > 1:
            per_angle *= max(1, self.L // 2)
        limit = _CPU_PIECE if images.device.type == "cpu" else _DEVICE_PIECE
        count = max(1, limit // (per_angle * self.L))
        angles = min(self.L, max(1, limit // per_angle))
        return images.split(count), angles

    def _coefficients(self, images: Tensor, angles: int) -> Tensor:
        padded = self.pad(images)
        image_spectrum = spectrum(padded).unsqueeze(1)
        # In float64: order 0 has most of the energy, so its rounding is half the error over all; it is one path of many.
        zeroth = self._lowpass(padded.double(), 0).to(padded.dtype).unsqueeze(1)
        first, second = [], []
        for j1 in range(self.J):
            for some in slices(self.L, angles):
                modulus = self._wavelet_modulus(image_spectrum, j1, level=0, angles=some)  # (B, theta1, h, w)
                first.append(self._lowpass(modulus, j1))
                if self.max_order == 2 and j1 < self.J - 1:
                    second.append(self._second_order(modulus, j1))
        return torch.cat([zeroth, *first, *second], 1)

    def _second_order(self, first: Tensor, j1: int) -> Tensor:
        """All paths that begin with these maps of scale j1: (B, theta1, h, w) -> (B, paths, h', w'), theta1 outermost."""
        spectra = spectrum(first).unsqueeze(2)
        maps = []
        for j2 in range(j1 + 1, self.J):
            modulus = self._wavelet_modulus(spectra, j2, level=j1)  # (B, theta1, theta2, h, w)
            maps.append(self._lowpass(modulus, j2))
        return torch.cat(maps, 2).flatten(1, 2)

    def _wavelet_modulus(self, spectra: Tensor, j: int, *, level: int, angles: slice = slice(None)) -> Tensor:
        """Spectra of maps sampled every 2^level -> moduli of their wavelet coefficients of scale j, sampled every 2^j."""
        differentiable = is_traced() or _records_gradients(spectra)
        wavelets = self.wavelets(j, level, spectra.dtype, angles)
        folded = filter_and_fold(spectra, wavelets, 2 ** (j - level), differentiable=differentiable)
        return inverse_modulus(folded, differentiable=differentiable)

    def _lowpass(self, maps: Tensor, level: int) -> Tensor:
        """Maps sampled every 2^level -> their averages over 2^J pixels, without the padding."""
        return apply_separable(maps, *self.lowpass_factors(level))

    def pad(self, images: Tensor) -> Tensor:
        """(B, H, W) -> (B, padded H, padded W)."""
        return images if self.pre_pad else reflect_pad(images, self._margins)

    def wavelets(self, j: int, level: int, dtype: torch.dtype, angles: slice = slice(None)) -> Tensor:
        """The multipliers of scale j for spectra of maps sampled every 2^level: (angles, h, 2w)."""
        if dtype == torch.float64:
            return getattr(self, f"psi_{j}_{level}_float64")[angles].repeat_interleave(2, -1)
        return getattr(self, f"psi_{j}_{level}_float32")[angles]

    def lowpass_factors(self, level: int) -> tuple[Tensor, Tensor]:
        """The matrices over rows and over columns of the last low-pass, for maps sampled every 2^level."""
        return getattr(self, f"phi_{level}_rows"), getattr(self, f"phi_{level}_columns")


class _Recomputed(torch.autograd.Function):
    """The transform, of which only the images are kept; second derivatives go through the plain operations."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, engine: Scattering2D) -> Tensor:
        ctx.save_for_backward(images)
        ctx.engine = engine
        return engine._in_pieces(images)

    @staticmethod
    def backward(ctx: Any, gradients: Tensor) -> tuple[Tensor, None]:
        (images,) = ctx.saved_tensors
        differentiable = torch.is_grad_enabled()
        if not differentiable and not _is_many_gradients(gradients):
            return ctx.engine._gradient_in_pieces(images, gradients), None
        with torch.enable_grad():
            images = images.view_as(images)  # a new node: the gradients that came in may depend on the images, too
            coefficients = ctx.engine._coefficients(images, ctx.engine.L)
        return torch.autograd.grad(coefficients, images, gradients, create_graph=differentiable)[0], None


def _is_many_gradients(gradients: Tensor) -> bool:
    """Whether `torch.autograd.grad(..., is_grads_batched=True)` hands several over as one: it has no in-place operations."""
    return torch._C._dispatch_keys(gradients).has(torch._C._dispatch_key_parse("Batched"))


def _records_gradients(tensor: Tensor) -> bool:
    return torch.is_grad_enabled() and tensor.requires_grad
