"""Wide residual heads: Scat + WRN 12-k (CIFAR), Scat + WRN 20-8 (STL-10) and the plain WRN 16-8 on pixels.

"Scaling the Scattering Transform: Deep Hybrid Networks" (ICCV 2017), sections 4.1 and 4.2, in the form of its released
code.
"""

from __future__ import annotations

from typing import Annotated

from hybrid.models.convolutions import ALL_HARMONICS, Convolution, Harmonics, Levels
from hybrid.models.layers import USUAL_NORM, BatchNorm, Initial, check_positive
from hybrid.models.residual import Blocks, ResidualNetwork, Stage, Strides
from hybrid.ranges import Range, Rate, Side, Width, Widths

Widening = Annotated[int, Range(1, 10_000)]


def wide_resnet(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    k: Widening = 8,
    n: Blocks = 2,
    widths: Widths = (32, 64),
    strides: Strides = (1, 1),
    stem_width: Width = 16,
    widen_stem: bool = True,
    pool: Side = 1,
    dropout: Rate = 0.0,
    classifier_dropout: Rate = 0.0,
    preactivation: bool = False,
    stem_stride: Annotated[int, Range(1, 10_000)] = 1,
    initial: Initial = "fan_out",
    norm: BatchNorm = USUAL_NORM,
    conv: Convolution = "standard",
    harmonics: Harmonics = ALL_HARMONICS,
    levels: Levels = 1,
) -> ResidualNetwork:
    """A wide residual network on coefficients or pixels: (N, C, H, W) -> logits (N, num_classes).

    Args:
        input_shape: (C, H, W) of the features.
        num_classes: the number of logits.
        k: widening factor.
        n: blocks in each stage.
        widths: channels of each stage, times k.
        strides: of the first block in each stage.
        stem_width: channels of the first convolution.
        widen_stem: whether these are times k, too; they are after a scattering transform, and not on pixels.
        pool: the last map is averaged onto pool x pool cells.
        dropout: rate in [0, 1) between the two convolutions of a block.
        classifier_dropout: rate in [0, 1) on the pooled features.
        preactivation: whether batch norm and ReLU come before the convolutions of a block, as in Zagoruyko and Komodakis 2016.
        stem_stride: of the first convolution.
        initial: the initial weights: "fan_out" of the released hybrids, "fan_in", or "torch", its default.
        norm: the settings of all batch norm layers.
        conv: the 3x3 convolutions: "standard", "harmonic" or "wtconv" (`hybrid.models.convolutions`).
        harmonics: of harmonic filters: the cosines whose orders i + j are below this; 5 is all nine, 3 has six, 2 three.
        levels: of the wavelets of wtconv.

    Raises:
        ValueError: a value is out of range, or `widths` and `strides` differ in length.
    """
    check_positive(k=k, n=n, widths=widths)
    if len(widths) != len(strides):
        raise ValueError(f"widths {list(widths)} and strides {list(strides)} describe different numbers of stages")
    return ResidualNetwork(
        input_shape,
        num_classes,
        stem_width=stem_width * k if widen_stem else stem_width,
        stages=[Stage(k * width, n, stride) for width, stride in zip(widths, strides, strict=True)],
        norm=norm,
        pool=pool,
        dropout_rate=dropout,
        classifier_dropout=classifier_dropout,
        preactivation=preactivation,
        stem_stride=stem_stride,
        initial=initial,
        conv=conv,
        harmonics=harmonics,
        levels=levels,
    )
