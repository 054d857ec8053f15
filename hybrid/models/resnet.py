"""The head of Scat + ResNet-10, the published ImageNet hybrid, and its smaller versions for smaller images.

"Scaling the Scattering Transform: Deep Hybrid Networks" (ICCV 2017), section 4.3.1: 12,768,744 parameters on J=3
scattering coefficients of 224x224 images and 1,000 classes.
"""

from __future__ import annotations

from typing import Literal

from hybrid.models.layers import USUAL_NORM, BatchNorm, after_stride, check_positive
from hybrid.models.residual import ResidualNetwork, Stage


def resnet(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    widths: Literal["auto"] | tuple[int, ...] = "auto",
    blocks: int | tuple[int, ...] = 2,
    strides: Literal["auto"] | tuple[int, ...] = "auto",
    stem_width: Literal["auto"] | int = "auto",
    stem_bias: bool = True,
    pool: int = 1,
    dropout: float = 0.0,
    classifier_dropout: float = 0.0,
    norm: BatchNorm = USUAL_NORM,
) -> ResidualNetwork:
    """A residual network over coefficients `input_shape` = (C, H, W).

    `widths` auto depends on the map that the front-end leaves: 256, 512 channels from 16x16 on (the published
    network), 128, 256 from 9x9 on, 64, 128 on smaller maps. `strides` auto is 1 for the first stage and 2 for the
    others while the map has at least 4 pixels a side. `stem_width` auto is the first width. Only the stem has a bias,
    as released.
    """
    if widths == "auto":
        widths = auto_widths(min(input_shape[1:]))
    if strides == "auto":
        strides = auto_strides(min(input_shape[1:]), len(widths))
    check_positive(widths=widths, blocks=blocks)
    counts = (blocks,) * len(widths) if isinstance(blocks, int) else blocks
    if not len(widths) == len(counts) == len(strides):
        raise ValueError(
            f"widths {list(widths)}, blocks {list(counts)} and strides {list(strides)} differ in their number of stages"
        )
    return ResidualNetwork(
        input_shape,
        num_classes,
        stem_width=widths[0] if stem_width == "auto" else stem_width,
        stages=[Stage(*stage) for stage in zip(widths, counts, strides, strict=True)],
        norm=norm,
        stem_bias=stem_bias,
        pool=pool,
        dropout_rate=dropout,
        classifier_dropout=classifier_dropout,
    )


def auto_widths(side: int) -> tuple[int, ...]:
    """Channels per stage for a map whose shorter side is `side`.

    The published widths cost 4.7 GMAC per image at 28x28. On the 8x8 maps of CIFAR, two CPU cores do forward and
    backward of 1,140 images/s with widths 64, 128 and strides 1, 2; of 605 with strides 1, 1; of 402 with widths 128,
    256.
    """
    if side >= 16:
        return (256, 512)
    return (128, 256) if side >= 9 else (64, 128)


def auto_strides(side: int, stages: int) -> tuple[int, ...]:
    """1, then 2 for every stage whose map has at least 4 pixels a side, so that 2x2 or more are left."""
    strides = [1] * min(stages, 1)
    for _ in range(stages - 1):
        strides.append(2 if side >= 4 else 1)
        side = after_stride(side, strides[-1])
    return tuple(strides)
