"""The network of constant width on which contraction, separation and boundary complexity were published, layer by layer.

It is that of "Building a Regular Decision Boundary with Deep Networks" (Oyallon, CVPR 2017), as released. Every convolution
has the same number of channels, and there are neither shortcuts nor max pooling, so that layers can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from hybrid.models.layers import (
    BatchNorm,
    after_stride,
    average_pool,
    check_positive,
    convolution,
    dropout_layer,
)
from hybrid.ranges import Rate, Share, Width

PUBLISHED_NORM = BatchNorm(momentum=0.01, eps=1e-3, affine=False)
_GROUP_STRIDES = (1, 2, 2)  # of the first convolution in each group of two blocks


class PartialReLU(nn.Module):
    """ρ_α: the first ⌊alpha · width⌋ channels of (N, width, ...) through a ReLU, the others as they are.

    `alpha` in [0, 1] is the degree of non-linearity: 1 is a ReLU, 0 the identity. `rectified` is the number ⌊alpha · width⌋.
    It counts as a non-linearity at every alpha, so that networks of different alpha have the same layers.
    """

    is_nonlinearity = True

    def __init__(self, width: int, alpha: float = 1.0) -> None:
        super().__init__()
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha is {alpha}; it is the share of rectified channels, a number in [0, 1]")
        self.width = width
        self.rectified = math.floor(alpha * width + 1e-9)  # 0.29 · 100 is 28.999999999999996

    def forward(self, features: Tensor) -> Tensor:
        if self.rectified == self.width:
            return features.relu()
        return torch.cat([features[:, : self.rectified].relu(), features[:, self.rectified :]], dim=1)

    def extra_repr(self) -> str:
        return f"rectified={self.rectified} of {self.width}"


class ExpansiveRoot(nn.Module):
    """ρ(x) = sign(x) · (√(|x| + 1e-5) + 0.1). It is not contractive: its slope is up to 158, and it jumps by 0.2 at zero."""

    is_nonlinearity = True

    def forward(self, features: Tensor) -> Tensor:
        return features.sign() * ((features.abs() + 1e-5).sqrt() + 0.1)


class RegularCNN(nn.Module):
    """13 convolutions of one width, the global mean and a linear layer: (N, C, H, W) -> logits (N, num_classes).

    Layer 1 is a 3x3 convolution, batch norm and a ReLU. Then come three groups of two blocks. A block is twice (3x3
    convolution, batch norm, ρ) and then dropout; groups 2 and 3 begin with stride 2. Only the convolutions and the linear
    layer have parameters, and only the linear layer has a bias. The initial weights of the convolutions are normal with a
    standard deviation of √(8 / (9 · width)), cut off at twice that; those of the linear layer are uniform within
    ±√(3 / width), and its bias is 0.

    The released code is written in TensorFlow, which centres a strided convolution of an even map on its odd rows and columns;
    torch centres it on the even ones. That is the same grid on the mirrored image, and training flips images anyway.

    Args:
        input_shape: (C, H, W) of the images, 3x3 or more.
        num_classes: the number of logits.
        width: channels of every convolution.
        alpha: the share in [0, 1] of channels that ρ rectifies: see `PartialReLU`.
        contractive: False takes `ExpansiveRoot` for ρ, on all channels.
        dropout: rate in [0, 1) after each block; 0.4 as published.
        norm: the settings of all batch norm layers.

    Raises:
        ValueError: a value is out of range, `alpha` has no effect, or the images are too small.
    """

    learning_rate = 0.25  # as published; its batch norm without a scale holds the first steps small

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_classes: int,
        *,
        width: Width = 32,
        alpha: Share = 1.0,
        contractive: bool = True,
        dropout: Rate = 0.0,
        norm: BatchNorm = PUBLISHED_NORM,
    ) -> None:
        super().__init__()
        check_positive(width=width)
        channels, *size = input_shape
        if min(size) < 3:
            raise ValueError(f"the network halves its map twice: images of 3x3 or more, not {size[0]}x{size[1]}")
        if not contractive and alpha != 1:
            raise ValueError(
                f"alpha={alpha} has no effect with contractive=false, which changes all channels; leave it 1"
            )

        def rho() -> nn.Module:
            return PartialReLU(width, alpha) if contractive else ExpansiveRoot()

        self.stem = nn.Sequential(*_layer(channels, width, 1, norm, nn.ReLU))
        groups = []
        for stride in _GROUP_STRIDES:
            blocks = [_block(width, first, norm, rho, dropout) for first in (stride, 1)]
            groups.append(nn.Sequential(*blocks))
            size = [after_stride(side, stride) for side in size]
        self.groups = nn.Sequential(*groups)
        self.pool = average_pool((size[0], size[1]), 1)
        self.classifier = nn.Linear(width, num_classes)
        self._initialise(width)

    def forward(self, features: Tensor) -> Tensor:
        return self.classifier(self.pool(self.groups(self.stem(features))).flatten(1))

    def _initialise(self, width: int) -> None:
        std = math.sqrt(8 / (9 * width))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
        bound = math.sqrt(3 / width)
        nn.init.uniform_(self.classifier.weight, -bound, bound)
        nn.init.zeros_(self.classifier.bias)


def _block(width: int, stride: int, norm: BatchNorm, rho: Callable[[], nn.Module], dropout: Rate) -> nn.Sequential:
    first, second = (_layer(width, width, step, norm, rho) for step in (stride, 1))
    return nn.Sequential(*first, *second, dropout_layer(dropout))


def _layer(
    inputs: int, width: int, stride: int, norm: BatchNorm, nonlinearity: Callable[[], nn.Module]
) -> tuple[nn.Module, ...]:
    return convolution(inputs, width, stride=stride), norm.over_maps(width), nonlinearity()
