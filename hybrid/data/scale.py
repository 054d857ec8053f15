"""By which values pixels are standardised: what a configuration says of it, checked without torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from hybrid.errors import UserError
from hybrid.ranges import ANY, Positive


@dataclass(frozen=True)
class PixelStatistics:
    """The mean and standard deviation of all pixels of all images, which are in 0..1: one value for each channel."""

    mean: Annotated[tuple[float, ...], ANY]
    std: tuple[Positive, ...]


Scale = Literal["none", "contrast", "auto"] | PixelStatistics
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and std
_GREY = (0.299, 0.587, 0.114)  # weights of red, green and blue


def for_channels(scale: Scale, channels: int) -> Scale:
    """ImageNet's statistics, the default of folders, as they are for grey images; any other scale as it is.

    The weights of the colours are those by which an image becomes grey (ITU-R BT.601). The standard deviation is that of
    colours which vary together, as those of photographs nearly do.
    """
    if channels != 1 or not isinstance(scale, PixelStatistics) or (tuple(scale.mean), tuple(scale.std)) != _IMAGENET:
        return scale
    mean, std = (sum(w * x for w, x in zip(_GREY, values, strict=True)) for values in _IMAGENET)
    return PixelStatistics((round(mean, 3),), (round(std, 3),))


def check_scale(scale: Scale, *, channels: int) -> None:
    """Raises UserError for statistics of another number of channels, and for impossible ones."""
    if not isinstance(scale, PixelStatistics):
        return
    mean, std = scale.mean, scale.std
    if len(mean) != channels:
        raise UserError(
            f"data.normalize.mean has {len(mean)} values; the images have {channels} "
            f"channel{'s' * (channels != 1)}: give as many, or data.normalize=auto (measured), none (values in 0..1) or contrast."
        )
    try:
        check_statistics(mean, std)
    except ValueError as error:
        raise UserError(f"data.normalize: {error}.") from error


def check_statistics(mean: Sequence[float], std: Sequence[float]) -> None:
    """Raises ValueError where the lengths differ, or a number is impossible."""
    if len(mean) != len(std):
        raise ValueError(f"{len(mean)} means for {len(std)} standard deviations")
    if not all(value > 0 and math.isfinite(value) for value in std) or not all(map(math.isfinite, mean)):
        raise ValueError(f"std={list(std)} must be above 0 and mean={list(mean)} finite")
