"""The layers of the heads: initialised convolutions, batch norm, pooling, dropout, fully connected layers.

Every non-linearity is an nn.ReLU module of its own and runs once in a forward pass, so a hook on it sees one layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import nn

from hybrid.ranges import Momentum, Positive


@dataclass(frozen=True)
class BatchNorm:
    """The settings of all batch norm layers of a head.

    Attributes:
        momentum: the weight of the newest batch in the running statistics, in (0, 1].
        eps: above 0, added to the variance.
        affine: whether each channel has a learned scale and shift.
    """

    momentum: Momentum = 0.1
    eps: Positive = 1e-5
    affine: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.momentum <= 1:
            raise ValueError(f"batch norm momentum is {self.momentum}; it is a number in (0, 1]")
        if not self.eps > 0:
            raise ValueError(f"batch norm eps is {self.eps}; it is a number above 0")

    def over_maps(self, channels: int) -> nn.BatchNorm2d:
        """The layer for activations (N, channels, H, W)."""
        return nn.BatchNorm2d(channels, eps=self.eps, momentum=self.momentum, affine=self.affine)

    def over_vectors(self, features: int) -> nn.BatchNorm1d:
        """The layer for activations (N, features)."""
        return nn.BatchNorm1d(features, eps=self.eps, momentum=self.momentum, affine=self.affine)


Initial = Literal["fan_out", "fan_in", "torch"]


def initialise(network: nn.Module, initial: Initial) -> None:
    """Draw the weights of all convolutions and linear layers of a network anew.

    "fan_out" leaves them as `convolution` and nn.Linear drew them. "fan_in" draws both from N(0, 2 / fan-in) with biases 0, as
    the code of the wide residual networks does (Zagoruyko and Komodakis 2016). "torch" is torch's default of both layers. Raises
    ValueError for another name.
    """
    if initial not in get_args(Initial):
        raise ValueError(f"initial is {initial}; it is one of {', '.join(get_args(Initial))}")
    if initial == "fan_out":
        return
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            if initial == "torch":
                layer.reset_parameters()
                continue
            nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


USUAL_NORM = BatchNorm()  # torch's own settings


def convolution(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    """A convolution that keeps the size of a map at stride 1, with initial weights from N(0, 2 / (kernel² · outputs)).

    The released scattering networks have this variance (He et al., ICCV 2015, by the fan-out).
    """
    layer = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=bias)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer


def convolution_norm_relu(
    inputs: int, outputs: int, norm: BatchNorm, *, kernel: int = 3, stride: int = 1, bias: bool = False
) -> nn.Sequential:
    """A convolution, batch norm and a ReLU."""
    first = convolution(inputs, outputs, kernel=kernel, stride=stride, bias=bias)
    return nn.Sequential(first, norm.over_maps(outputs), nn.ReLU())


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
    """Dropout at a rate in [0, 1). At 0 it is nn.Identity, which tables of layers leave out."""
    if not 0 <= rate < 1:
        raise ValueError(f"a dropout rate is {rate}; it is a number in [0, 1)")
    return nn.Dropout(rate) if rate else nn.Identity()


def average_pool(map_shape: tuple[int, int], size: int) -> nn.Module:
    """Averages a map (H, W) onto a grid of size x size cells of equal extent, which overlap where they must.

    nn.AdaptiveAvgPool2d serves for the global mean alone, because its gradient is not deterministic on a GPU. The cells are
    those of nn.AdaptiveAvgPool2d where `size` divides H and W, and for size 2.
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
    """The side of a map after a convolution of this module with a stride: size / stride, rounded up."""
    return -(-size // stride)


def flattened(shape: Sequence[int]) -> int:
    """The number of values in a tensor of this shape."""
    return int(torch.Size(shape).numel())


def check_positive(**sizes: int | Sequence[int]) -> None:
    """Raises ValueError, naming it, for a width, count or stride below 1."""
    for name, value in sizes.items():
        numbers = [value] if isinstance(value, int) else list(value)
        if not numbers or min(numbers) < 1:
            raise ValueError(f"{name} is {value}; it takes whole numbers from 1")
