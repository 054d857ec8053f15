"""From decoded numbers to pixels: one rule for arrays, tensors and image files of every depth.

    bool                 0, 1         black, white
    uint8                0..255
    uint16               0..65535     (a 12-bit TIFF file: 0..4095)
    float                [0, 1]
    other whole numbers  refused

`value_range=(black, white)` replaces the range of the type. It is what 12-bit values in a uint16 array, float values outside
[0, 1] and signed or 32-bit numbers need. A range is never guessed from the values of an image: two images of one brightness
would get different pixels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import numpy as np

from hybrid.errors import UserError
from hybrid.lazy import LazyModule
from hybrid.ranges import ANY

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = LazyModule("torch")

ValueRange = Annotated[tuple[float, float], ANY]

_WHITE = {"bool": 1, "uint8": 255, "uint16": 65535}
_ADVICE = "scale them, or say which values are black and white, such as data.value_range=[0, 4095]"
_CHUNK = 1000  # images that are scaled at a time: the floats of a whole data set would take four times its memory


def check_value_range(value_range: ValueRange | None, *, name: str = "data.value_range") -> None:
    """Raises UserError, with the `name` of the setting, unless it is None or two finite numbers, the smaller one first."""
    if value_range is None:
        return
    black, white = value_range
    if not (math.isfinite(black) and math.isfinite(white) and black < white):
        raise UserError(
            f"{name}={list(value_range)} is not valid: it is [black, white], two numbers with black < white"
        )


def as_pixels(values: Tensor | np.ndarray, *, value_range: ValueRange | None = None, where: str) -> Tensor:
    """Decoded images of any shape as pixels: uint8 stays as it is, everything else becomes float32 in [0, 1].

    Args:
        values: the numbers of one image or of several.
        value_range: the values of black and white; None: those of the type. Values outside are clipped to it.
        where: a file or a part of a data set, which errors name.

    Raises:
        UserError: without a `value_range`, the type has none either, or float values lie outside [0, 1]. Or a value is NaN.
    """
    values = torch.as_tensor(values)
    if values.dtype == torch.uint8 and value_range is None:
        return values
    if value_range is None and not values.is_floating_point():
        if _kind(values) not in _WHITE:
            raise UserError(f"{where}: {_kind(values)} values have no usual range: {_ADVICE}")
        return values.to(torch.float32) / _WHITE[_kind(values)]
    pixels = values.to(torch.float64 if values.dtype in (torch.int32, torch.int64, torch.float64) else torch.float32)
    if value_range is None and pixels.numel() and not (pixels.min() >= 0 and pixels.max() <= 1):
        raise UserError(f"{where}: float images have values in [0, 1], but {_reach(pixels)}: {_ADVICE}")
    if value_range is not None:
        check_value_range(value_range)
        if pixels.is_floating_point() and bool(pixels.isnan().any()):
            raise UserError(f"{where}: some values are NaN")
        black, white = value_range
        pixels = ((pixels - black) / (white - black)).clamp(0, 1)
    return pixels.to(torch.float32)


def as_bytes(images: Tensor | np.ndarray, *, value_range: ValueRange | None = None, where: str) -> Tensor:
    """As `as_pixels`, rounded to uint8 in 0..255, which is what data sets in memory and image files are kept as.

    images: (N, …), which are scaled a thousand at a time, or one image.
    """
    images = torch.as_tensor(images)
    if images.dtype == torch.uint8 and value_range is None:
        return images
    chunks = images.split(_CHUNK) if images.ndim > 3 else [images]
    return torch.cat([_rounded(as_pixels(chunk, value_range=value_range, where=where)) for chunk in chunks])


def _rounded(pixels: Tensor) -> Tensor:
    return pixels if pixels.dtype == torch.uint8 else (pixels * 255).round().to(torch.uint8)


def _kind(values: Tensor) -> str:
    return str(values.dtype).removeprefix("torch.")


def _reach(pixels: Tensor) -> str:
    if bool(pixels.isnan().any()):
        return "some are NaN"
    return f"these reach from {float(pixels.min()):g} to {float(pixels.max()):g}"
