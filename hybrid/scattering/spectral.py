"""The tensor operations of the torch engine.

Spectra are kept as real tensors (..., h, 2w), real and imaginary parts interleaved along the rows: a product with a real
filter and the sum of aliases are then plain vectorised arithmetic, where torch's complex kernels are several times
slower.
"""

from __future__ import annotations

from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor


def reflect_pad(images: Tensor, margins: tuple[tuple[int, int], tuple[int, int]]) -> Tensor:
    """Pad (B, H, W) by mirroring without repeating the edge, by ((top, bottom), (left, right)) pixels of at most H, W."""
    vertical, horizontal = margins
    images = _reflect_rows(images, vertical)
    return _reflect_rows(images.transpose(-1, -2), horizontal).transpose(-1, -2).contiguous()


def _reflect_rows(images: Tensor, margin: tuple[int, int]) -> Tensor:
    size = images.shape[-2]
    # torch mirrors at most size - 1 rows. A margin of `size` needs one more: the reflection has turned round by then.
    short = [min(pixels, size - 1) for pixels in margin]
    padded = F.pad(images.unsqueeze(1), (0, 0, *short), mode="reflect").squeeze(1)
    if margin[0] == size:
        padded = torch.cat([padded[..., 1:2, :], padded], -2)
    if margin[1] == size:
        padded = torch.cat([padded, padded[..., -2:-1, :]], -2)
    return padded


def spectrum(maps: Tensor) -> Tensor:
    """Real maps (..., h, w) -> their 2-D Fourier transform (..., h, 2w).

    torch computes the half that a real map needs and mirrors it; the wavelets are one-sided, so they need it whole.
    A map's mean, its largest coefficient by far, is added last: in the sums of the transform it would cost the others two
    or three bits. The result does not depend on what was subtracted, so no gradient goes through it.
    """
    mean = maps.detach().mean((-2, -1), keepdim=True)
    spectra = torch.view_as_real(torch.fft.fft2(maps - mean))
    spectra[..., 0, 0, 0] += (maps.shape[-2] * maps.shape[-1] * mean).squeeze((-2, -1))
    return spectra.flatten(-2)


def spectrum_adjoint(spectra: Tensor) -> Tensor:
    """The adjoint of `spectrum`: (..., h, 2w) -> real maps (..., h, w)."""
    return torch.view_as_real(inverse(spectra))[..., 0]


def filter_and_fold(spectra: Tensor, filters: Tensor, step: int, *, differentiable: bool = False) -> Tensor:
    """Multiply (..., h, 2w) spectra by filters of that size, and sum the step × step aliases: (..., h/step, 2w/step).

    Summing aliases is keeping every step-th sample in space, times step². Rows are summed while multiplying, so the full
    product never exists. differentiable: autograd or a tracer looks on, so nothing is written over.
    """
    add_product = torch.addcmul if differentiable else Tensor.addcmul_
    (rows, weights), *others = zip(spectra.chunk(step, -2), filters.chunk(step, -2), strict=True)
    product = rows * weights
    for rows, weights in others:
        product = add_product(product, rows, weights)
    return reduce(torch.add, product.chunk(step, -1))


def filter_and_fold_adjoint(folded: Tensor, filters: Tensor, step: int) -> Tensor:
    """The adjoint of `filter_and_fold`, summed over the filters: (..., K, h/step, 2w/step), (K, h, 2w) -> (..., h, 2w)."""
    height, width = folded.shape[-2:]
    result = folded.new_empty(*folded.shape[:-3], *filters.shape[-2:])
    for top in range(0, step * height, height):
        for left in range(0, step * width, width):
            window = (..., slice(top, top + height), slice(left, left + width))
            total = result[window]
            torch.mul(folded[..., 0, :, :], filters[0][window], out=total)
            for k in range(1, len(filters)):
                total.addcmul_(folded[..., k, :, :], filters[k][window])
    return result


def filter_gradient(folded: Tensor, spectra: Tensor) -> Tensor:
    """The gradient of `filter_and_fold` with respect to the filters, summed over the maps.

    folded: (B, K, h/step, 2w/step) gradients of its result. spectra: (B, h, 2w), what it multiplied. Returns (K, h, 2w).
    """
    height, width = folded.shape[-2:]
    rows = [
        [(folded * window.unsqueeze(1)).sum(0) for window in band.split(width, -1)]
        for band in spectra.split(height, -2)
    ]
    return torch.cat([torch.cat(row, -1) for row in rows], -2)


def inverse(spectra: Tensor) -> Tensor:
    """The inverse Fourier transform of (..., h, 2w), without the division by h·w: (..., h, w), complex."""
    return torch.fft.ifft2(torch.view_as_complex(spectra.unflatten(-1, (-1, 2))), norm="forward")


