"""What heads are built from: initialised convolutions, batch norm, pooling, dropout, fully connected layers.

Every non-linearity is its own nn.ReLU module and runs once per forward, so a hook on it sees one layer of the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn


@dataclass(frozen=True)
class BatchNorm:
    """How the batch norm layers of a head behave: `momentum` is the weight of the newest batch, in (0, 1]."""

    momentum: float = 0.1
    eps: float = 1e-5
    affine: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.momentum <= 1:
            raise ValueError(f"batch norm momentum is {self.momentum}; it is a number in (0, 1]")
        if not self.eps > 0:
            raise ValueError(f"batch norm eps is {self.eps}; it is a number above 0")

    def over_maps(self, channels: int) -> nn.BatchNorm2d:
        """For activations (N, channels, H, W)."""
        return nn.BatchNorm2d(channels, eps=self.eps, momentum=self.momentum, affine=self.affine)

    def over_vectors(self, features: int) -> nn.BatchNorm1d:
        """For activations (N, features)."""
        return nn.BatchNorm1d(features, eps=self.eps, momentum=self.momentum, affine=self.affine)


USUAL_NORM = BatchNorm()  # torch's own settings


def convolution(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    """A convolution that keeps the map's size at stride 1, with weights from N(0, 2 / (kernel² · outputs)).

    That variance is the one of the released scattering networks (He et al., ICCV 2015, in its fan-out form).
    """
    layer = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=bias)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer


def convolution_norm_relu(
    inputs: int, outputs: int, norm: BatchNorm, *, kernel: int = 3, bias: bool = False
) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    return nn.Sequential(convolution(inputs, outputs, kernel=kernel, bias=bias), norm.over_maps(outputs), nn.ReLU())


def fully_connected(sizes: Sequence[int], *, dropout_rate: float = 0.0, norm: BatchNorm | None = None) -> nn.Sequential:
    """Linear layers from sizes[0] to sizes[-1], with batch norm (if given), ReLU and dropout after all but the last."""
    layers: list[nn.Module] = []
    for inputs, outputs in zip(sizes[:-2], sizes[1:-1], strict=True):
        layers.append(nn.Linear(inputs, outputs, bias=norm is None))
        if norm is not None:
            layers.append(norm.over_vectors(outputs))
        layers.append(nn.ReLU())
        if dropout_rate:
            layers.append(dropout_layer(dropout_rate))
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))


def dropout_layer(rate: float) -> nn.Module:
    """Dropout at a rate in [0, 1); at 0 nothing at all, so that the layer does not appear in tables."""
    if not 0 <= rate < 1:
        raise ValueError(f"a dropout rate is {rate}; it is a number in [0, 1)")
    return nn.Dropout(rate) if rate else nn.Identity()


def average_pool(map_shape: tuple[int, int], size: int) -> nn.Module:
    """Average a map (H, W) onto a grid of size x size cells of equal extent, overlapping by a row where they must.

    Not nn.AdaptiveAvgPool2d but for the global mean: its gradient is not deterministic on a GPU. The cells are the same
    where `size` divides H and W, and for size 2.
    """
    side = min(map_shape)
    if not 1 <= size <= side:
        raise ValueError(f"pool is {size}; a map of {map_shape[0]}x{map_shape[1]} takes 1 to {side}")
    if size == 1:
        return nn.AdaptiveAvgPool2d(1)
    strides = tuple(length // size for length in map_shape)
    cells = tuple(length - (size - 1) * stride for length, stride in zip(map_shape, strides, strict=True))
    return nn.AvgPool2d(cells, stride=strides)


def after_stride(size: int, stride: int) -> int:
    """Side of the map after one of these convolutions with a stride: size / stride, rounded up."""
    return -(-size // stride)


def flattened(shape: Sequence[int]) -> int:
    """Number of values in a shape."""
    return int(torch.Size(shape).numel())


def check_positive(**sizes: int | Sequence[int]) -> None:
    """Refuse a width, count or stride below 1, by name."""
    for name, value in sizes.items():
        numbers = [value] if isinstance(value, int) else list(value)
        if not numbers or min(numbers) < 1:
            raise ValueError(f"{name} is {value}; it takes whole numbers from 1")
