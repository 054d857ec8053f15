"""From an image file to a uint8 tensor: decoding, colour, depth, resizing, cropping."""

from __future__ import annotations

import functools
import math
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hybrid.data import jpeg
from hybrid.data.pixels import ValueRange, as_bytes
from hybrid.data.resampling import Piece, resampler
from hybrid.errors import UserError
from hybrid.lazy import LazyModule
from hybrid.ranges import Side

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image
    from torch import Tensor
else:
    torch = LazyModule("torch")

Interpolation = Literal["bilinear", "bicubic", "opencv_bicubic"]
Fit = Literal["crop", "squash"]
Size = Side | tuple[Side, Side]
Box = tuple[int, int, int, int]

LARGEST_SIDE = 16384  # pixels of a side that images are resized to, at most
EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
_PILLOWS_LIMIT = 178_956_970  # pixels
_BITS, _COLOURS = 258, 262  # tags of TIFF files: BitsPerSample, PhotometricInterpretation
_LONG = 16  # times the pixels of the result
_REACH = 2  # pixels to each side that bicubic interpolation looks at
ORIENTATION = 0x0112  # the tag of EXIF


MOST_PIXELS = "HYBRID_MAX_MEGAPIXELS"  # the environment variable


def most_pixels() -> int:
    """The pixels of the largest image that is decoded: about 179 million (Pillow's), or what $HYBRID_MAX_MEGAPIXELS says.

    Raises UserError where that is no number above 0.
    """
    given = os.environ.get(MOST_PIXELS)
    if not given:
        return _PILLOWS_LIMIT
    if not re.fullmatch(r"\d{1,7}", given) or int(given) == 0:
        raise UserError(f"{MOST_PIXELS}={given} in the environment is no whole number of megapixels, 1 to 9999999.")
    return int(given) * 1_000_000


def visible(images: Tensor) -> Tensor:
    """The channels of images (…, C, H, W) that a picture can show: one, or the first three of three or more."""
    return images[..., : 3 if images.shape[-3] >= 3 else 1, :, :]


def sides(size: int | Sequence[int]) -> tuple[int, int]:
    """(height, width) of a size, which is that pair or the side of a square."""
    if isinstance(size, int):
        return size, size
    height, width = size
    return height, width


def shown(size: Size) -> str:
    """A size as it is written on a command line."""
    return str(size if isinstance(size, int) else list(size)).replace(" ", "")


def check_size(size: Size, *, name: str, least: int = 1) -> None:
    """Raises UserError, with the `name` of the setting, for a size that images cannot be resized to."""
    if not all(least <= side <= LARGEST_SIDE for side in sides(size)):
        raise UserError(
            f"{name}={shown(size)} is not valid: images have a side of {least} to {LARGEST_SIDE} pixels here"
        )


def box_around(size: Size, resize: Size) -> tuple[int, int]:
    """(height, width) that an image is scaled to cover before its centre of `size` is cut out.

    A whole number `resize` is the shorter side of that box, which has the proportions of `size`.
    """
    if not isinstance(resize, int):
        return sides(resize)
    height, width = sides(size)
    shorter = min(height, width)
    return tuple(resize if side == shorter else max(side, round(side * resize / shorter)) for side in (height, width))  # type: ignore[return-value]


def scaled(height: int, width: int, *, box: tuple[int, int], fit: Fit) -> tuple[int, int]:
    """(height, width) of an image of this height and width after it is scaled to a box (height, width).

    "crop" keeps the proportions: the smallest size that covers the box, rounded down as torchvision does. "squash" gives the
    box itself.
    """
    if fit == "squash":
        return box
    if box[0] * width >= box[1] * height:
        return box[0], width * box[0] // height
    return height * box[1] // width, box[1]


def centre(height: int, width: int, *, size: tuple[int, int]) -> tuple[int, int]:
    """(top, left) of the central part of `size` (height, width)."""
    return round((height - size[0]) / 2), round((width - size[1]) / 2)


