"""Image files of every kind: the table of docs/guide/data.md, a row a test, with the value that a pixel gets."""

from __future__ import annotations

import math
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from hybrid.data import images
from hybrid.data.images import ImageReader
from hybrid.errors import UserError

GREY = np.arange(0, 256, 16, dtype=np.uint8).reshape(4, 4)
COLOUR = np.stack([GREY, GREY.T, 255 - GREY], axis=-1)
LUMA = np.array(Image.fromarray(COLOUR).convert("L"))
HALF = np.where(np.arange(4) < 2, 0, 255).astype(np.uint8)[None].repeat(4, 0)  # the left half is transparent


def read(path, *, channels=1, value_range=None):
    reader = ImageReader(channels=channels, size=(4, 4), resize=(4, 4), value_range=value_range)
    return reader.open(path).numpy().transpose(1, 2, 0).squeeze()


def png(path, rows, *, bits, colour):
    """A PNG file of a depth that Pillow does not write. rows: bytes of each row; colour: PNG's colour type."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 4, 4, bits, colour, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))
    return path


def saved(path, image, **options):
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path, **options)
    return path


SIXTEEN = GREY.astype(np.uint16) * 257
ONE_CHANNEL = {
    "1 bit": (lambda p: saved(p / "i.png", Image.fromarray(GREY).convert("1", dither=0)), (GREY > 127) * 255),
    "2 bits": (lambda p: png(p / "i.png", [b"\x1b"] * 4, bits=2, colour=0), np.array([[0, 85, 170, 255]] * 4)),
    "8 bits": (lambda p: saved(p / "i.png", GREY), GREY),
    "16 bits, png": (lambda p: saved(p / "i.png", SIXTEEN), GREY),
    "16 bits, tiff": (lambda p: saved(p / "i.tif", SIXTEEN), GREY),
    "16 bits, big-endian tiff": (lambda p: saved(p / "i.tif", SIXTEEN.astype(">u2")), GREY),
    "16 bits, tiff, white is 0": (lambda p: saved(p / "i.tif", 65535 - SIXTEEN, tiffinfo={262: 0}), GREY),
    "16 bits, pgm": (lambda p: saved(p / "i.pgm", Image.fromarray(SIXTEEN)), GREY),
    "float in [0, 1]": (lambda p: saved(p / "i.tif", GREY.astype(np.float32) / 255), GREY),
}


@pytest.mark.parametrize("kind", ONE_CHANNEL)
def test_every_depth_of_grey(tmp_path, kind):
    write, expected = ONE_CHANNEL[kind]
    path = write(tmp_path)
    assert np.array_equal(read(path), expected)
    assert np.array_equal(read(path, channels=3), np.stack([expected] * 3, axis=-1))


def _palette(colours=COLOUR, **more):
    image = Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4), "P")
    image.putpalette(colours.tobytes(), **more)
    return image


ON_WHITE = np.where(HALF[..., None] == 0, 255, COLOUR)
GREY_ON_WHITE = np.repeat(np.where(HALF == 0, 255, GREY)[..., None], 3, axis=-1)
BLACK_DRAWING = np.dstack([np.zeros((4, 4, 3), np.uint8), HALF])
COLOURS = {
    "palette": (lambda p: saved(p / "i.png", _palette()), COLOUR),
    "palette with one transparent colour": (
        lambda p: saved(p / "i.gif", _palette(), transparency=0),
        np.where(np.arange(16).reshape(4, 4, 1) == 0, 255, COLOUR),
    ),
    "palette with transparencies": (
        lambda p: saved(p / "i.png", _palette(), transparency=HALF.tobytes()), ON_WHITE,
    ),
    "grey with transparency": (lambda p: saved(p / "i.png", Image.fromarray(np.dstack([GREY, HALF]))), GREY_ON_WHITE),
    "grey with a transparent level": (
        lambda p: saved(p / "i.png", GREY, transparency=0),
        np.repeat(np.where(GREY == 0, 255, GREY)[..., None], 3, axis=-1),
    ),
    "RGB": (lambda p: saved(p / "i.png", COLOUR), COLOUR),
    "RGB of 16 bits": (
        lambda p: png(p / "i.png", [(row.astype(">u2") * 257).tobytes() for row in COLOUR], bits=16, colour=2), COLOUR,
    ),
    "RGBA": (lambda p: saved(p / "i.png", np.dstack([COLOUR, HALF])), ON_WHITE),
    "RGBA without anything transparent": (lambda p: saved(p / "i.png", np.dstack([COLOUR, HALF | 255])), COLOUR),
    "black on a transparent ground": (
        lambda p: saved(p / "i.png", BLACK_DRAWING), np.repeat((255 - HALF)[..., None], 3, axis=-1),
    ),
    "CMYK": (
        lambda p: saved(p / "i.tif", Image.fromarray(np.dstack([255 - COLOUR, GREY * 0]), "CMYK")), COLOUR,
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*mode.*:DeprecationWarning")
@pytest.mark.parametrize("kind", COLOURS)
def test_every_kind_of_colour_and_transparency(tmp_path, kind):
    write, expected = COLOURS[kind]
    path = write(tmp_path)
    assert np.array_equal(read(path, channels=3), expected)
    grey = np.array(Image.fromarray(expected.astype(np.uint8)).convert("L"))
    assert np.abs(read(path).astype(int) - grey).max() <= 1


def twelve_bits(path):
    """A TIFF file of 12 bits, two pixels in three bytes, as microscopes write them: 0, 2048, 4095, 2048 in every row."""
    row = bytes([0x00, 0x08, 0x00, 0xFF, 0xF8, 0x00])
    tags = {256: 4, 257: 4, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 4, 279: 4 * len(row)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = struct.pack("<2sHI", b"II", 42, 8 + 4 * len(row))
    path.write_bytes(head + row * 4 + struct.pack("<H", len(tags)) + entries + b"\0\0\0\0")
    return path


def test_the_range_of_a_12_bit_file_is_that_of_12_bits(tmp_path):
    assert read(twelve_bits(tmp_path / "i.tif")).tolist() == [[0, 128, 255, 128]] * 4


def test_a_stated_range_serves_every_depth_of_one_channel(tmp_path):
    for number, values in enumerate([GREY.astype(np.int32) * 16 - 100, GREY * np.float32(16) - 100]):
        path = saved(tmp_path / f"{number}.tif", values)
        assert np.array_equal(read(path, value_range=(-100, 3980)), GREY)
    path = saved(tmp_path / "12-in-16.png", np.array([[0, 2048, 4095, 9999]] * 4, np.uint16))
    assert read(path, value_range=(0, 4095)).tolist() == [[0, 128, 255, 255]] * 4
    assert read(saved(tmp_path / "8.png", GREY // 16), value_range=(0, 15)).tolist() == (GREY // 16 * 17).tolist()


@pytest.mark.parametrize(
    ("values", "value_range", "words"),
    [
        (GREY.astype(np.int32), None, "int32 values have no usual range: scale them, .*data.value_range="),
        (GREY.astype(np.float32), None, "reach from 0 to 240: scale them, .*data.value_range="),
        (np.full((4, 4), np.nan, np.float32), None, "some are NaN"),
        (COLOUR, (0, 100), "data.value_range is for images of one channel; this one has the mode RGB"),
    ],
    ids=["32 bits", "float", "NaN", "range of a colour image"],
)
def test_what_has_no_range_is_refused_in_one_line_that_names_the_file(tmp_path, values, value_range, words):
    path = saved(tmp_path / "i.tif", values)
    with pytest.raises(UserError, match=words) as caught:
        read(path, value_range=value_range)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


@pytest.mark.parametrize("ending", ["tif", "gif", "png"])
def test_the_first_page_or_frame_is_the_image(tmp_path, ending):
    others = [Image.fromarray(255 - GREY), Image.fromarray(GREY // 2)]
    path = saved(tmp_path / f"i.{ending}", GREY, save_all=True, append_images=others)
    assert np.array_equal(read(path), GREY)


@pytest.mark.parametrize(
    "values", [COLOUR, GREY, SIXTEEN, GREY.astype(np.float32) / 255], ids=["RGB", "8", "16", "float"]
)
def test_an_image_is_turned_as_the_camera_noted(tmp_path, values):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: the rows of the file are columns, from right to left
    turned = read(saved(tmp_path / "i.tif", values, exif=exif), channels=3)
    assert np.array_equal(turned, np.rot90(read(saved(tmp_path / "upright.tif", values), channels=3), k=-1))


@pytest.mark.parametrize(("mode", "tolerance"), [("YCbCr", 3), ("HSV", 6), ("LAB", 6), ("RGBa", 0), ("RGBX", 0)])
def test_pillow_images_of_other_colours(mode, tolerance):
    from PIL import ImageCms

    image = Image.fromarray(np.full((4, 4, 3), (200, 120, 40), np.uint8))
    if mode == "LAB":
        rgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(image, rgb, lab, outputMode="LAB")
    else:
        image = (image.convert("RGBA") if mode == "RGBa" else image).convert(mode)
    for channels, expected in ((3, (200, 120, 40)), (1, (135,))):
        reader = ImageReader(channels=channels, size=(4, 4), resize=(4, 4))
        found = reader.convert(image)[:, 0, 0].numpy().astype(int)
        assert np.abs(found - expected).max() <= tolerance


@pytest.mark.parametrize("shape", [(1, 4000), (4000, 1), (20, 3000), (7, 901)], ids=str)
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_a_very_long_image_is_cropped_before_it_is_resized(monkeypatch, shape, interpolation):
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    reader = ImageReader(channels=3, size=(56, 56), resize=(64, 64), interpolation=interpolation)
    monkeypatch.setattr(images, "_LONG", math.inf)
    whole = reader.convert(Image.fromarray(pixels))
    monkeypatch.setattr(images, "_LONG", 16)
    monkeypatch.setattr(Image.Image, "resize", _small(Image.Image.resize))
    part = reader.convert(Image.fromarray(pixels))
    assert (part.int() - whole.int()).abs().max() <= 1


def _small(resize):
    def checked(self, size, *args, **kwargs):
        assert size[0] * size[1] < 100_000
        return resize(self, size, *args, **kwargs)

    return checked
