"""Many images of one size at another size."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from hybrid.data.images import Fit, centre, scaled
from hybrid.lazy import LazyModule

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = LazyModule("torch")

_log = logging.getLogger(__name__)


def tell_of_cropping(images: Tensor, size: tuple[int, int], *, fit: Fit, where: str) -> None:
    """Says in one line that images (N, C, h, w) lose a part when they are brought to a size."""
    height, width = images.shape[-2:]
    if scaled(height, width, box=size, fit=fit) != size:
        _log.warning(
            "%s: images of %d x %d (height x width) are scaled to cover %d x %d, and what does not fit is cut off: a size "
            'of their own proportions keeps it, fit="squash" squeezes it in.',
            where,
            height,
            width,
            *size,
        )


def resize(images: Tensor, size: tuple[int, int], *, fit: Fit = "crop") -> Tensor:
    """Images (N, C, h, w) uint8 at another size (height, width), bicubic, antialiased where they shrink.

    fit: "crop" scales them to cover the size and cuts out the centre; "squash" changes their proportions.
    """
    if images.shape[-2:] == size:
        return images
    whole = scaled(*images.shape[-2:], box=size, fit=fit)
    top, left = centre(*whole, size=size)
    chunks = [
        torch.nn.functional.interpolate(chunk.float(), size=whole, mode="bicubic", antialias=True).round().clamp(0, 255)
        for chunk in images.split(1000)  # in pieces: the floats of a whole set would take four times its memory
    ]
    return torch.cat([chunk[..., top : top + size[0], left : left + size[1]].to(torch.uint8) for chunk in chunks])