@dataclass(frozen=True, kw_only=True)
class ImageReader:
    """Turns an image file into the pixels that a model is evaluated on: uint8 (channels, *size).

    The pixels are those that Pillow gives, bit for bit. Usual JPEG files are decoded and resized by faster libraries
    (`hybrid.data.jpeg`, `hybrid.data.resampling`), and everything else by Pillow itself.

    Every kind of file becomes 8 bits of grey or RGB as `standard_mode` says. Then it is scaled to cover the box `resize`, and
    its centre of `size` is cut out: ImageNet's evaluation, with a box of 256 and a centre of 224. Scaling
    is antialiased, but for "opencv_bicubic".

    Attributes:
        channels: 3: RGB; 1: grey.
        size: (height, width) of the result.
        resize: (height, width) of the box, at least `size`.
        interpolation: "bicubic" or "bilinear", antialiased, as Pillow has them; or "opencv_bicubic", OpenCV's INTER_CUBIC, which
            is not antialiased.
        fit: "crop" keeps an image's proportions, and what the box does not hold is cut off; "squash" scales both sides to
            the box.
        value_range: the values (black, white) of images with one channel whose type does not say them.
    """

    channels: int
    size: tuple[int, int]
    resize: tuple[int, int]
    interpolation: Interpolation = "bicubic"
    fit: Fit = "crop"
    value_range: ValueRange | None = None

    def open(self, path: str | PathLike[str]) -> Tensor:
        """An image file as uint8 (channels, *size). Raises UserError, naming the file, if it cannot be read."""
        quick = self.quick(_begins_as_jpeg(path))
        return self._framed(self.decode(path)) if quick is None else quick

    def convert(self, image: Image, *, where: str = "image") -> Tensor:
        """A Pillow image as uint8 (channels, *size). Raises UserError, naming `where`, for numbers without a range."""
        return self._framed(self._standard(image, where))

    def convert_box(self, image: Image, choose_box: Callable[[int, int], Box], *, where: str = "image") -> Tensor:
        """As `open_box`, for a Pillow image."""
        return self._boxed(self._standard(image, where), choose_box)

    def open_box(self, path: str | PathLike[str], choose_box: Callable[[int, int], Box]) -> Tensor:
        """Cut a box out of an image file and resize it: uint8 (channels, *size).

        `choose_box(width, height)` gives the box, (left, top, right, bottom) in pixels. Raises UserError, naming the file, if
        it cannot be read.
        """
        choose_box = functools.cache(choose_box)  # the same box again, where Pillow reads the file after all
        quick = self.quick(_begins_as_jpeg(path), choose_box)
        return self._boxed(self.decode(path), choose_box) if quick is None else quick

    def quick(self, content: bytes | None, choose_box: Callable[[int, int], Box] | None = None) -> Tensor | None:
        """What `open` or, with `choose_box`, `open_box` give of a file with this content; None where Pillow must read it."""
        if content is None or self.channels != 3 or self.value_range is not None:
            return None
        file, library = jpeg.usual(content), resampler()
        if file is None or library is None or file.width * file.height > most_pixels() // 2:
            return None
        size = file.width, file.height
        piece = self._frame(*size) if choose_box is None else self._box(*size, choose_box(*size))
        if self.interpolation == "opencv_bicubic":
            pixels = jpeg.decoded(file, piece.box[3])
            return None if pixels is None else self._as_opencv(_cut(pixels, piece.box), piece)
        if choose_box is None and self._is_long(piece):
            return None
        work = library.start(piece)
        pixels = jpeg.decoded(file, library.rows_needed(work))
        return None if pixels is None else library.run(work, pixels)

    def decode(self, path: str | PathLike[str]) -> Image:
        """An image file at its own size, in mode L (1 channel) or RGB (3 channels), turned as the camera noted.

        Of a file with several pages or frames it is the first. Raises UserError, naming the file, if it cannot be read.
        """
        from PIL import Image, ImageOps

        Image.MAX_IMAGE_PIXELS = most_pixels() // 2  # Pillow refuses twice as many
        try:
            with Image.open(path) as image:
                ImageOps.exif_transpose(image, in_place=True)
                return standard_mode(image, channels=self.channels, value_range=self.value_range, where=str(path))
        except UserError:
            raise
        except Image.DecompressionBombError as error:
            count = re.search(r"\((\d+) pixels\)", str(error))
            size = f"{int(count[1]) / 1e6:.0f}" if count else "more"
            raise UserError(
                f"{path}: an image of {size} million pixels is above the limit of {most_pixels() / 1e6:.0f}. "
                f"{MOST_PIXELS}=1000 in the environment admits 1000 million; a smaller copy is read faster."
            ) from error
        except Exception as error:  # a damaged file can make a decoder raise nearly anything
            reason = "no such file" if isinstance(error, FileNotFoundError) else f"{type(error).__name__}: {error}"
            raise UserError(f"{path}: not a readable image ({reason}).") from error

    def _standard(self, image: Image, where: str) -> Image:
        from PIL import ImageOps

        if image.getexif().get(ORIENTATION, 1) != 1:
            image = ImageOps.exif_transpose(image)
        return standard_mode(image, channels=self.channels, value_range=self.value_range, where=where)

    def _box(self, width: int, height: int, box: Box) -> Piece:
        """A box of an image of this size, resized to `size`."""
        across = self.size[::-1]
        return Piece(width, height, box, across, (0, 0, *across), self.interpolation != "bilinear")

    def _frame(self, width: int, height: int) -> Piece:
        """The centre of an image of this size that is scaled to cover `resize`."""
        whole = scaled(height, width, box=self.resize, fit=self.fit)
        top, left = centre(*whole, size=self.size)
        window = left, top, *self.size[::-1]
        return Piece(width, height, (0, 0, width, height), whole[::-1], window, self.interpolation != "bilinear")

    def _boxed(self, image: Image, choose_box: Callable[[int, int], Box]) -> Tensor:
        return self._resized(image, self._box(*image.size, choose_box(*image.size)))

    def _framed(self, image: Image) -> Tensor:
        piece = self._frame(*image.size)
        if self.interpolation != "opencv_bicubic" and self._is_long(piece):
            return self._framed_part(image, piece.size[::-1], piece.window[1::-1])
        return self._resized(image, piece)

    def _is_long(self, piece: Piece) -> bool:
        return math.prod(piece.size) > _LONG * math.prod(self.size)

    def _resized(self, image: Image, piece: Piece) -> Tensor:
        if self.interpolation == "opencv_bicubic":
            return self._as_opencv(to_tensor(image.crop(piece.box)), piece)
        library = resampler() if image.mode == "RGB" else None
        if library is not None:
            pixels = np.frombuffer(image.tobytes("raw", "RGBX"), np.uint8)
            return library.run(library.start(piece), pixels.reshape(piece.height, piece.width, 4))
        left, top, width, height = piece.window
        image = image.resize(piece.size, resample=self._filter, box=piece.box)
        return to_tensor(image.crop((left, top, left + width, top + height)))

    def _as_opencv(self, pixels: Tensor, piece: Piece) -> Tensor:
        left, top, width, height = piece.window
        resized = resized_as_opencv(pixels, *piece.size[::-1])
        return resized[:, top : top + height, left : left + width].contiguous()

    def _framed_part(self, image: Image, whole: tuple[int, int], corner: tuple[int, int]) -> Tensor:
        """As `_framed`, of an image so long that most of it is cut off: no more is resized than the result depends on.

        It can differ a little from the whole image's, because Pillow resizes rows or columns first as the sizes tell.
        """
        natural = image.size[::-1]
        begins, ends = [], []
        for side, native, first, kept in zip(whole, natural, corner, self.size, strict=True):
            margin = 1 + math.ceil(_REACH * max(1.0, side / native))
            begins.append(max(0, first - margin))
            ends.append(min(side, first + kept + margin))
        factors = [native / side for native, side in zip(natural, whole, strict=True)]
        (y0, x0), (y1, x1) = (
            [place * by for place, by in zip(places, factors, strict=True)] for places in (begins, ends)
        )
        size = (ends[1] - begins[1], ends[0] - begins[0])
        part = image.resize(size, resample=self._filter, box=(x0, y0, min(x1, natural[1]), min(y1, natural[0])))
        top, left = corner[0] - begins[0], corner[1] - begins[1]
        return to_tensor(part.crop((left, top, left + self.size[1], top + self.size[0])))

    @property
    def _filter(self) -> Any:
        from PIL import Image

        return {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}[self.interpolation]


