"""Front-ends turn an image into the maps that a head learns on. They have no state to save or to train.

A front-end with `fixed = True` promises that an image's maps depend on that image alone, in training as in evaluation. They
may then be computed once and kept (trainer.feature_cache).
"""

from __future__ import annotations

from typing import Annotated, Literal

from torch import Tensor, nn

from hybrid.errors import UserError
from hybrid.ranges import Range
from hybrid.scattering import Engine, Scattering2D


class Scattering(nn.Module):
    """`Scattering2D` as a front-end: images (N, C, H, W) -> (N, C · P, H // 2^J, W // 2^J), colour outer, path inner.

    J="auto" takes the number of octaves from the shorter side of the image: 3 from 128 pixels on (ImageNet as published),
    2 from 16 on (CIFAR, MNIST, STL-10 as published), else 1. It computes in float32 also under autocast, because the small
    second-order coefficients underflow in half precision.
    """

    fixed = True

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        J: Literal["auto"] | Annotated[int, Range(1, 30)] = "auto",
        L: Annotated[int, Range(1, 128)] = 8,
        max_order: Literal[1, 2] = 2,
        engine: Engine = "auto",
    ) -> None:
        super().__init__()
        channels, height, width = image_shape
        octaves = auto_octaves(min(height, width)) if J == "auto" else J
        try:
            self.transform = Scattering2D(octaves, (height, width), L, max_order, engine=engine)
        except UserError as error:  # the transform does not know which part of which configuration it is in
            raise ValueError(str(error)) from error
        paths, out_height, out_width = self.transform.output_shape
        self.output_shape = (channels * paths, out_height, out_width)

    def forward(self, images: Tensor) -> Tensor:
        return self.transform(images).flatten(1, 2)


class Identity(nn.Module):
    """The pixels themselves, for networks without scattering: (N, C, H, W) unchanged."""

    def __init__(self, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.output_shape = tuple(image_shape)

    def forward(self, images: Tensor) -> Tensor:
        return images


def auto_octaves(side: int) -> int:
    """J for images whose shorter side is `side`: maps of 28x28 at 224, 24x24 at 96, 8x8 at 32, 7x7 at 28."""
    if side >= 128:
        return 3
    return 2 if side >= 16 else 1
