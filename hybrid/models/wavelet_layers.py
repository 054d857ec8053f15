"""The layers of a network of wavelets: non-linearities of complex maps, batch norm, and learned mixtures of channels.

Complex maps are those of `hybrid.models.wavelets`: (N, 2C, H, W), the real part of a channel before its imaginary part. Tensors
of this module keep the images innermost in memory, so that a mixture of channels is one product of large matrices. The sources
are those of `hybrid.models.wavelet_block`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Nonlinearity = Literal["modulus", "phases", "threshold"]
Weights = Literal["complex", "real"]
Normalize = Literal["norm", "relu"]
Concentrate = Literal["none", "threshold", "relu"]
InitialMixture = Literal["orthonormal", "uniform"]
Sum = Callable[[Tensor], Tensor]
PARSEVAL_STEP = 5e-4
_EPS_OF_THE_NORM = 1e-12


class Modulus(nn.Module):
    """|z| of complex maps: (N, 2C, H, W) -> (N, C, H, W). Its gradient at 0 is 0."""

    is_nonlinearity = True

    def forward(self, maps: Tensor) -> Tensor:
        return modulus(maps, fast=self.training)


class Phases(nn.Module):
    """ReLU of four phases of complex maps, Re z, Im z, -Re z, -Im z: (N, 2C, H, W) -> (N, 4C, H, W)."""

    is_nonlinearity = True

    def forward(self, maps: Tensor) -> Tensor:
        parts = maps.unflatten(1, (-1, 1, 2))
        return torch.cat([parts, -parts], 2).flatten(1, 3).relu()


class SoftThreshold(nn.Module):
    """z · max(1 - λ / |z|, 0) of complex maps (N, 2C, H, W), with a learned λ for each of the C channels; 0.1 at first.

    It keeps the phase, which the modulus removes: the networks of "Phase Collapse" fail with it.
    """

    is_nonlinearity = True

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.threshold = nn.Parameter(torch.full((channels,), 0.1))

    def forward(self, maps: Tensor) -> Tensor:
        size = modulus(maps, fast=self.training)
        kept = (size - self.threshold[:, None, None]).relu() / size.clamp_min(1e-6)
        return (maps.unflatten(1, (-1, 2)) * kept[:, :, None]).flatten(1, 2)


class PixelNorm(nn.Module):
    """Maps (N, C, H, W) divided at each pixel by the norm of their channels, √(Σ x² + 1e-12). The released code has no 1e-12."""

    def forward(self, maps: Tensor) -> Tensor:
        rows = _rows(maps)
        squares = rows.square().sum(0)
        return _maps(rows * torch.rsqrt(squares + _EPS_OF_THE_NORM), maps)


class Standardize(_BatchNorm):
    """The mean and the scale that bring each channel to mean 0 and variance 1, where a complex channel has one variance.

    It is batch norm without parameters: of a complex channel the mean is complex, and the variance is that of |z - mean|. The
    product after it applies both, and no tensor holds standardized maps:
    maps (N, 2C, H, W) complex, or none, and (N, R, H, W) real -> (1, 2, 2C + R), the means and 1 / √(variance + eps).

    The result has no gradient. `Projection` knows the derivative of standardized maps where they are of the batch.
    """

    def __init__(self, complex_channels: int, real_channels: int, *, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__(2 * complex_channels + real_channels, eps=eps, momentum=momentum, affine=False)
        self.complex_channels, self.real_channels = complex_channels, real_channels
        self._sum: Sum = _own

    @property
    def of_batch(self) -> Sum | None:
        """The sum of a tensor over the ranks whose batches the statistics are of; None where they are the running ones."""
        return self._sum if self.training or self.running_mean is None else None

    def synchronize(self, sum_over_ranks: Sum) -> None:
        """Take the statistics over the batches of all ranks (`hybrid.distributed.sync_batch_norm`)."""
        self._sum = sum_over_ranks

    @torch.no_grad()
    def forward(self, *maps: Tensor) -> Tensor:
        mean, variance = self.running_mean, self.running_var
        if self.of_batch is not None:
            rows = [_rows(each) for each in maps]
            squares = [torch.linalg.vector_norm(each, dim=1).square() for each in rows]
            sums = torch.cat([*(each.sum(1) for each in rows), *squares, rows[0].new_full((1,), rows[0].shape[1])])
            count = (sums := self._sum(sums))[-1]
            mean, squares = (sums[:-1] / count).chunk(2)
            variance = (squares - mean.square()).clamp_min(0)
            self._track(mean, variance * count / (count - 1).clamp_min(1))
        variance = torch.cat(
            [_sums_of_pairs(variance[: 2 * self.complex_channels]), variance[2 * self.complex_channels :]]
        )
        return torch.stack([mean, torch.rsqrt(variance + self.eps)])[None]

    def _track(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or not self.track_running_stats:
            return
        self.num_batches_tracked.add_(1)
        momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean), momentum)
        self.running_var.lerp_(variance.to(self.running_var), momentum)


class Projection(nn.Module):
    """A 1x1 convolution without bias of standardized maps, complex ones and real ones beside each other.

    (N, 2C, H, W) complex, or none, and (N, R, H, W) real -> (N, 2 · outputs, H, W) complex; with `complex_output=False`, of real
    maps alone, (N, outputs, H, W). The two kinds are two products, and no tensor holds both.

    weight: (outputs, C + R), or (2, outputs, C + R), real and imaginary parts, with weights="complex".
    """

    def __init__(
        self,
        complex_channels: int,
        real_channels: int,
        outputs: int,
        *,
        weights: Weights = "real",
        complex_output: bool = True,
        initial: InitialMixture = "orthonormal",
    ) -> None:
        super().__init__()
        self.complex_channels, self.real_channels = complex_channels, real_channels
        self.complex_output, self.out_channels = complex_output, outputs * (1 + complex_output)
        shape = (outputs, complex_channels + real_channels)
        self.weight = nn.Parameter(_initial((2, *shape) if weights == "complex" else shape, initial))

    def forward(self, statistics: Tensor, *maps: Tensor, of_batch: Sum | None = None) -> Tensor:
        """statistics, of_batch: of `Standardize`; with the latter the former are functions of these maps."""
        counts = [each.shape[1] for each in maps]
        rows = [_rows(each)[:, None] for each in maps]
        means, scales = (each.split(counts) for each in statistics[0])
        means = [mean[:, None] for mean in means]
        paired = [count == 2 * self.complex_channels and number == 0 for number, count in enumerate(counts)]
        if self.complex_output and self.weight.dim() == 2:  # real weights leave the parts apart: columns of one product
            rows[0], means[0] = rows[0].view(self.complex_channels, 2, -1), means[0].view(-1, 2)
            scales, paired[0] = (scales[0][::2], *scales[1:]), False
        inputs = zip(rows, self._weights(), means, scales, paired, strict=True)
        if of_batch is not None:
            products = [_StandardizedProduct.apply(*each, of_batch) for each in inputs]
        else:
            products = [_product(*each[:-1]) for each in inputs]
        return _maps(_sum(products).flatten(0, 1), maps[0])

    def macs(self, output: Tensor) -> int:
        """Multiply-accumulates for one image of an output (N, C, H, W)."""
        inputs = (1 + self.complex_output) * self.complex_channels + self.real_channels
        return self.weight.numel() // self.weight.shape[-1] * inputs * output[0, 0].numel()

    def _weights(self) -> list[Tensor]:
        """The matrix of the complex maps, where there are any, and that of the real ones, where there are any."""
        count = self.complex_channels
        if self.weight.dim() == 2:
            return [part for part in (self.weight[:, :count], self.weight[:, count:]) if part.numel()]
        real, imaginary = self.weight
        rows = [torch.stack(pair, 2)[:, :count].flatten(1) for pair in ((real, -imaginary), (imaginary, real))]
        of_complex, of_real = torch.stack(rows, 1), torch.stack([real[:, count:], imaginary[:, count:]], 1)
        return [part.flatten(0, 1) for part in (of_complex, of_real) if part.numel()]


class Concentration(nn.Module):
    """Fᵀ ρ(F x) at each pixel of real maps (N, C, H, W), which keep their shape: a step of sparse coding.

    F has `atoms` rows, each rescaled to the norm √(C / atoms), or 1 where there are fewer atoms than channels. ρ is a soft
    threshold of 1.5 / √atoms, or with form="relu" max(x - 1 / √atoms, 0).
    """

    def __init__(self, channels: int, atoms: int, *, form: Concentrate) -> None:
        super().__init__()
        self.weight = nn.Parameter(_initial((atoms, channels), "orthonormal"))
        self.norm = min(1.0, math.sqrt(channels / atoms))
        self.rho = nn.Softshrink(1.5 / math.sqrt(atoms)) if form == "threshold" else ShiftedReLU(1 / math.sqrt(atoms))

    def forward(self, maps: Tensor) -> Tensor:
        frame = self.frame()
        codes = self.rho(_maps(frame.mm(_rows(maps)), maps))
        return _maps(frame.T.mm(_rows(codes)), maps)

    def frame(self) -> Tensor:
        """F (atoms, C), with its atoms rescaled."""
        return nn.functional.normalize(self.weight, dim=1) * self.norm

    def macs(self, output: Tensor) -> int:
        """Multiply-accumulates for one image of an output (N, C, H, W): analysis and synthesis."""
        return 2 * self.weight.numel() * output[0, 0].numel()


class ShiftedReLU(nn.Module):
    """max(x - shift, 0)."""

    is_nonlinearity = True

    def __init__(self, shift: float) -> None:
        super().__init__()
        self.shift = shift

    def forward(self, maps: Tensor) -> Tensor:
        return (maps - self.shift).relu()


@torch.no_grad()
def parseval_step(weight: Tensor, beta: float = PARSEVAL_STEP) -> None:
    """W ← (1 + β) W - β W Wᵀ W, in place, for W (outputs, inputs): a step towards singular values of 1 (Cisse et al. 2017)."""
    gram = weight @ weight.T if weight.shape[0] <= weight.shape[1] else weight.T @ weight
    product = gram @ weight if weight.shape[0] <= weight.shape[1] else weight @ gram
    weight.mul_(1 + beta).sub_(product, alpha=beta)


def _initial(shape: tuple[int, ...], initial: InitialMixture) -> Tensor:
    """(outputs, inputs) real, or (2, outputs, inputs) the parts of complex weights.

    orthonormal: the rows are, or the columns where there are fewer of them, and all such matrices are equally likely.
    """
    if initial == "uniform":
        return torch.empty(shape).uniform_(-1, 1) / math.sqrt(shape[-1])
    if len(shape) == 2:
        return nn.init.orthogonal_(torch.empty(shape))
    _, outputs, inputs = shape
    columns, triangle = torch.linalg.qr(torch.randn(max(outputs, inputs), min(outputs, inputs), dtype=torch.complex64))
    columns = columns * triangle.diagonal().sgn()
    return torch.view_as_real(columns.T if outputs < inputs else columns).movedim(-1, 0).contiguous()


def modulus(maps: Tensor, *, fast: bool = False) -> Tensor:
    """|z| of complex maps (N, 2C, H, W), whose gradient at 0 is 0.

    fast: with a backward of its own, which the transforms of torch.func and second derivatives do not know.
    """
    if fast:
        return _Modulus.apply(maps)
    squares = _squared_modulus(maps)
    return torch.where(squares > 0, squares, 1).sqrt() * (squares > 0)


def _squared_modulus(maps: Tensor) -> Tensor:
    parts = maps.unflatten(1, (-1, 2))
    return parts[:, :, 0].square() + parts[:, :, 1].square()


class _Modulus(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        size = _squared_modulus(maps).sqrt()
        ctx.save_for_backward(maps, size)
        return size

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        maps, size = ctx.saved_tensors
        ratio = torch.where(size > 0, gradient / size, 0)
        return (maps.unflatten(1, (-1, 2)) * ratio[:, :, None]).flatten(1, 2)


def _rows(maps: Tensor) -> Tensor:
    """(N, C, H, W) as (C, H · W · N); a view where the images are innermost in memory."""
    return maps.permute(1, 2, 3, 0).reshape(maps.shape[1], -1)


def _maps(rows: Tensor, like: Tensor) -> Tensor:
    """(C, H · W · N) as (N, C, H, W), with the other sizes of `like`; the memory stays as it is."""
    return rows.view(-1, *like.shape[2:], like.shape[0]).permute(3, 0, 1, 2)


def _sum(products: list[Tensor]) -> Tensor:
    """The sum of (outputs, parts, M), where a product with one part has no imaginary one."""
    if len(products) == 1 or products[0].shape == products[1].shape:
        return sum(products[1:], products[0])
    (first, second) = products
    return torch.stack([first[:, 0] + second[:, 0], first[:, 1]], 1)


def _own(values: Tensor) -> Tensor:
    """The sum over the one rank that there is."""
    return values


def _sums_of_pairs(values: Tensor) -> Tensor:
    """(2C,) -> (2C,): at both places of a pair its sum."""
    return values.view(-1, 2).sum(1, keepdim=True).expand(-1, 2).flatten()


class _StandardizedProduct(torch.autograd.Function):
    """Σ_i weight[o, i] · scale[i] · (rows[i, p] - mean[i, p]): rows (I, P, M), weight (O, I) -> (O, P, M).

    mean: (I, P), scale: (I,). They are the moments of the rows, over M and, for the scale, over P, and with pairs over two
    neighbours of I as well, of all ranks whose tensors `total` adds up. The gradient goes through them. With x the standardized
    rows it is, as for batch norm, scale · (g - mean(g) - x · Σ(g · x) / M), and both sums are known from the gradient of the
    weights.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, mean: Tensor, scale: Tensor, pairs: bool, total: Sum) -> Tensor:
        ctx.save_for_backward(rows, weight, mean, scale)
        ctx.pairs, ctx.total = pairs, total
        return _product(rows, weight, mean, scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, mean, scale = ctx.saved_tensors
        of_columns = gradient.sum(2)  # (O, P)
        flat = gradient.flatten(1)
        of_weight = (flat.mm(rows.flatten(1).T) - of_columns @ mean.T) * scale
        if not ctx.needs_input_grad[0]:
            return None, of_weight, None, None, None, None
        own = [(weight * of_weight).sum(0), (weight.T @ of_columns).flatten(), rows.new_full((1,), rows.shape[2])]
        along, columns, count = ctx.total(torch.cat(own)).split([len(each) for each in own])
        along = -scale.square() * (_sums_of_pairs(along) if ctx.pairs else along) / count
        offset = -along[:, None] * mean - scale[:, None] * columns.view_as(mean) / count
        of_rows = torch.addcmul(offset[:, :, None], rows, along[:, None, None])
        return of_rows.flatten(1).addmm_((weight * scale).T, flat).view_as(rows), of_weight, None, None, None, None


def _product(rows: Tensor, weight: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    scaled = weight * scale
    return scaled.mm(rows.flatten(1)).view(len(weight), *rows.shape[1:]) - (scaled @ mean)[:, :, None]
