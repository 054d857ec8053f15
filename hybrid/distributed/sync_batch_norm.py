"""Batch norm over the micro-batches of all ranks together, so that N ranks normalise exactly as one does.

On GPUs this is torch's own `nn.SyncBatchNorm`; that refuses tensors on the CPU, where `CPUSyncBatchNorm` does the same.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from hybrid import distributed
from hybrid.graphs import outside_graphs


def synchronize_batch_norm(model: nn.Module, device: torch.device) -> nn.Module:
    """Replace every batch norm in place, keeping parameters, buffers and names; the model is returned (or its replacement).

    One of another kind, which has a method `synchronize`, is told how to add up tensors of all ranks, and stays.
    """
    if isinstance(model, _BatchNorm):
        if hasattr(model, "synchronize"):
            model.synchronize(distributed.sum_)
            return model
        if device.type != "cpu":
            return nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return model if isinstance(model, CPUSyncBatchNorm) else CPUSyncBatchNorm.like(model)
    for name, child in model.named_children():
        setattr(model, name, synchronize_batch_norm(child, device))
    return model


class CPUSyncBatchNorm(_BatchNorm):
    """(N, C, ...) → the same shape, normalised over N and all further axes of all ranks; N may be 0 on some of them.

    Mean and variance are put together from the ranks' own by the parallel formula of Chan, Golub and LeVeque 1983 (Algorithms
    for computing the sample variance), which loses no digits where the mean is large. In evaluation it is plain batch norm.
    """

    @classmethod
    def like(cls, other: _BatchNorm) -> CPUSyncBatchNorm:
        """One with the other's settings, which takes over its very parameters and buffers."""
        new = cls(other.num_features, other.eps, other.momentum, other.affine, other.track_running_stats)
        new._parameters, new._buffers = other._parameters, other._buffers
        new.training = other.training
        return new

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected (N, C, ...), got {input.dim()} dimensions")

    @outside_graphs  # messages between ranks are no part of a graph
    def forward(self, input: Tensor) -> Tensor:
        if not self.training or distributed.size() == 1:
            return super().forward(input)
        self._check_input_dim(input)
        # half precision would not hold the sums
        features = input.float() if input.dtype in (torch.bfloat16, torch.float16) else input
        mean, variance, count = _moments(features.detach())
        self._track(mean, variance, count)
        scale = torch.rsqrt(variance + self.eps)
        weight, bias = self.weight, self.bias
        if weight is None:
            weight, bias = torch.ones_like(mean), torch.zeros_like(mean)
        result = _Normalize.apply(features, weight.to(mean), bias.to(mean), mean, scale, count)
        return result.to(input.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        if not self.track_running_stats:
            return
        self.num_batches_tracked.add_(1)
        momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        unbiased = variance * count / (count - 1).clamp_min(1)
        self.running_mean.lerp_(mean.to(self.running_mean), momentum)
        self.running_var.lerp_(unbiased.to(self.running_var), momentum)


def _moments(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(mean (C,), biased variance (C,), values per channel (1,)) over all ranks."""
    flat = features.transpose(0, 1).flatten(1)
    own = flat.new_full((1,), flat.shape[1])
    mean = flat.sum(1) / own.clamp_min(1)
    squares = (flat - mean[:, None]).square().sum(1)
    every = distributed.gather(torch.cat([mean, squares, own]))
    means, all_squares, counts = every.split([len(mean), len(mean), 1], dim=1)
    count = counts.sum(0)
    mean = (counts * means).sum(0) / count
    between = (counts * (means - mean).square()).sum(0)
    return mean, (all_squares.sum(0) + between) / count, count


class _Normalize(torch.autograd.Function):
    """(x - mean) · scale · weight + bias, where mean and scale are themselves functions of all ranks' x."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, scale: Tensor, count: Tensor
    ) -> Tensor:
        shape = (1, -1) + (1,) * (x.dim() - 2)
        normal = (x - mean.view(shape)) * scale.view(shape)
        ctx.save_for_backward(normal, weight, scale, count)
        return normal * weight.view(shape) + bias.view(shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        normal, weight, scale, count = ctx.saved_tensors
        shape = (1, -1) + (1,) * (normal.dim() - 2)
        axes = [axis for axis in range(normal.dim()) if axis != 1]
        own = torch.stack([gradient.sum(axes), (gradient * normal).sum(axes)])
        sums = distributed.sum_(own.clone()) / count
        centred = gradient - sums[0].view(shape) - normal * sums[1].view(shape)
        # of weight and bias this rank's part alone: the sum over ranks is taken with all other gradients
        return centred * (weight * scale).view(shape), own[1], own[0], None, None, None
