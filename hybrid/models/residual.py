"""The residual network of both published heads: a stem convolution, stages of blocks, pooling, a classifier.

Blocks are post-activation, as in the networks released with "Scaling the Scattering Transform" (Oyallon, Belilovsky,
Zagoruyko, ICCV 2017), or pre-activation, as in the wide residual networks of Zagoruyko and Komodakis (2016) themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

import torch
from torch import Tensor, nn

from hybrid.models import convolutions
from hybrid.models.convolutions import ALL_HARMONICS, Convolution
from hybrid.models.layers import (
    BatchNorm,
    Initial,
    after_stride,
    average_pool,
    check_positive,
    convolution,
    convolution_norm_relu,
    dropout_layer,
    initialise,
)
from hybrid.ranges import Range

Blocks = Annotated[int, Range(1, 1000)]
Strides = Annotated[tuple[int, ...], Range(1, 1024)]
Block = Literal["basic", "bottleneck"]
_EXPANSION = 4  # of a bottleneck block


@dataclass(frozen=True)
class Stage:
    """A stage of a residual network: `blocks` blocks of `width` channels, the first of them with a stride."""

    width: int
    blocks: int
    stride: int


class BasicBlock(nn.Module):
    """conv3x3 - norm - ReLU - dropout - conv3x3 - norm, plus the shortcut, then ReLU.

    (N, inputs, H, W) -> (N, width, H / stride, W / stride), rounded up. The shortcut is the identity, or a 1x1 convolution
    and batch norm where the width or the size of the map changes.
    """

    def __init__(self, inputs: int, width: int, *, stride: int, norm: BatchNorm, dropout_rate: float) -> None:
        super().__init__()
        self.conv1 = convolution(inputs, width, stride=stride)
        self.norm1 = norm.over_maps(width)
        self.relu1 = nn.ReLU()
        self.dropout = dropout_layer(dropout_rate)
        self.conv2 = convolution(width, width)
        self.norm2 = norm.over_maps(width)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != width:
            self.shortcut = nn.Sequential(convolution(inputs, width, kernel=1, stride=stride), norm.over_maps(width))
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.dropout(self.relu1(self.norm1(self.conv1(x))))
        return self.relu2(self.norm2(self.conv2(y)) + self.shortcut(x))


class PreactivationBlock(nn.Module):
    """norm - ReLU - conv3x3 - norm - ReLU - dropout - conv3x3, plus the shortcut (He et al. 2016, "Identity mappings").

    (N, inputs, H, W) -> (N, width, H / stride, W / stride), rounded up. The shortcut is the identity, or a 1x1 convolution of
    the activated maps where the width or the size of the map changes.
    """

    def __init__(self, inputs: int, width: int, *, stride: int, norm: BatchNorm, dropout_rate: float) -> None:
        super().__init__()
        self.norm1 = norm.over_maps(inputs)
        self.relu1 = nn.ReLU()
        self.conv1 = convolution(inputs, width, stride=stride)
        self.norm2 = norm.over_maps(width)
        self.relu2 = nn.ReLU()
        self.dropout = dropout_layer(dropout_rate)
        self.conv2 = convolution(width, width)
        self.changes = stride != 1 or inputs != width
        self.shortcut: nn.Module = (
            convolution(inputs, width, kernel=1, stride=stride) if self.changes else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        activated = self.relu1(self.norm1(x))
        y = self.dropout(self.relu2(self.norm2(self.conv1(activated))))
        return self.conv2(y) + self.shortcut(activated if self.changes else x)


class BottleneckBlock(nn.Module):
    """conv1x1 - norm - ReLU - conv3x3 - norm - ReLU - dropout - conv1x1 - norm, plus the shortcut, then ReLU (He et al. 2016).

    (N, inputs, H, W) -> (N, 4 width, H / stride, W / stride), rounded up. The 3x3 convolution has the stride, as in torchvision.
    """

    def __init__(self, inputs: int, width: int, *, stride: int, norm: BatchNorm, dropout_rate: float) -> None:
        super().__init__()
        outputs = _EXPANSION * width
        self.conv1 = convolution(inputs, width, kernel=1)
        self.norm1 = norm.over_maps(width)
        self.relu1 = nn.ReLU()
        self.conv2 = convolution(width, width, stride=stride)
        self.norm2 = norm.over_maps(width)
        self.relu2 = nn.ReLU()
        self.dropout = dropout_layer(dropout_rate)
        self.conv3 = convolution(width, outputs, kernel=1)
        self.norm3 = norm.over_maps(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                convolution(inputs, outputs, kernel=1, stride=stride), norm.over_maps(outputs)
            )
        self.relu3 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu1(self.norm1(self.conv1(x)))
        y = self.dropout(self.relu2(self.norm2(self.conv2(y))))
        return self.relu3(self.norm3(self.conv3(y)) + self.shortcut(x))


class ResidualNetwork(nn.Module):
    """A residual network: (N, C, H, W) -> logits (N, num_classes).

    Args:
        input_shape: (C, H, W) of the features.
        num_classes: the number of logits.
        stem_width: channels of the first convolution.
        stages: the stages of blocks.
        norm: the settings of all batch norm layers.
        stem_bias: whether the first convolution has a bias.
        pool: the last map is averaged onto pool x pool cells; 1 is the global average.
        dropout_rate: in [0, 1), between the two convolutions of a block.
        classifier_dropout: in [0, 1), on the pooled features.
        preactivation: whether blocks are `PreactivationBlock`s. The stem is then a convolution alone, and batch norm and a ReLU
            follow the last stage.
        stem_stride: of the first convolution.
        initial: the initial weights, as `layers.initialise` describes.
        block: "basic", or "bottleneck", whose stages end in four times their width.
        conv: the convolutions of 3x3 filters; harmonics, levels: of "harmonic" and "wtconv" (`hybrid.models.convolutions`).

    Raises:
        ValueError: a value is out of range, or a stride is larger than its map.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_classes: int,
        *,
        stem_width: int,
        stages: Sequence[Stage],
        norm: BatchNorm,
        stem_bias: bool = False,
        pool: int = 1,
        dropout_rate: float = 0.0,
        classifier_dropout: float = 0.0,
        preactivation: bool = False,
        stem_stride: int = 1,
        initial: Initial = "fan_out",
        block: Block = "basic",
        conv: Convolution = "standard",
        harmonics: int = ALL_HARMONICS,
        levels: int = 1,
    ) -> None:
        super().__init__()
        check_positive(stem_width=stem_width, stem_stride=stem_stride)
        kind = _block(block, preactivation)
        channels, height, width = input_shape
        if preactivation:
            self.stem: nn.Module = convolution(channels, stem_width, stride=stem_stride, bias=stem_bias)
        else:
            self.stem = convolution_norm_relu(channels, stem_width, norm, stride=stem_stride, bias=stem_bias)
        channels = stem_width
        height, width = after_stride(height, stem_stride), after_stride(width, stem_stride)
        built = []
        for number, stage in enumerate(stages, start=1):
            _check_stage(number, stage, height, width)
            built.append(_blocks(kind, channels, stage, norm, dropout_rate))
            channels = stage.width * (_EXPANSION if kind is BottleneckBlock else 1)
            height, width = after_stride(height, stage.stride), after_stride(width, stage.stride)
        self.stages = nn.Sequential(*built)
        self.last = nn.Sequential(norm.over_maps(channels), nn.ReLU()) if preactivation else nn.Identity()
        self.pool = average_pool((height, width), pool)
        self.dropout = dropout_layer(classifier_dropout)
        self.classifier = nn.Linear(channels * pool**2, num_classes)
        convolutions.replace(self, conv, harmonics=harmonics, levels=levels)
        initialise(self, initial)

    def forward(self, features: Tensor) -> Tensor:
        pooled = self.pool(self.last(self.stages(self.stem(features))))
        return self.classifier(self.dropout(torch.flatten(pooled, 1)))