def _begins_as_jpeg(path: str | PathLike[str]) -> bytes | None:
    """The content of a file that begins as a JPEG file does; None of any other, and of one that cannot be read."""
    try:
        with open(path, "rb") as file:
            begin = file.read(2)
            return begin + file.read() if begin == b"\xff\xd8" else None
    except OSError:  # Pillow will say so
        return None


def _cut(pixels: np.ndarray, box: Box) -> Tensor:
    """A box of pixels (rows, width, 4) as uint8 (3, height, width)."""
    left, top, right, bottom = box
    return torch.from_numpy(np.ascontiguousarray(pixels[top:bottom, left:right, :3].transpose(2, 0, 1)))


def standard_mode(image: Image, *, channels: int, value_range: ValueRange | None, where: str) -> Image:
    """A Pillow image of any mode in mode L (1 channel) or RGB (3 channels). docs/guide/data.md has the table of modes.

    Numbers of more than 8 bits are scaled as `hybrid.data.pixels` says. What is transparent lies on white. Raises UserError,
    naming `where`, for numbers without a range, and for a `value_range` where the image has several channels.
    """
    from PIL import Image

    if value_range is not None and image.mode[0] not in "IF" and image.mode != "L":
        raise UserError(f"{where}: data.value_range is for images of one channel; this one has the mode {image.mode}")
    if image.mode[0] in "IF" or value_range is not None:
        numbers, own_range = _numbers(image)
        image = Image.fromarray(as_bytes(numbers, value_range=value_range or own_range, where=where).numpy())
    elif image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    elif image.mode in ("LAB", "HSV"):
        image = _to_rgb(image)
    return image.convert("L" if channels == 1 else "RGB")


