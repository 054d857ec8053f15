"""Normalizations between front-end and head: (N, C, H, W) -> the same shape, each channel on a common scale.

Scattering orders differ in size by one to two decimal powers, and the first convolution does not learn without this
step.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hybrid.models.layers import BatchNorm


class BatchNormalization(nn.Module):
    """Batch norm of every channel. Non-affine by default: what the published hybrids use, with no parameters.

    `momentum` is the weight of the newest batch in the running statistics; the released ImageNet network uses 0.9.
    """

    def __init__(
        self, input_shape: tuple[int, int, int], *, affine: bool = False, eps: float = 1e-5, momentum: float = 0.1
    ) -> None:
        super().__init__()
        self.norm = BatchNorm(momentum, eps, affine).over_maps(input_shape[0])

    def forward(self, features: Tensor) -> Tensor:
        return self.norm(features)


class LogNormalization(nn.Module):
    """log(|S| + log_eps) with the sign of S, then batch norm.

    Computed as sign(S) · log(1 + |S| / log_eps). For coefficients S >= 0 (all of orders 1 and 2) that is log(S +
    log_eps) up to a constant, which batch norm removes; order 0 of a normalised image is signed, and a plain log|S|
    would lose its sign.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        *,
        log_eps: float = 1e-3,
        affine: bool = False,
        eps: float = 1e-5,
        momentum: float = 0.1,
    ) -> None:
        super().__init__()
        if not log_eps > 0:
            raise ValueError(f"log_eps is {log_eps}; it is a number above 0")
        self.log_eps = log_eps
        self.norm = BatchNorm(momentum, eps, affine).over_maps(input_shape[0])

    def forward(self, features: Tensor) -> Tensor:
        return self.norm(features.sign() * torch.log1p(features.abs() / self.log_eps))


class StatisticsNormalization(nn.Module):
    """(S - mean) / sqrt(variance + eps) per channel, with moments of the training set, fitted once before training.

    The fixed standardisation of the shared local encoder. Its moments are buffers in the state_dict.
    """

    fixed = True
    mean: Tensor
    variance: Tensor
    samples: Tensor

    def __init__(self, input_shape: tuple[int, int, int], *, eps: float = 1e-5) -> None:
        super().__init__()
        if not eps > 0:
            raise ValueError(f"eps is {eps}; it is a number above 0")
        self.eps = eps
        self.fitted = False
        self.register_buffer("mean", torch.zeros(input_shape[0], 1, 1))
        self.register_buffer("variance", torch.ones(input_shape[0], 1, 1))
        self.register_buffer("samples", torch.zeros((), dtype=torch.int64))

    def fit(self, batches: Any) -> None:
        """Set the moments from feature batches (N, C, H, W), in float64. Raises ValueError if there are none."""
        count, samples = 0, 0
        total = torch.zeros_like(self.mean, dtype=torch.float64)
        squares = torch.zeros_like(total)
        for features in batches:
            features = features.to(total)
            total += features.sum((0, 2, 3)).view_as(total)
            squares += features.square().sum((0, 2, 3)).view_as(total)
            count += features[:, 0].numel()
            samples += len(features)
        if count == 0:
            raise ValueError("the statistics normalization got no training images to fit its moments on")
        mean = total / count
        self.mean.copy_(mean)
        self.variance.copy_((squares / count - mean.square()).clamp_min(0))
        self.samples.fill_(samples)
        self.fitted = True

    def forward(self, features: Tensor) -> Tensor:
        if not self.fitted:
            raise RuntimeError("the statistics normalization is not fitted: call model.fit_statistics(batches) first")
        return (features - self.mean) * torch.rsqrt(self.variance + self.eps)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self.fitted = self.samples.device.type != "meta" and bool(self.samples > 0)


class NoNormalization(nn.Module):
    """The features as they are."""

    def __init__(self, input_shape: tuple[int, int, int]) -> None:
        super().__init__()

    def forward(self, features: Tensor) -> Tensor:
        return features