def _block(name: str, preactivation: bool) -> type[nn.Module]:
    if name not in get_args(Block):
        raise ValueError(f"block is {name}; it is one of {', '.join(get_args(Block))}")
    if name == "bottleneck" and preactivation:
        raise ValueError("preactivation has no bottleneck blocks here; block=basic has it")
    return BottleneckBlock if name == "bottleneck" else PreactivationBlock if preactivation else BasicBlock


def _blocks(block: type[nn.Module], inputs: int, stage: Stage, norm: BatchNorm, dropout_rate: float) -> nn.Sequential:
    outputs = stage.width * (_EXPANSION if block is BottleneckBlock else 1)
    sizes = [(inputs, stage.stride), *[(outputs, 1)] * (stage.blocks - 1)]
    return nn.Sequential(
        *(block(size, stage.width, stride=stride, norm=norm, dropout_rate=dropout_rate) for size, stride in sizes)
    )


def _check_stage(number: int, stage: Stage, height: int, width: int) -> None:
    check_positive(widths=stage.width, blocks=stage.blocks, strides=stage.stride)
    if stage.stride > min(height, width):
        raise ValueError(
            f"strides: stage {number} has stride {stage.stride}, but its map is only {height}x{width}; "
            f"strides up to {min(height, width)} fit there"
        )
