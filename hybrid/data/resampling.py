"""Pillow's antialiased resizing of colour images, bit for bit, some seven times as fast: `resample.cpp`.

Only the part of the result that is wanted is computed, from the rows of the image that it depends on. The library is made and
kept as those of the transform are (`hybrid.scattering.compiled`). Before its first use in a process, its results are compared
with those of the Pillow that is installed, and where they differ, or there is no compiler, Pillow resizes.

Pillow resizes columns first, and then rows, rounding between the two. From version 13 on, it takes the rows first where the
height loses more than twice as many pixels as the width.
"""

from __future__ import annotations

import ctypes
import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hybrid.lazy import LazyModule

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = LazyModule("torch")

_log = logging.getLogger(__name__)
RowsFirst = Callable[["Piece"], bool]


class Work(ctypes.Structure):
    """The structure of this name in resample.cpp."""

    _fields_ = (
        *((name, ctypes.c_long) for name in ("width", "height", "step")),
        ("box", ctypes.c_float * 4),
        ("size", ctypes.c_long * 2),
        ("window", ctypes.c_long * 4),
        *((name, ctypes.c_long) for name in ("cubic", "rows_first")),
    )


class Piece(NamedTuple):
    """A part of a resized image.

    Attributes:
        width: of the whole source, in pixels.
        height: the same.
        box: (left, top, right, bottom), the part of the source that is resized.
        size: (width, height) that it becomes.
        window: (left, top, width, height), the wanted part of that.
        cubic: whether it is bicubic interpolation, or bilinear.
    """

    width: int
    height: int
    box: tuple[float, float, float, float]
    size: tuple[int, int]
    window: tuple[int, int, int, int]
    cubic: bool


def _columns_first(piece: Piece) -> bool:
    return False


def _as_the_sides_shrink(piece: Piece) -> bool:
    lost = piece.height - piece.size[1]
    return lost > 0 and lost > 2 * (piece.width - piece.size[0])


@dataclass(frozen=True)
class Resampler:
    """The compiled library.

    Attributes:
        library: that of resample.cpp.
        rows_first: whether Pillow resizes rows before columns.
    """

    library: ctypes.CDLL
    rows_first: RowsFirst

    def start(self, piece: Piece) -> Work:
        """The piece in the words of the library, for the two other methods."""
        orders = piece.cubic, self.rows_first(piece)
        return Work(piece.width, piece.height, 0, tuple(piece.box), piece.size, piece.window, *orders)

    def rows_needed(self, work: Work) -> int:
        """How many rows of the source count, from its first row on."""
        return self.library.rows_needed(ctypes.byref(work))

    def run(self, work: Work, pixels: np.ndarray) -> Tensor:
        """The wanted part, uint8 (3, height, width).

        pixels: the source, or the rows of it that count, uint8 (rows, width, 4): red, green, blue and anything.
        """
        width, height = work.window[2:]
        result = torch.empty(3, height, width, dtype=torch.uint8)
        work.step = pixels.strides[0]
        source = pixels.__array_interface__["data"][0]
        self.library.resample(ctypes.byref(work), ctypes.c_void_p(source), ctypes.c_void_p(result.data_ptr()))
        return result


@functools.cache
def resampler() -> Resampler | None:
    """The library, made if it is not kept; None where it cannot be made, or its results are not those of Pillow."""
    from hybrid.scattering.compiled import CompilerError
    from hybrid.scattering.compiled.cpu.compiler import load_library

    try:
        library = load_library(Path(__file__).with_name("resample.cpp").read_text(), "resample")
    except CompilerError as error:
        _log.info("images are resized by Pillow: %s", error)
        return None
    library.rows_needed.restype = ctypes.c_long
    for rows_first in (_as_the_sides_shrink, _columns_first):
        found = Resampler(library, rows_first)
        if all(_is_right(found, piece) for piece in _TRIED):
            return found
    _log.warning("images are resized by Pillow: the compiled code gives other pixels on this machine")
    return None


# Images of all proportions, enlarged and reduced, in both orders of rows and columns, and parts of them.
_TRIED = [
    Piece(width, height, (0, 0, width, height), size, (0, 0, *size), cubic)
    for width, height, size in (
        (40, 30, (56, 56)), (99, 75, (34, 26)), (75, 99, (28, 31)), (31, 90, (40, 9)), (90, 31, (9, 40)), (60, 61, (24, 20)),
        (3, 70, (33, 5)), (64, 64, (64, 20)), (64, 64, (20, 64)), (50, 80, (45, 69)), (50, 80, (45, 70)), (17, 1, (5, 8)),
    )
    for cubic in (True, False)
] + [
    Piece(99, 75, (13, 7, 81, 70), (45, 45), (5, 3, 30, 40), True),
    Piece(99, 75, (0.3, 7.25, 98.5, 70.7), (23, 45), (0, 10, 23, 3), False),
]  # fmt: skip


def _is_right(found: Resampler, piece: Piece) -> bool:
    from PIL import Image

    pixels = np.random.default_rng(piece.width).integers(0, 256, (piece.height, piece.width, 4), dtype=np.uint8)
    pixels[::2] = np.where(pixels[::2] < 128, 0, 255)  # sums below 0 and above 255
    resample = Image.Resampling.BICUBIC if piece.cubic else Image.Resampling.BILINEAR
    image = Image.fromarray(np.ascontiguousarray(pixels[..., :3])).resize(piece.size, resample, box=piece.box)
    left, top, width, height = piece.window
    whole = np.asarray(image).transpose(2, 0, 1)
    return np.array_equal(
        found.run(found.start(piece), pixels).numpy(), whole[:, top : top + height, left : left + width]
    )
