"""JPEG files by the quick way are Pillow's, bit for bit; what is unusual or damaged goes to Pillow."""

from __future__ import annotations

import io
from itertools import product

import numpy as np
import pytest
from PIL import Image

from hybrid.data import images, jpeg
from hybrid.data.images import ImageReader
from hybrid.errors import UserError

BOX = (13, 9, 81, 62)


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    """107 x 95 pixels: waves with noise, so that a JPEG file of it has all frequencies and no whole number of blocks."""
    random, rows, columns = np.random.default_rng(0), np.arange(95)[:, None, None], np.arange(107)[None, :, None]
    waves = 127 + 80 * np.sin(rows / [3, 5, 9]) * np.cos(columns / [7, 4, 2])
    return Image.fromarray((waves + random.normal(0, 15, waves.shape)).clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


def by_pillow(reader: ImageReader, path, monkeypatch, box=None):
    with monkeypatch.context() as patch:
        patch.setattr(images, "_begins_as_jpeg", lambda path: None)
        patch.setattr(images, "resampler", lambda: None)
        return reader.open(path) if box is None else reader.open_box(path, lambda width, height: box)


KINDS = [
    {"quality": quality, "subsampling": sampling, "progressive": progressive, **more}
    for (quality, more), sampling, progressive in product(
        ((60, {}), (95, {"restart_marker_rows": 1})), ("4:4:4", "4:2:2", "4:2:0"), (False, True)
    )
]


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "opencv_bicubic"])
@pytest.mark.parametrize("fit", ["crop", "squash"])
def test_every_kind_is_pillows_bit_for_bit(tmp_path, monkeypatch, picture, interpolation, fit):
    reader = ImageReader(channels=3, size=(40, 56), resize=(52, 64), interpolation=interpolation, fit=fit)
    path = tmp_path / "image.jpg"
    for options, box in product(KINDS, (None, BOX, (0, 0, 20, 11), (50, 80, 107, 95))):
        path.write_bytes(encoded(picture, **options))
        choose = None if box is None else lambda width, height, box=box: box
        quick = reader.quick(path.read_bytes(), choose)
        assert quick is not None, (options, box)
        assert np.array_equal(quick, by_pillow(reader, path, monkeypatch, box)), (options, box)


def test_no_more_is_decoded_than_the_box_needs(picture):
    content = encoded(picture, subsampling="4:2:0")
    file = jpeg.usual(content)
    assert (file.width, file.height, file.block) == (107, 95, 16)
    whole = np.asarray(Image.open(io.BytesIO(content)))
    for rows in (1, 15, 16, 31, 40, 79, 95):
        pixels = jpeg.decoded(file, rows)
        assert len(pixels) == min(95, -(-(rows + 1) // 16) * 16)
        assert np.array_equal(pixels[:rows, :, :3], whole[:rows])
    assert len(jpeg.decoded(jpeg.usual(encoded(picture, progressive=True)), 5)) == 95


def turned(picture: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(picture, exif=exif)


UNUSUAL = {
    "grey": lambda picture: encoded(picture.convert("L")),
    "cmyk": lambda picture: encoded(picture.convert("CMYK")),
    "turned": turned,
    "png": lambda picture: b"\x89PNG" + encoded(picture)[4:],
    "cut off": lambda picture: encoded(picture)[:-900],
    "without an end": lambda picture: encoded(picture)[:-2],
    "empty": lambda picture: b"",
    "header alone": lambda picture: encoded(picture)[:20],
    "no height": lambda picture: no_height(encoded(picture)),
}


def no_height(content: bytes) -> bytes:
    place = jpeg.usual(content).place
    return content[:place] + b"\0\0" + content[place + 2 :]


@pytest.mark.parametrize("kind", UNUSUAL)
def test_what_is_unusual_or_incomplete_goes_to_pillow(tmp_path, monkeypatch, picture, kind):
    content = UNUSUAL[kind](picture)
    path, reader = tmp_path / "image.jpg", ImageReader(channels=3, size=(40, 40), resize=(48, 48))
    path.write_bytes(content)
    assert jpeg.usual(content) is None
    found = []
    for read in (lambda: reader.open_box(path, lambda *size: BOX), lambda: by_pillow(reader, path, monkeypatch, BOX)):
        try:
            found.append(read().numpy().tobytes())
        except UserError as error:
            found.append(str(error))
    assert found[0] == found[1]


def test_an_upright_image_with_notes_is_usual(picture, monkeypatch):
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    content = encoded(picture, exif=exif)
    assert jpeg.usual(content) is not None
    monkeypatch.setattr(Image.Image, "getexif", lambda image: 1 / 0)  # as damaged notes may
    assert jpeg.usual(content) is None


@pytest.mark.parametrize(
    "damage", [b"\xff\xd9", b"\xff\x00" * 20, b"\xff\xd3\x00"], ids=["an end", "other bits", "a mark"]
)
def test_damage_gives_pillows_pixels_with_the_same_box(tmp_path, monkeypatch, picture, damage):
    content = bytearray(encoded(picture, quality=90))
    middle = len(content) // 3
    content[middle : middle + len(damage)] = damage
    path, reader = tmp_path / "image.jpg", ImageReader(channels=3, size=(40, 40), resize=(48, 48))
    path.write_bytes(content)
    boxes = iter([BOX, (0, 0, 5, 5)])  # a second draw would give another one
    found = reader.open_box(path, lambda *size: next(boxes))
    assert np.array_equal(found, by_pillow(reader, path, monkeypatch, BOX))
    if len(damage) < 40:  # which is a code like any other
        assert reader.quick(bytes(content), lambda *size: BOX) is None


def test_grey_readers_and_ranges_take_pillow(picture):
    content = encoded(picture)
    assert ImageReader(channels=1, size=(8, 8), resize=(8, 8)).quick(content) is None
    assert ImageReader(channels=3, size=(8, 8), resize=(8, 8), value_range=(0, 255)).quick(content) is None


def test_images_above_the_limit_go_to_pillow(monkeypatch, picture):
    reader, content = ImageReader(channels=3, size=(8, 8), resize=(8, 8)), encoded(picture)
    assert reader.quick(content) is not None
    monkeypatch.setattr(images, "most_pixels", lambda: 10_000)
    assert reader.quick(content) is None
