"""Normalizations between front-end and head: they bring each channel of (N, C, H, W) to a common scale.

The coefficients of different scattering orders differ by a factor of ten to a hundred. Without this step the first
convolution does not learn.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hybrid.models.layers import BatchNorm
from hybrid.ranges import Momentum, Positive


class BatchNormalization(nn.Module):
    """Batch norm of every channel; by default without parameters, as in the published hybrids.

    Args:
        input_shape: (C, H, W) of the features.
        affine: whether each channel has a learned scale and shift.
        eps: above 0, added to the variance.
        momentum: the weight of the newest batch in the running statistics, in (0, 1]; the released ImageNet network has 0.9.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        *,
        affine: bool = False,
        eps: Positive = 1e-5,
        momentum: Momentum = 0.1,
    ) -> None:
        super().__init__()
        self.norm = BatchNorm(momentum, eps, affine).over_maps(input_shape[0])

    def forward(self, features: Tensor) -> Tensor:
        return self.norm(features)


class TwoBatchNormalizations(nn.Module):
    """Batch norm with a learned scale and shift of every channel, and batch norm without them after it.

    The released WRN of the parametric scattering networks (CVPR 2022) has both. The second undoes the scale and shift of the
    first but for eps. `eps` and `momentum` are those of `BatchNormalization`, for both.
    """

    def __init__(self, input_shape: tuple[int, int, int], *, eps: Positive = 1e-5, momentum: Momentum = 0.1) -> None:
        super().__init__()
        self.norm = BatchNorm(momentum, eps, affine=True).over_maps(input_shape[0])
        self.second = BatchNorm(momentum, eps, affine=False).over_maps(input_shape[0])

    def forward(self, features: Tensor) -> Tensor:
        return self.second(self.norm(features))


class LogNormalization(nn.Module):
    """log(|S| + log_eps) with the sign of S, then batch norm (`BatchNormalization`).

    It is computed as sign(S) · log(1 + |S| / log_eps). For coefficients S >= 0, which are all of orders 1 and 2, this is
    log(S + log_eps) up to a constant that batch norm removes. Order 0 of a normalised image has a sign, which log|S| would
    lose. `log_eps` is above 0.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        *,
        log_eps: Positive = 1e-3,
        affine: bool = False,
        eps: Positive = 1e-5,
        momentum: Momentum = 0.1,
    ) -> None:
        super().__init__()
        if not log_eps > 0:
            raise ValueError(f"log_eps is {log_eps}; it is a number above 0")
        self.log_eps = log_eps
        self.norm = BatchNorm(momentum, eps, affine).over_maps(input_shape[0])

    def forward(self, features: Tensor) -> Tensor:
        return self.norm(features.sign() * torch.log1p(features.abs() / self.log_eps))


class StatisticsNormalization(nn.Module):
    """(S - mean) / sqrt(variance + eps) for each channel, with the moments of the training set.

    They are fitted once, before training, and are buffers in the state_dict. This is the fixed standardisation of the shared
    local encoder. `eps` is above 0.
    """

    fixed = True
    mean: Tensor
    variance: Tensor
    samples: Tensor

    def __init__(self, input_shape: tuple[int, int, int], *, eps: Positive = 1e-5) -> None:
        super().__init__()
        if not eps > 0:
            raise ValueError(f"eps is {eps}; it is a number above 0")
        self.eps = eps
        self.fitted = False
        self.register_buffer("mean", torch.zeros(input_shape[0], 1, 1))
        self.register_buffer("variance", torch.ones(input_shape[0], 1, 1))
        self.register_buffer("samples", torch.zeros((), dtype=torch.int64))

    def fit(self, batches: Any) -> None:
        """Compute the moments of batches of features (N, C, H, W), in float64. Raises ValueError if there are none."""
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
    """Leaves the features as they are."""

    def __init__(self, input_shape: tuple[int, int, int]) -> None:
        super().__init__()

    def forward(self, features: Tensor) -> Tensor:
        return features
