"""The compiled resizing gives Pillow's pixels, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from hybrid.data import resampling
from hybrid.data.images import ImageReader
from hybrid.data.resampling import Piece, Resampler, resampler
from hybrid.scattering.compiled import CompilerError
from hybrid.scattering.compiled.cpu import compiler

FILTERS = {True: Image.Resampling.BICUBIC, False: Image.Resampling.BILINEAR}


@pytest.fixture
def library() -> Resampler:
    found = resampler()
    if found is None:
        pytest.skip("no compiler, or a Pillow that resizes otherwise")
    return found


def random_piece(random: np.random.Generator) -> Piece:
    width, height = (int(side) for side in random.integers(1, 260, 2))
    box = (0, 0, width, height)
    if random.random() < 0.6:
        left, top = random.uniform(0, width * 0.9), random.uniform(0, height * 0.9)
        box = (left, top, random.uniform(left + 0.05, width), random.uniform(top + 0.05, height))
    across, down = (int(side) for side in random.integers(1, 180, 2))
    left, top = int(random.integers(across)), int(random.integers(down))
    window = left, top, int(random.integers(1, across - left + 1)), int(random.integers(1, down - top + 1))
    return Piece(width, height, box, (across, down), window, bool(random.integers(2)))


def test_every_piece_is_pillows_bit_for_bit_and_depends_on_no_row_below(library):
    random = np.random.default_rng(0)
    for number in range(250):
        piece = random_piece(random)
        pixels = random.integers(0, 256, (piece.height, piece.width, 4), dtype=np.uint8)
        if number % 3 == 0:
            pixels = np.where(pixels < 128, 0, 255).astype(np.uint8)  # sums leave 0..255
        image = Image.fromarray(np.ascontiguousarray(pixels[..., :3])).resize(
            piece.size, FILTERS[piece.cubic], piece.box
        )
        left, top, width, height = piece.window
        expected = np.asarray(image)[top : top + height, left : left + width].transpose(2, 0, 1)
        work = library.start(piece)
        rows = np.ascontiguousarray(pixels[: library.rows_needed(work)])
        assert np.array_equal(library.run(work, rows).numpy(), expected), piece


def test_both_orders_of_rows_and_columns_are_tried():
    orders = [resampling._as_the_sides_shrink(piece) for piece in resampling._TRIED]
    assert any(orders) and not all(orders)


def test_another_result_than_pillows_is_noticed(library):
    wrong = Resampler(library.library, lambda piece: not library.rows_first(piece))
    assert not all(resampling._is_right(wrong, piece) for piece in resampling._TRIED)


@pytest.mark.parametrize("fit", ["crop", "squash"])
def test_without_a_compiler_pillow_gives_the_same(monkeypatch, tmp_path, fit):
    random = np.random.default_rng(1)
    image = Image.fromarray(random.integers(0, 256, (90, 70, 3), dtype=np.uint8))
    image.save(tmp_path / "image.jpg")
    reader = ImageReader(channels=3, size=(40, 48), resize=(50, 60), fit=fit)

    def read():
        box = reader.open_box(tmp_path / "image.jpg", lambda width, height: (3, 4, width - 5, height - 20))
        return [box, reader.open(tmp_path / "image.jpg"), reader.convert(image)]

    def no_compiler():
        raise CompilerError("none")

    with_one = read()
    monkeypatch.setattr(compiler, "find_compiler", no_compiler)
    resampler.cache_clear()
    assert resampler() is None
    without = read()
    resampler.cache_clear()
    assert all(map(np.array_equal, with_one, without))