def filtered(spectra: Tensor, filters: Tensor) -> Tensor:
    """Spectra (..., h, 2w) of real maps, times one symmetric filter (h, 2w), which divides by h·w -> real maps (..., h, w)."""
    height, width = spectra.shape[-2], spectra.shape[-1] // 2
    half = 2 * (width // 2 + 1)  # a real map's other frequencies are conjugates of these
    product = (spectra[..., :half] * filters[..., :half]).unflatten(-1, (-1, 2))
    return torch.fft.irfft2(torch.view_as_complex(product), s=(height, width), norm="forward")


def inverse_modulus(spectra: Tensor, *, differentiable: bool) -> Tensor:
    """|inverse Fourier transform| of (..., h, 2w), without the division by h·w: (..., h, w), real.

    differentiable: the gradient of the modulus at 0 is 0 (it has none; torch's square root would give NaN).
    """
    parts = torch.view_as_real(inverse(spectra))
    if not differentiable:
        real, imaginary = parts.square_().unbind(-1)
        return (real + imaginary).sqrt_()
    real, imaginary = parts.square().unbind(-1)
    return _root(real + imaginary)


def modulus_of_parts(real: Tensor, imaginary: Tensor, *, differentiable: bool) -> Tensor:
    """|z| of real and imaginary parts; without `differentiable` it is written over the former. Its gradient at 0 is 0."""
    if not differentiable:
        return real.square_().addcmul_(imaginary, imaginary).sqrt_()
    return _root(real.square() + imaginary.square())


def _root(power: Tensor) -> Tensor:
    """The square root, with gradient 0 at 0."""
    zero = power == 0
    return power.masked_fill(zero, 1).sqrt().masked_fill(zero, 0)


def modulus(maps: Tensor) -> Tensor:
    """|z| of complex maps: torch's own is several times slower."""
    real, imaginary = torch.view_as_real(maps).unbind(-1)
    return (real * real).addcmul_(imaginary, imaginary).sqrt_()


def modulus_adjoint(maps: Tensor, moduli: Tensor, gradients: Tensor) -> Tensor:
    """z / |z|, times the gradients with respect to |z|; 0 where z is 0. Writes over `moduli`."""
    return maps * (gradients / moduli.masked_fill_(moduli == 0, torch.inf))


def apply_separable(maps: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """rows · map · columnsᵀ for each of (..., h, w) maps, in their type: (..., h', w'). The factors are float64."""
    dtype = product_type(maps)
    by_columns = (
        columns.to(dtype) @ maps.to(dtype).reshape(-1, maps.shape[-1]).T
    )  # (w', … · h): one product for all maps
    by_rows = by_columns.reshape(-1, maps.shape[-2]) @ rows.to(dtype).T
    return by_rows.reshape(len(columns), *maps.shape[:-2], len(rows)).movedim(0, -1).to(maps.dtype)


def apply_separable_adjoint(maps: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The adjoint of `apply_separable`: rowsᵀ · map · columns, (..., h', w') -> (..., h, w)."""
    dtype = product_type(maps)
    by_rows = maps.movedim(-1, 0).to(dtype).reshape(-1, len(rows)) @ rows.to(dtype)
    by_columns = by_rows.reshape(len(columns), -1).T @ columns.to(dtype)
    return by_columns.reshape(*maps.shape[:-2], rows.shape[-1], columns.shape[-1]).to(maps.dtype)


def product_type(maps: Tensor) -> torch.dtype:
    """The type in which to multiply matrices: float32 where torch then does so in float32, else float64.

    Training scripts switch on autocast and reduced float32 products (TF32, bfloat16) for the network; here they would cost
    three digits. Products of float64 ignore both. On a CPU they make the transform a sixth slower.
    """
    if maps.dtype == torch.float64 or maps.device.type != "cpu" or is_traced() or torch.is_autocast_enabled("cpu"):
        return torch.float64
    if hasattr(torch.backends.mkldnn, "matmul"):
        exact = torch.backends.mkldnn.matmul.fp32_precision in ("none", "ieee")
    else:  # torch < 2.9
        exact = torch.get_float32_matmul_precision() == "highest"
    return torch.float32 if exact else torch.float64


def is_traced() -> bool:
    """Whether torch records a graph of the operations (torch.compile, export, jit), or differentiates or maps them as they go."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing() or is_transformed()


def is_transformed() -> bool:
    """Whether torch.func transforms the operations, or forward-mode differentiation carries tangents through them."""
    return torch._C._are_functorch_transforms_active() or torch.autograd.forward_ad._current_level >= 0
