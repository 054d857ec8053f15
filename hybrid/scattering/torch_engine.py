"""The engine on plain torch operations: every device, any derivative, any program. The others are compared with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hybrid.scattering.filters import MorletBank, lowpass_matrix, lowpass_spectra, morlet_bank
from hybrid.scattering.geometry import Settings
from hybrid.scattering.spectral import (
    apply_separable,
    apply_separable_adjoint,
    filter_and_fold,
    filter_and_fold_adjoint,
    filter_gradient,
    inverse,
    inverse_modulus,
    is_traced,
    modulus,
    modulus_adjoint,
    reflect_pad,
    spectrum,
    spectrum_adjoint,
)

# Largest temporary tensor, in bytes, when a batch is taken in pieces. On the CPU it should stay in the last-level cache: 6 to
# 26 MB took the same time on one of 32 MB, 3 MB a sixth longer. Elsewhere it bounds memory.
_CPU_PIECE, _DEVICE_PIECE = 8 * 2**20, 2**30


# (j, level) -> (L, h, 2w) multipliers of scale j for spectra of maps sampled every 2^level: one for the real part and one for the
# imaginary part. The mean over aliases (1/step²) and the inverse transform (1/size after folding) both divide, and are in them.
Filters = Mapping[tuple[int, int], Tensor]


class FourierEngine(nn.Module):
    """The transform of (B, H, W) float32 or float64 images, B ≥ 1, by filters that are given -> (B, P, h, w) of the same type.

    Convolutions are products of Fourier transforms; every intermediate map is sampled at the rate of its own scale, 2^j.
    A batch is computed in pieces of bounded memory, a large image by a few angles at a time. For the gradient only the
    images and the filters are kept: the backward pass computes each piece again.

    The low-pass is a set of non-persistent buffers, in float64.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        for level, (rows, columns) in enumerate(lowpass_spectra(settings.J, settings.padded)):
            step = 2 ** (settings.J - level)
            self._constant(f"phi_{level}_rows", lowpass_matrix(rows, step, dropped=settings.dropped))
            self._constant(f"phi_{level}_columns", lowpass_matrix(columns, step, dropped=settings.dropped))

    def _constant(self, name: str, values: np.ndarray) -> None:
        self.register_buffer(name, torch.from_numpy(values), persistent=False)

    def transform(self, images: Tensor, filters: Filters) -> Tensor:
        """(B, H, W) -> (B, P, h, w), differentiable with respect to the images and the filters, which have their type."""
        if is_traced():
            return self.coefficients(images, filters, self.settings.L)
        if records_gradients(images) or any(map(records_gradients, filters.values())):
            return _Recomputed.apply(images, self, tuple(filters), *filters.values())
        return self.in_pieces(images, filters)

    def words(self, device: torch.device) -> str:
        """The engine's name, as `Scattering2D.engine_on` gives it."""
        return "torch engine"

    def in_pieces(self, images: Tensor, filters: Filters) -> Tensor:
        """(B, H, W) -> (B, P, h, w), a few images or angles at a time."""
        pieces, angles = self._pieces(images)
        coefficients = [self.coefficients(piece, filters, angles) for piece in pieces]
        return torch.cat(coefficients) if len(coefficients) > 1 else coefficients[0]

    def gradient_in_pieces(
        self, images: Tensor, filters: Filters, gradients: Tensor, *, of_filters: dict[tuple[int, int], Tensor]
    ) -> Tensor:
        """The gradient of sum(gradients · coefficients): (B, H, W), filters, (B, P, h, w) -> (B, H, W).

        of_filters: tensors of the shapes of the filters, to which the gradients with respect to these are added.
        """
        pieces, angles = self._pieces(images)
        parts = gradients.split([len(piece) for piece in pieces])
        results = [
            self.gradient(piece, filters, part, angles, of_filters=of_filters)
            for piece, part in zip(pieces, parts, strict=True)
        ]
        return torch.cat(results) if len(results) > 1 else results[0]

    def _pieces(self, images: Tensor) -> tuple[tuple[Tensor, ...], int]:
        """The batch in pieces, and how many angles of the first order to take at a time: temporaries then stay small."""
        (height, width), L = self.settings.padded, self.settings.L
        per_angle = height * width * 2 * images.element_size()
        if self.settings.max_order == 2 and self.settings.J > 1:
            per_angle *= max(1, L // 2)
        limit = _CPU_PIECE if images.device.type == "cpu" else _DEVICE_PIECE
        count = max(1, limit // (per_angle * L))
        angles = min(L, max(1, limit // per_angle))
        return images.split(count), angles

    # The names below are those of the papers. ^ is the Fourier transform, ⋆ a convolution, λ = (j, θ) a scale and an angle:
    #
    #     U0 = x, the padded image       S0 = U0 ⋆ φ
    #     U1[λ1] = |U0 ⋆ ψ[λ1]|          S1[λ1] = U1[λ1] ⋆ φ
    #     U2[λ1, λ2] = |U1[λ1] ⋆ ψ[λ2]|  S2[λ1, λ2] = U2[λ1, λ2] ⋆ φ           j2 > j1
    #
    # U1 is sampled every 2^j1 pixels, U2 every 2^j2, and S0, S1, S2 every 2^J. "level" is the exponent of a map's sampling.

    def coefficients(self, images: Tensor, filters: Filters, angles: int) -> Tensor:
        """S0, S1 and S2 of (B, H, W) images: (B, P, h, w). angles: how many θ1 to take at a time."""
        J, max_order = self.settings.J, self.settings.max_order
        U0 = self._pad(images)
        U0_hat = spectrum(U0).unsqueeze(1)
        # In float64: order 0 has most of the energy, so its rounding is half the error over all; it is one path of many.
        S0 = self._lowpass(U0.double(), 0).to(U0.dtype).unsqueeze(1)
        S1, S2 = [], []
        for j1 in range(J):
            for thetas in slices(self.settings.L, angles):
                U1 = wavelet_modulus(U0_hat, filters[j1, 0][thetas], 2**j1)  # (B, θ1, h, w)
                S1.append(self._lowpass(U1, j1))
                if max_order == 2 and j1 < J - 1:
                    S2.append(self._second_order(U1, filters, j1))
        return torch.cat([S0, *S1, *S2], 1)

    def _second_order(self, U1: Tensor, filters: Filters, j1: int) -> Tensor:
        """S2 of all paths that begin with these maps of scale j1: (B, θ1, h, w) -> (B, paths, h', w'), θ1 outermost."""
        U1_hat = spectrum(U1).unsqueeze(2)
        S2 = []
        for j2 in range(j1 + 1, self.settings.J):
            U2 = wavelet_modulus(U1_hat, filters[j2, j1], 2 ** (j2 - j1))  # (B, θ1, θ2, h, w)
            S2.append(self._lowpass(U2, j2))
        return torch.cat(S2, 2).flatten(1, 2)

    def _lowpass(self, maps: Tensor, level: int) -> Tensor:
        """Maps sampled every 2^level -> their averages over 2^J pixels, without the padding."""
        return apply_separable(maps, *self._lowpass_factors(level))

    def _pad(self, images: Tensor) -> Tensor:
        """(B, H, W) -> (B, padded H, padded W)."""
        return reflect_pad(images, self.settings.margins) if self.settings.boundary == "reflect" else images

    def _lowpass_factors(self, level: int) -> tuple[Tensor, Tensor]:
        """The matrices over rows and over columns of the last low-pass, for maps sampled every 2^level."""
        return getattr(self, f"phi_{level}_rows"), getattr(self, f"phi_{level}_columns")

    # The gradient. Every map is computed again, and each step is followed by its adjoint. dU1 is the gradient with respect to
    # U1, and so on.

    def gradient(
        self,
        images: Tensor,
        filters: Filters,
        gradients: Tensor,
        angles: int,
        *,
        of_filters: dict[tuple[int, int], Tensor],
    ) -> Tensor:
        """The gradient of sum(gradients · coefficients) with respect to the images: (B, H, W), (B, P, h, w) -> (B, H, W).

        angles: how many θ1 to take at a time. of_filters: as for `gradient_in_pieces`.
        """
        with torch.enable_grad():
            leaf = images.detach().requires_grad_()
            U0 = self._pad(leaf)
        U0_hat = spectrum(U0.detach())
        dU0_hat = torch.zeros_like(U0_hat)
        for j1 in range(self.settings.J):
            for thetas in slices(self.settings.L, angles):
                dU0_hat += self._path_gradient(U0_hat, filters, gradients, (j1, thetas), of_filters)
        dU0 = spectrum_adjoint(dU0_hat) + self._lowpass_adjoint(gradients[:, 0], 0)
        return torch.autograd.grad(U0, leaf, dU0)[0]

    def _path_gradient(
        self,
        U0_hat: Tensor,
        filters: Filters,
        gradients: Tensor,
        path: tuple[int, slice],
        of_filters: dict[tuple[int, int], Tensor],
    ) -> Tensor:
        """With respect to the spectra of the images, through all paths that begin with this scale and these angles."""
        J, L = self.settings.J, self.settings.L
        j1, angles = path
        dS1 = gradients[:, 1 + L * j1 + angles.start : 1 + L * j1 + angles.stop]
        wavelets = filters[j1, 0][angles]
        waves = inverse(filter_and_fold(U0_hat.unsqueeze(1), wavelets, 2**j1))  # (B, θ1, h, w), complex
        U1 = modulus(waves)
        dU1 = self._lowpass_adjoint(dS1, j1)
        if self.settings.max_order == 2 and j1 < J - 1:
            before = 1 + L * J + sum(L * L * (J - 1 - j) for j in range(j1))
            paths = L * (J - 1 - j1)  # of one angle of the first order
            dS2 = gradients[:, before + paths * angles.start : before + paths * angles.stop].unflatten(1, (-1, paths))
            dU1 += self._second_order_gradient(spectrum(U1), filters, dS2, j1, of_filters)
        folded = _modulus_adjoint(waves, U1, dU1)
        if (j1, 0) in of_filters:
            of_filters[j1, 0][angles] += filter_gradient(folded, U0_hat)
        return filter_and_fold_adjoint(folded, wavelets, 2**j1)

    def _second_order_gradient(
        self,
        U1_hat: Tensor,
        filters: Filters,
        dS2: Tensor,
        j1: int,
        of_filters: dict[tuple[int, int], Tensor],
    ) -> Tensor:
        """With respect to U1: its spectra (B, θ1, h, 2w) and gradients (B, θ1, paths, h', w') -> (B, θ1, h, w)."""
        L, dU1_hat = self.settings.L, torch.zeros_like(U1_hat)
        for j2 in range(j1 + 1, self.settings.J):
            waves = inverse(filter_and_fold(U1_hat.unsqueeze(2), filters[j2, j1], 2 ** (j2 - j1)))
            dU2 = self._lowpass_adjoint(dS2[:, :, L * (j2 - j1 - 1) : L * (j2 - j1)], j2)
            folded = _modulus_adjoint(waves, modulus(waves), dU2)
            if (j2, j1) in of_filters:
                of_filters[j2, j1] += filter_gradient(folded.flatten(0, 1), U1_hat.flatten(0, 1))
            dU1_hat += filter_and_fold_adjoint(folded, filters[j2, j1], 2 ** (j2 - j1))
        return spectrum_adjoint(dU1_hat)

    def _lowpass_adjoint(self, gradients: Tensor, level: int) -> Tensor:
        return apply_separable_adjoint(gradients, *self._lowpass_factors(level))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> FourierEngine:
        return super()._apply(keep_precision(fn), recurse)


class TorchEngine(FourierEngine):
    """`FourierEngine` with the fixed Morlet bank: (B, H, W) float32 or float64 images, B ≥ 1 -> (B, P, h, w).

    The filters are non-persistent buffers, in two sets: exact ones for float64 images, rounded ones for float32 images.

    bank: other filters of the same sizes, in place of the Morlet bank.
    """

    def __init__(self, settings: Settings, bank: MorletBank | None = None) -> None:
        super().__init__(settings)
        for dtype in (np.float32, np.float64):
            filters = bank or morlet_bank(settings.J, settings.padded, settings.L, dtype=dtype)
            for (j, level), spectra in filters.psi.items():
                if level == 0 or settings.max_order == 2:
                    multipliers = (spectra / spectra[0].size).astype(dtype)
                    if dtype == np.float32:  # float64, which is rare, repeats them later
                        multipliers = np.repeat(multipliers, 2, axis=-1)
                    self._constant(f"psi_{j}_{level}_{np.dtype(dtype).name}", multipliers)

    def forward(self, images: Tensor) -> Tensor:
        """(B, H, W) -> (B, P, h, w)."""
        return self.transform(images, self.filters(images.dtype))

    def filters(self, dtype: torch.dtype) -> Filters:
        """The multipliers for images of this type, float32 or float64."""
        keys = levels_of(self.settings)
        if dtype == torch.float64:
            return {(j, level): getattr(self, f"psi_{j}_{level}_float64").repeat_interleave(2, -1) for j, level in keys}
        return {(j, level): getattr(self, f"psi_{j}_{level}_float32") for j, level in keys}


def levels_of(settings: Settings) -> tuple[tuple[int, int], ...]:
    """The (j, level) at which a transform applies its wavelets: at full size, and in the second order at every scale below."""
    deep = settings.max_order == 2
    return tuple((j, level) for j in range(settings.J) for level in range(max(j, 1) if deep else 1))


def keep_precision(fn: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The function of `nn.Module._apply`, which then moves tensors to a device and leaves their type alone."""

    def move(tensor: Tensor) -> Tensor:
        moved = fn(tensor)
        return moved if moved.dtype == tensor.dtype else tensor.to(moved.device)

    return move


def wavelet_modulus(spectra: Tensor, wavelets: Tensor, step: int) -> Tensor:
    """Spectra of maps -> moduli of their wavelet coefficients, of which every `step`-th is kept."""
    differentiable = is_traced() or records_gradients(spectra) or records_gradients(wavelets)
    return inverse_modulus(
        filter_and_fold(spectra, wavelets, step, differentiable=differentiable), differentiable=differentiable
    )


def _modulus_adjoint(waves: Tensor, moduli: Tensor, gradients: Tensor) -> Tensor:
    """The adjoint of modulus and inverse transform: (..., K, h, w) -> spectra (..., K, h, 2w). Writes over `moduli`."""
    of_waves = modulus_adjoint(waves, moduli, gradients)
    return torch.view_as_real(torch.fft.fft2(of_waves)).flatten(-2)


def slices(total: int, count: int) -> Iterator[slice]:
    """0 … total in slices of `count`."""
    return (slice(begin, min(begin + count, total)) for begin in range(0, total, count))


class _Recomputed(torch.autograd.Function):
    """The transform, of which only images and filters are kept; second derivatives go through the plain operations."""

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, engine: FourierEngine, keys: tuple[tuple[int, int], ...], *filters: Tensor
    ) -> Tensor:
        ctx.save_for_backward(images, *filters)
        ctx.engine, ctx.keys = engine, keys
        return engine.in_pieces(images, dict(zip(keys, filters, strict=True)))

    @staticmethod
    def backward(ctx: Any, gradients: Tensor) -> tuple[Tensor | None, ...]:
        images, *filters = ctx.saved_tensors
        wanted = [key for key, needed in zip(ctx.keys, ctx.needs_input_grad[3:], strict=True) if needed]
        differentiable = torch.is_grad_enabled()
        if differentiable or _is_many_gradients(gradients):
            return _through_plain_operations(ctx, images, filters, gradients, differentiable)
        bank = dict(zip(ctx.keys, filters, strict=True))
        of_filters = {key: torch.zeros_like(bank[key]) for key in wanted}
        of_images = ctx.engine.gradient_in_pieces(images, bank, gradients, of_filters=of_filters)
        return of_images, None, None, *(of_filters.get(key) for key in ctx.keys)


def _through_plain_operations(
    ctx: Any, images: Tensor, filters: list[Tensor], gradients: Tensor, differentiable: bool
) -> tuple[Tensor | None, ...]:
    """What `_Recomputed.backward` returns, itself differentiable."""
    needed = [ctx.needs_input_grad[0], *ctx.needs_input_grad[3:]]
    with torch.enable_grad():
        # new nodes: the gradients that came in may depend on the images and the filters, too
        images, *filters = (tensor.view_as(tensor) for tensor in (images, *filters))
        bank = dict(zip(ctx.keys, filters, strict=True))
        coefficients = ctx.engine.coefficients(images, bank, ctx.engine.settings.L)
    inputs = [tensor for tensor, wanted in zip((images, *filters), needed, strict=True) if wanted]
    found = iter(torch.autograd.grad(coefficients, inputs, gradients, create_graph=differentiable))
    of_images, *of_filters = (next(found) if wanted else None for wanted in needed)
    return of_images, None, None, *of_filters


def _is_many_gradients(gradients: Tensor) -> bool:
    """Whether `torch.autograd.grad(..., is_grads_batched=True)` hands several over as one: it has no in-place operations."""
    return torch._C._dispatch_keys(gradients).has(torch._C._dispatch_key_parse("Batched"))


def records_gradients(tensor: Tensor) -> bool:
    """Whether autograd records what is computed from this tensor."""
    return torch.is_grad_enabled() and tensor.requires_grad
