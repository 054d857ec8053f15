"""The head of Scat + ResNet-10, the published ImageNet hybrid, and its smaller versions for smaller images.

"Scaling the Scattering Transform: Deep Hybrid Networks" (ICCV 2017), section 4.3.1: 12,768,744 parameters on J=3
scattering coefficients of 224x224 images and 1,000 classes.
"""

from __future__ import annotations

from typing import Literal

from hybrid.models.convolutions import ALL_HARMONICS, Convolution, Harmonics, Levels
from hybrid.models.layers import USUAL_NORM, BatchNorm, after_stride, check_positive
from hybrid.models.residual import Block, Blocks, ResidualNetwork, Stage, Strides
from hybrid.ranges import Rate, Side, Width, Widths


def resnet(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    widths: Literal["auto"] | Widths = "auto",
    blocks: Blocks | tuple[Blocks, ...] = 2,
    strides: Literal["auto"] | Strides = "auto",
    stem_width: Literal["auto"] | Width = "auto",
    stem_bias: bool = True,
    pool: Side = 1,
    dropout: Rate = 0.0,
    classifier_dropout: Rate = 0.0,
    norm: BatchNorm = USUAL_NORM,
    block: Block = "basic",
    conv: Convolution = "standard",
    harmonics: Harmonics = ALL_HARMONICS,
    levels: Levels = 1,
) -> ResidualNetwork:
    """A residual network on coefficients, by default that of Scat + ResNet-10: (N, C, H, W) -> logits (N, num_classes).

    Args:
        input_shape: (C, H, W) of the coefficients.
        num_classes: the number of logits.
        widths: channels of each stage; "auto" is (256, 512) on maps of 16x16 and more (as published), (128, 256) from 9x9
            on, and (64, 128) on smaller ones.
        blocks: of each stage, or of all.
        strides: of the first block in each stage; "auto" is 1, and then 2 while the map has 4 pixels or more on a side.
        stem_width: channels of the first convolution; "auto" is the first width.
        stem_bias: whether the first convolution has a bias, as released; no other has one.
        pool: the last map is averaged onto pool x pool cells.
        dropout: rate in [0, 1) between the two convolutions of a block.
        classifier_dropout: rate in [0, 1) on the pooled features.
        norm: the settings of all batch norm layers.
        block: "basic", or "bottleneck", whose stages end in four times their width.
        conv: the 3x3 convolutions: "standard", "harmonic" or "wtconv" (`hybrid.models.convolutions`).
        harmonics: of harmonic filters: the cosines whose orders i + j are below this; 5 is all nine, 3 has six, 2 three.
        levels: of the wavelets of wtconv.

    Raises:
        ValueError: a value is out of range, or the lists differ in length.
    """
    stages = _stages(min(input_shape[1:]), widths, blocks, strides)
    return ResidualNetwork(
        input_shape,
        num_classes,
        stem_width=stages[0].width if stem_width == "auto" else stem_width,
        stages=stages,
        norm=norm,
        stem_bias=stem_bias,
        pool=pool,
        dropout_rate=dropout,
        classifier_dropout=classifier_dropout,
        block=block,
        conv=conv,
        harmonics=harmonics,
        levels=levels,
    )


def _stages(
    side: int, widths: Literal["auto"] | Widths, blocks: Blocks | tuple[Blocks, ...], strides: Literal["auto"] | Strides
) -> list[Stage]:
    if widths == "auto":
        widths = auto_widths(side)
    if strides == "auto":
        strides = auto_strides(side, len(widths))
    check_positive(widths=widths, blocks=blocks)
    counts = (blocks,) * len(widths) if isinstance(blocks, int) else blocks
    if not len(widths) == len(counts) == len(strides):
        raise ValueError(
            f"widths {list(widths)}, blocks {list(counts)} and strides {list(strides)} differ in their number of stages"
        )
    return [Stage(*stage) for stage in zip(widths, counts, strides, strict=True)]


def auto_widths(side: int) -> tuple[int, ...]:
    """The channels of each stage for a map whose shorter side is `side`.

    The published widths cost 4.7 GMAC for an image at 28x28. On the 8x8 maps of CIFAR, two CPU cores train 1,140 images/s
    with widths 64, 128 and strides 1, 2; 605 with strides 1, 1; and 402 with widths 128, 256.
    """
    if side >= 16:
        return (256, 512)
    return (128, 256) if side >= 9 else (64, 128)


def auto_strides(side: int, stages: int) -> tuple[int, ...]:
    """1, and then 2 for each stage whose map has 4 pixels or more on a side, so that 2x2 or more are left."""
    strides = [1] * min(stages, 1)
    for _ in range(stages - 1):
        strides.append(2 if side >= 4 else 1)
        side = after_stride(side, strides[-1])
    return tuple(strides)
