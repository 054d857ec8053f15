"""Parameters and sizes: which scales fit an image, how far it is padded, how many samples come out."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from hybrid.errors import UserError
from hybrid.scattering.paths import Path, scattering_paths

Boundary = Literal["reflect", "periodic", "none"]
Margins = tuple[tuple[int, int], tuple[int, int]]


class ScatteringError(UserError, TypeError, RuntimeError):
    """Parameters or images that the transform cannot take. The message is one line that says which values are valid.

    It is a ValueError. kymatio raises TypeError or RuntimeError for the same mistakes, so code that catches those works, too.
    """


@dataclass(frozen=True)
class Settings:
    """The parameters of one transform; hashable. `check_parameters` makes one from what a user gives.

    J: the largest scale is 2^J pixels. shape: (H, W) of the images. L: angles over half a turn. max_order: 1 or 2.
    pre_pad: the images come already padded to `padded`. periodic: an image is one period of a plane that it covers, and nothing
    is padded.
    """

    J: int
    shape: tuple[int, int]
    L: int = 8
    max_order: int = 2
    pre_pad: bool = False
    periodic: bool = field(default=False, repr=False)  # what is measured of others is kept under these words

    @property
    def boundary(self) -> Boundary:
        """How images go on beyond their border: "none" where they come already padded."""
        return "periodic" if self.periodic else "none" if self.pre_pad else "reflect"

    @property
    def padded(self) -> tuple[int, int]:
        """(H, W) of the padded images, on which the filters live."""
        return self.shape if self.periodic else padded_shape(self.shape, self.J)

    @property
    def margins(self) -> Margins:
        """How many pixels padding adds: ((top, bottom), (left, right))."""
        return ((0, 0), (0, 0)) if self.periodic else margins(self.shape, self.J)

    @property
    def dropped(self) -> int:
        """How many of the last low-pass' samples are left out at each end of a line, because they are padding."""
        return 0 if self.periodic else 1

    @property
    def input_shape(self) -> tuple[int, int]:
        """(H, W) of the images as the transform takes them."""
        return self.padded if self.pre_pad else self.shape

    @property
    def paths(self) -> tuple[Path, ...]:
        """The paths in the order of the output channels."""
        return scattering_paths(self.J, self.L, self.max_order)

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """(P, h, w) of one image."""
        return (len(self.paths), *output_size(self.shape, self.J))


def check_parameters(
    J: Any, shape: Any, L: Any = 8, max_order: Any = 2, pre_pad: Any = False, boundary: Any = "reflect"
) -> Settings:
    """Return the parameters as plain Python numbers, or raise a ScatteringError that says which values are valid.

    NumPy's integers and truth values are taken, also as arrays of one number, as `numpy.load` gives them. pre_pad=True and
    boundary="none" say the same.
    """
    height, width = _sides(shape)
    angles = whole_number(L)
    if angles is None:
        raise ScatteringError(f"L, the number of angles, must be an integer of at least 1, got {L!r}")
    order = whole_number(max_order)
    if order not in (1, 2):
        raise ScatteringError(f"max_order must be 1 or 2, got {max_order!r}")
    padded = truth(pre_pad, "pre_pad")
    check_word("boundary", boundary, get_args(Boundary))
    if padded and boundary == "periodic":
        raise ScatteringError("pre_pad=True has no effect with boundary='periodic', which pads nothing: leave it out")
    scale = _scale(J, height, width)
    periodic = boundary == "periodic"
    if periodic and (height % 2**scale or width % 2**scale):
        raise ScatteringError(
            f"boundary='periodic' needs sides that 2^J={2**scale} divides, got {height}x{width}: crop the images, take a "
            "smaller J, or boundary='reflect'"
        )
    return Settings(scale, (height, width), angles, order, padded or boundary == "none", periodic)


def check_word(what: str, word: Any, valid: tuple[str, ...]) -> None:
    """Raise a ScatteringError, which lists the valid words, for any other."""
    if not isinstance(word, str) or word not in valid:
        raise ScatteringError(f"unknown {what} {word!r}; valid: {', '.join(valid)}")


def truth(value: Any, name: str) -> bool:
    """The value as Python's True or False, of which it may be NumPy's kind; ScatteringError, with `name`, for anything else."""
    answer = value.item() if isinstance(value, np.bool_) or _is_number(value) else value
    if not isinstance(answer, bool):
        raise ScatteringError(f"{name} must be True or False, got {value!r}")
    return answer


def _sides(shape: Any) -> tuple[int, int]:
    is_list = isinstance(shape, (tuple, list)) or (isinstance(shape, np.ndarray) and shape.ndim == 1)
    counts = [whole_number(side) for side in shape] if is_list else []
    if len(counts) != 2 or counts[0] is None or counts[1] is None:
        given = tuple(shape) if isinstance(shape, list) else shape
        raise ScatteringError(f"shape must be two positive integers (H, W), got {given!r}")
    return counts[0], counts[1]


def _scale(J: Any, height: int, width: int) -> int:
    largest = largest_scale((height, width))
    if largest < 1:
        raise ScatteringError(f"images of {height}x{width} are too small: scattering needs at least 2x2 pixels")
    octaves = whole_number(J)
    if octaves is None:
        raise ScatteringError(f"J must be an integer from 1 to {largest} for images of {height}x{width}, got {J!r}")
    if largest < octaves:
        raise ScatteringError(
            f"J={octaves} does not fit images of {height}x{width}: 2^J={2**octaves} exceeds the smallest dimension, "
            f"so J can be 1 to {largest} here"
        )
    return octaves


def whole_number(value: Any) -> int | None:
    """A positive integer of Python or NumPy as an int; None for anything else."""
    try:
        number = None if isinstance(value, (bool, np.bool_)) else operator.index(value)
    except TypeError:
        return None
    return number if number is not None and number >= 1 else None


def _is_number(value: Any) -> bool:
    """Whether it is an array of one number without dimensions."""
    return isinstance(value, np.ndarray) and value.ndim == 0


def largest_scale(shape: tuple[int, int]) -> int:
    """The largest J with 2^J ≤ min(H, W)."""
    return min(shape).bit_length() - 1


def padded_shape(shape: tuple[int, int], J: int) -> tuple[int, int]:
    """The (H, W) on which the filters live: a multiple of 2^J with at least 2^J / 2 pixels to spare on each side."""
    height, width = ((side // 2**J + 2) * 2**J for side in shape)
    return height, width


def margins(shape: tuple[int, int], J: int) -> Margins:
    """How many pixels padding adds: ((top, bottom), (left, right)); the odd one goes to the bottom or the right."""
    extra = [padded - side for side, padded in zip(shape, padded_shape(shape, J), strict=True)]
    vertical, horizontal = ((added // 2, added - added // 2) for added in extra)
    return vertical, horizontal


def output_size(shape: tuple[int, int], J: int) -> tuple[int, int]:
    """Samples per coefficient map: (⌊H / 2^J⌋, ⌊W / 2^J⌋)."""
    return shape[0] // 2**J, shape[1] // 2**J


def map_sizes(padded: tuple[int, int], J: int) -> list[int]:
    """Every side of every intermediate map of images padded to `padded`, in increasing order."""
    return sorted({side >> level for side in padded for level in range(J)})
