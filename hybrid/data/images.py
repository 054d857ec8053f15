"""From an image file to a uint8 tensor: decoding, colour, resizing, cropping."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from hybrid.errors import UserError

Interpolation = Literal["bilinear", "bicubic"]
Box = tuple[int, int, int, int]

LARGEST_SIDE = 16384  # pixels of a side that images are resized to, at most
EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp")


def check_side(size: int, *, name: str, least: int = 1) -> None:
    """Raises UserError, with the `name` of the setting, for a side that images cannot be resized to."""
    if not least <= size <= LARGEST_SIDE:
        raise UserError(f"{name}={size} is not valid: images have a side of {least} to {LARGEST_SIDE} pixels here")


def open_pillow(path: str | PathLike[str], *, channels: int) -> Any:
    """The decoded image as a Pillow image in mode L (1 channel) or RGB (3 channels).

    Grey, palette, CMYK and transparent files are converted, and the rotation that a camera noted in the file is applied. Raises
    UserError, naming the file, if it cannot be read.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            ImageOps.exif_transpose(image, in_place=True)
            return image.convert("L" if channels == 1 else "RGB")
    except Exception as error:  # a damaged file can make a decoder raise nearly anything
        reason = "no such file" if isinstance(error, FileNotFoundError) else f"{type(error).__name__}: {error}"
        raise UserError(f"{path}: not a readable image ({reason}).") from error


def decode(
    path: str | PathLike[str], *, channels: int, short_side: int, crop: int, interpolation: Interpolation
) -> Tensor:
    """Resize the short side of an image file to `short_side` and cut out its centre: uint8 (channels, crop, crop).

    This is the one-crop evaluation of ImageNet, with a short side of 256 and a crop of 224. The resizing is antialiased.
    Raises UserError, naming the file, if it cannot be read.
    """
    image = open_pillow(path, channels=channels)
    width, height = image.size
    short = min(width, height)
    size = (width * short_side // short, height * short_side // short)  # rounded down, as torchvision does
    image = image.resize(size, resample=_filter(interpolation))
    left, top = round((size[0] - crop) / 2), round((size[1] - crop) / 2)
    return to_tensor(image.crop((left, top, left + crop, top + crop)))


def decode_box(
    path: str | PathLike[str],
    *,
    channels: int,
    choose_box: Callable[[int, int], Box],
    size: int,
    interpolation: Interpolation,
) -> Tensor:
    """Cut a box out of an image file and resize it: uint8 (channels, size, size).

    `choose_box(width, height)` gives the box, (left, top, right, bottom) in pixels. Raises UserError, naming the file, if it
    cannot be read.
    """
    image = open_pillow(path, channels=channels)
    box = choose_box(*image.size)
    return to_tensor(image.resize((size, size), resample=_filter(interpolation), box=box))


def to_tensor(image: Any) -> Tensor:
    """A Pillow image in mode L or RGB as uint8 (C, H, W)."""
    pixels = np.array(image, dtype=np.uint8)
    return torch.from_numpy(pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def _filter(interpolation: Interpolation) -> Any:
    from PIL import Image

    return {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}[interpolation]
