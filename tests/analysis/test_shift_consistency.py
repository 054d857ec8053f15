"""shift consistency: the classes of images that are moved by one pixel."""

from __future__ import annotations

import pytest
import torch

from hybrid.analysis import measure_shift_consistency
from hybrid.analysis.shift_consistency import DIRECTIONS, shifted
from hybrid.errors import UserError


def test_a_shift_moves_the_image_and_repeats_its_edge():
    image = torch.arange(9.0).view(1, 1, 3, 3)
    assert shifted(image, 1, 0)[0, 0].tolist() == [[0, 1, 2], [0, 1, 2], [3, 4, 5]]
    assert shifted(image, 0, -1)[0, 0].tolist() == [[1, 2, 2], [4, 5, 5], [7, 8, 8]]
    assert shifted(image, -1, -1)[0, 0].tolist() == [[4, 5, 5], [7, 8, 8], [7, 8, 8]]


def test_what_does_not_see_the_place_never_flips_and_what_sees_columns_flips_with_them():
    columns = torch.zeros(10, 1, 4, 4)
    columns[..., 1::2] = 1
    means = measure_shift_consistency(
        lambda images: torch.stack([images.mean((1, 2, 3)), images[:, 0, 0, 0] * 0], 1), columns
    )
    assert means.flip_rate == 0
    third = measure_shift_consistency(
        lambda images: torch.stack([images[:, 0, 1, 2], 1 - images[:, 0, 1, 2]], 1), columns, batch_size=3
    )
    assert third.flips.shape == (8, 10)
    assert third.flips.all(1).tolist() == [right != 0 for _, right in DIRECTIONS]
    assert (third.flip_rate, third.diagonal_flip_rate) == (75, 100)


def test_what_are_no_classes_is_refused():
    images = torch.rand(2, 1, 4, 4)
    with pytest.raises(UserError, match="two classes or more, got \\(2, 1\\)"):
        measure_shift_consistency(lambda images: images.mean((1, 2, 3))[:, None], images)
    with pytest.raises(UserError, match="images"):
        measure_shift_consistency(lambda images: images, images[0])
