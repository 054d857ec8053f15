"""Front-ends turn an image into the maps that a head learns on.

A front-end with `fixed = True` promises that an image's maps depend on that image alone, in training as in evaluation. They
may then be computed once and kept (trainer.feature_cache).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

from torch import Tensor, nn

from hybrid.errors import UserError
from hybrid.ranges import Range
from hybrid.scattering import (
    Engine,
    ImageTransform,
    LearnedScattering2D,
    RotoTranslationScattering2D,
    Scattering2D,
)
from hybrid.scattering.geometry import Boundary
from hybrid.scattering.learned import Form, Init, LearnedEngineName
from hybrid.scattering.rotation import Normalization, Output, RotationEngineName


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
        boundary: Boundary = "reflect",
        engine: Engine = "auto",
    ) -> None:
        super().__init__()
        self.transform = _transform(
            lambda octaves, sides: Scattering2D(octaves, sides, L, max_order, boundary=boundary, engine=engine),
            image_shape,
            J,
            boundary,
        )
        self.output_shape = _maps(self.transform, image_shape)

    def forward(self, images: Tensor) -> Tensor:
        return self.transform(images).flatten(1, 2)


class LearnedScattering(nn.Module):
    """`LearnedScattering2D` as a front-end, with the shapes of `Scattering`: its wavelets are trained with the head.

    The optimizer's weight decay leaves the filters alone, because it would pull them to a frequency and a width of 0. Their
    group has the tag "filters", which `optimizer.rates` takes.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        J: Literal["auto"] | Annotated[int, Range(1, 30)] = "auto",
        L: Annotated[int, Range(1, 128)] = 8,
        max_order: Literal[1, 2] = 2,
        form: Form = "canonical",
        init: Init = "tight_frame",
        bounds: bool = True,
        engine: LearnedEngineName = "auto",
    ) -> None:
        super().__init__()
        chosen: dict[str, Any] = {
            "max_order": max_order,
            "form": form,
            "init": init,
            "bounds": bounds,
            "engine": engine,
        }
        self.transform = _transform(
            lambda octaves, sides: LearnedScattering2D(octaves, sides, L, **chosen), image_shape, J
        )
        self.output_shape = _maps(self.transform, image_shape)

    def forward(self, images: Tensor) -> Tensor:
        return self.transform(images).flatten(1, 2)

    def parameter_groups(self) -> list[dict[str, Any]]:
        return [{"params": list(self.transform.parameters()), "weight_decay": 0.0, "tag": "filters"}]

    def records(self) -> dict[str, float]:
        """The frame bounds of the bank, and how far its wavelets are from the fixed ones, relative to these."""
        low, high = self.transform.frame_bounds()
        return {"frame_min": low, "frame_max": high, "filter_drift": self.transform.distance_from_fixed()}


class RotoTranslation(nn.Module):
    """`RotoTranslationScattering2D` as a front-end: images (N, C, H, W) -> (N, C · P, h, w), colour outer, path inner.

    h, w: as of `Scattering`, or 1, 1 with output="mean". J="auto" is that of `Scattering`, K="auto" the largest.
    """

    fixed = True

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        J: Literal["auto"] | Annotated[int, Range(1, 30)] = "auto",
        L: Annotated[int, Range(2, 128)] = 8,
        K: Literal["auto"] | Annotated[int, Range(1, 7)] = "auto",
        joint: bool = True,
        average_angles: bool = True,
        output: Output = "maps",
        boundary: Boundary = "reflect",
        normalization: Normalization = "kymatio",
        engine: RotationEngineName = "auto",
    ) -> None:
        super().__init__()
        chosen: dict[str, Any] = {"joint": joint, "average_angles": average_angles, "output": output}
        chosen |= {"boundary": boundary, "normalization": normalization, "engine": engine}
        scales = None if K == "auto" else K
        self.transform = _transform(
            lambda octaves, sides: RotoTranslationScattering2D(octaves, sides, L, scales, **chosen),
            image_shape,
            J,
            boundary,
        )
        self.output_shape = _maps(self.transform, image_shape)

    def forward(self, images: Tensor) -> Tensor:
        return self.transform(images).reshape(images.shape[0], *self.output_shape)


class Identity(nn.Module):
    """The pixels themselves, for networks without scattering: (N, C, H, W) unchanged."""

    def __init__(self, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.output_shape = tuple(image_shape)

    def forward(self, images: Tensor) -> Tensor:
        return images


_Transform = TypeVar("_Transform", bound=ImageTransform)


def _transform(
    make: Callable[[int, tuple[int, int]], _Transform],
    image_shape: tuple[int, int, int],
    J: int | Literal["auto"],
    boundary: Boundary = "reflect",
) -> _Transform:
    _, height, width = image_shape
    octaves = auto_octaves(min(height, width)) if J == "auto" else J
    sides = without_padding((height, width), octaves) if boundary == "none" else (height, width)
    try:
        return make(octaves, sides)
    except UserError as error:  # the transform does not know which part of which configuration it is in
        raise ValueError(str(error)) from error


def without_padding(padded: tuple[int, int], J: int) -> tuple[int, int]:
    """The size of the images whose padding to `padded` is in the pixels already: 2^J less on every side.

    Raises ValueError where nothing would be left, or where a transform of these images would be padded to another size.
    """
    step = 2**J
    if any(side % step or side < 3 * step for side in padded):
        height, width = padded
        raise ValueError(
            f"boundary='none' takes images whose padding is in their pixels: sides that 2^J={step} divides, from {3 * step}; "
            f"they are {height}x{width}"
        )
    return padded[0] - 2 * step, padded[1] - 2 * step


def _maps(transform: ImageTransform, image_shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """(C, h, w) of the maps of all colours; of their means, (C, 1, 1)."""
    paths, height, width = (*transform.output_shape, 1, 1)[:3]
    return (image_shape[0] * paths, height, width)


def auto_octaves(side: int) -> int:
    """J for images whose shorter side is `side`: maps of 28x28 at 224, 24x24 at 96, 8x8 at 32, 7x7 at 28."""
    if side >= 128:
        return 3
    return 2 if side >= 16 else 1
