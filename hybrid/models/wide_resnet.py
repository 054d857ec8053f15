"""Wide residual heads: Scat + WRN 12-k (CIFAR), Scat + WRN 20-8 (STL-10) and the plain WRN 16-8 on pixels.

"Scaling the Scattering Transform: Deep Hybrid Networks" (ICCV 2017), sections 4.1 and 4.2, in the form of its released
code.
"""

from __future__ import annotations

from hybrid.models.layers import USUAL_NORM, BatchNorm, check_positive
from hybrid.models.residual import ResidualNetwork, Stage


def wide_resnet(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    k: int = 8,
    n: int = 2,
    widths: tuple[int, ...] = (32, 64),
    strides: tuple[int, ...] = (1, 1),
    stem_width: int = 16,
    widen_stem: bool = True,
    pool: int = 1,
    dropout: float = 0.0,
    classifier_dropout: float = 0.0,
    norm: BatchNorm = USUAL_NORM,
) -> ResidualNetwork:
    """A wide residual network over coefficients or pixels `input_shape` = (C, H, W).

    Stage i has `n` blocks of `k` · widths[i] channels, the first with strides[i]. The stem convolution has `stem_width`
    channels, times `k` if `widen_stem`: after a scattering transform the stem is wide, on pixels it is not.
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
    )
