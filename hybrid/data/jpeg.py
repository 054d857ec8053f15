"""Colour JPEG files, decoded by libjpeg-turbo as Pillow decodes them, bit for bit, as far down as rows are needed.

A file that ends after some rows is decoded no further: the height in its header is lowered, and libjpeg then complains of bytes
that follow. What it complains of first is looked at, so that damage above is noticed. Only what is usual comes this way: three
colours of 8 bits, upright, complete. For any other file there is Pillow, which `hybrid.data.images` asks.
"""

from __future__ import annotations

import io
import re
from typing import NamedTuple

import numpy as np

from hybrid.lazy import LazyModule

simplejpeg = LazyModule("simplejpeg")

_ORIENTATION = 0x0112  # the tag of EXIF
_BASELINE, _PROGRESSIVE = (0xC0, 0xC1), 0xC2
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_SCAN, _NOTES, _MORE = 0xDA, 0xE1, 0xE2  # markers: the image follows; EXIF or XMP; several images in one file
_LEFT_OVER = re.compile(r".*\d+ extraneous bytes before marker 0xd[0-79]")


class Jpeg(NamedTuple):
    """A usual file.

    Attributes:
        content: all of it.
        width: in pixels.
        height: in pixels.
        place: where the height stands in the content.
        block: the rows that are decoded at a time; 0: it can be decoded as a whole alone.
    """

    content: bytes
    width: int
    height: int
    place: int
    block: int


def usual(content: bytes) -> Jpeg | None:
    """The file with this content; None for any that Pillow may read in another way, and for those that are incomplete."""
    found, place, noted = None, 2, False
    if content[:2] != b"\xff\xd8":
        return None
    while place + 4 <= len(content) and content[place] == 0xFF:
        marker, length = content[place + 1], int.from_bytes(content[place + 2 : place + 4], "big")
        if marker == _SCAN:
            whole = content.rfind(b"\xff\xd9") > place
            return found if whole and not (noted and _is_turned(content)) else None
        if marker in _FRAMES:
            found = _frame(content, place, marker) if found is None else None
            if found is None:
                return None
        noted |= marker == _NOTES
        if marker == _MORE and content[place + 4 : place + 8] == b"MPF\0":
            return None
        place += 2 + length
    return None


def _frame(content: bytes, place: int, marker: int) -> Jpeg | None:
    """The header of an image: precision, height, width, number of colours, then (number, sampling, table) of each."""
    if marker not in (*_BASELINE, _PROGRESSIVE) or len(content) < place + 19:
        return None
    bits, colours = content[place + 4], content[place + 9]
    height, width = (int.from_bytes(content[k : k + 2], "big") for k in (place + 5, place + 7))
    if bits != 8 or colours != 3 or not height or not width:
        return None
    down = max(content[place + 11 + 3 * k] & 15 for k in range(3))
    return Jpeg(content, width, height, place + 5, 8 * down if marker in _BASELINE else 0)


def _is_turned(content: bytes) -> bool:
    """Whether the notes of a file may say that its image is to be turned."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as image:
            return image.getexif().get(_ORIENTATION, 1) != 1
    except Exception:  # notes can be damaged in any way
        return True


def decoded(file: Jpeg, rows: int) -> np.ndarray | None:
    """The first rows, at least so many, uint8 (rows, width, 4) of red, green, blue and anything; None if anything is wrong."""
    # The last row of a block depends on the next one, if the colours are stored at half the resolution.
    last = -(-(rows + 1) // file.block) * file.block if file.block else file.height
    partial = last < file.height
    content = file.content
    if partial:
        content = b"".join((content[: file.place], last.to_bytes(2, "big"), content[file.place + 2 :]))
    pixels = np.empty((last if partial else file.height, file.width, 4), np.uint8)
    try:
        simplejpeg.decode_jpeg(content, "RGBX", buffer=pixels)
    except ValueError as error:
        if not partial or not _LEFT_OVER.fullmatch(str(error)):
            return None
    return pixels
