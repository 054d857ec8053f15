"""Sizes: which scales fit an image, how far it is padded, how many samples come out."""

from __future__ import annotations

from collections.abc import Sequence


def check_parameters(J: int, shape: Sequence[int], L: int, max_order: int) -> tuple[int, int]:
    """Return `shape` as (H, W), or raise a ValueError that says which values fit."""
    if not isinstance(shape, Sequence) or len(shape) != 2 or not all(_is_count(side) for side in shape):
        given = tuple(shape) if isinstance(shape, Sequence) and not isinstance(shape, str) else shape
        raise ValueError(f"shape must be two positive integers (H, W), got {given!r}")
    height, width = (int(side) for side in shape)
    if not _is_count(L):
        raise ValueError(f"L, the number of angles, must be an integer of at least 1, got {L!r}")
    if isinstance(max_order, bool) or max_order not in (1, 2):
        raise ValueError(f"max_order must be 1 or 2, got {max_order!r}")
    largest = largest_scale((height, width))
    if largest < 1:
        raise ValueError(f"images of {height}x{width} are too small: scattering needs at least 2x2 pixels")
    if not _is_count(J):
        raise ValueError(f"J must be an integer from 1 to {largest} for images of {height}x{width}, got {J!r}")
    if largest < J:
        raise ValueError(
            f"J={J} does not fit images of {height}x{width}: 2^J={2**J} exceeds the shorter side, "
            f"so J can be 1 to {largest} here"
        )
    return height, width


def largest_scale(shape: tuple[int, int]) -> int:
    """The largest J with 2^J ≤ min(H, W)."""
    return min(shape).bit_length() - 1


def padded_shape(shape: tuple[int, int], J: int) -> tuple[int, int]:
    """The (H, W) on which the filters live: a multiple of 2^J with at least 2^J / 2 pixels to spare on each side."""
    height, width = ((side // 2**J + 2) * 2**J for side in shape)
    return height, width


def margins(shape: tuple[int, int], J: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """How many pixels padding adds: ((top, bottom), (left, right)); the odd one goes to the bottom or the right."""
    extra = [padded - side for side, padded in zip(shape, padded_shape(shape, J), strict=True)]
    vertical, horizontal = ((added // 2, added - added // 2) for added in extra)
    return vertical, horizontal


def output_size(shape: tuple[int, int], J: int) -> tuple[int, int]:
    """Samples per coefficient map: (⌊H / 2^J⌋, ⌊W / 2^J⌋)."""
    return shape[0] // 2**J, shape[1] // 2**J


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