def resized_as_opencv(pixels: Tensor, height: int, width: int) -> Tensor:
    """Resize uint8 (C, H, W) as OpenCV's INTER_CUBIC does: cubic convolution with a = -0.75, without antialias.

    torch's bicubic interpolation has the same kernel, grid and border. OpenCV computes in fixed point, so a value may differ by
    one.
    """
    resized = torch.nn.functional.interpolate(pixels[None].float(), size=(height, width), mode="bicubic")
    return resized[0].round().clamp(0, 255).to(torch.uint8)


def to_tensor(image: Image) -> Tensor:
    """A Pillow image in mode L or RGB as uint8 (C, H, W)."""
    pixels = np.array(image, dtype=np.uint8)
    return torch.from_numpy(pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def _numbers(image: Image) -> tuple[np.ndarray, ValueRange | None]:
    """The values (H, W) of an image with one channel of 8 or more bits, and their range if the file says it."""
    values = np.array(image)
    if image.mode in ("L", "F"):
        return values, None
    if image.mode == "I" and image.format not in ("PNG", "PPM"):  # Pillow opens their 16 bits as 32
        return values.astype(np.int32), None
    tags = getattr(image, "tag_v2", {})
    white = 2 ** tags.get(_BITS, (16,))[0] - 1
    if tags.get(_COLOURS) == 0:  # 0 is white
        values = white - values
    return values.astype(np.uint16), (0, white)


def _to_rgb(image: Image) -> Image:
    if image.mode != "LAB":
        return image.convert("RGB")
    from PIL import ImageCms

    lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.profileToProfile(image, lab, rgb, outputMode="RGB")
