"""One rule for the numbers of images: every type by its own range, or by the range that is stated."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hybrid.data.pixels import as_bytes, as_pixels, check_value_range
from hybrid.errors import UserError


@pytest.mark.parametrize(
    ("values", "value_range", "expected"),
    [
        (np.array([False, True]), None, [0, 255]),
        (np.array([0, 7, 255], np.uint8), None, [0, 7, 255]),
        (np.array([0, 7 * 257, 65535], np.uint16), None, [0, 7, 255]),
        (np.array([0, 128, 65407], np.uint16), None, [0, 0, 255]),  # rounded to the nearest of 256 levels
        (np.array([0.0, 7 / 255, 1.0], np.float32), None, [0, 7, 255]),
        (np.array([0.0, 7 / 255, 1.0], np.float64), None, [0, 7, 255]),
        (torch.tensor([0.0, 0.5, 1.0], dtype=torch.float16), None, [0, 128, 255]),
        (np.array([0, 2048, 4095, 5000], np.uint16), (0, 4095), [0, 128, 255, 255]),
        (np.array([-2000, -1000, 0, 1000], np.int16), (-1000, 1000), [0, 0, 128, 255]),
        (np.array([0, 2**31 - 1], np.int32), (0, 2**31 - 1), [0, 255]),
        (np.array([-1.0, 0.0, 1.0]), (-1, 1), [0, 128, 255]),
        (np.array([0, 16], np.uint8), (0, 16), [0, 255]),
    ],
    ids=lambda value: (
        str(value).replace(" ", "") if isinstance(value, list | tuple) else getattr(value, "dtype", value)
    ),
)
def test_values_become_pixels_by_the_range_of_their_type_or_the_stated_one(values, value_range, expected):
    assert as_bytes(values, value_range=value_range, where="here").tolist() == expected


def test_pixels_keep_their_precision_and_bytes_their_memory():
    exact = as_pixels(np.array([1, 65534], np.uint16), where="here")
    assert exact.dtype == torch.float32 and exact.tolist() == pytest.approx([1 / 65535, 65534 / 65535])
    eight = torch.zeros(3, 1, 2, 2, dtype=torch.uint8)
    assert as_bytes(eight, where="here") is eight
    many = as_bytes(np.full((2500, 1, 2, 2), 514, np.uint16), where="here")  # in several pieces
    assert many.shape == (2500, 1, 2, 2) and many.unique().tolist() == [2]


@pytest.mark.parametrize(
    ("values", "value_range", "words"),
    [
        (np.array([0, 1], np.int32), None, r"int32 values have no usual range.*data\.value_range=\[0, 4095\]"),
        (np.array([0, 1], np.int64), None, "int64 values have no usual range"),
        (np.array([0.0, 812.0]), None, r"reach from 0 to 812.*data\.value_range"),
        (np.array([-0.5, 1.0]), None, "reach from -0.5 to 1"),
        (np.array([0.0, np.nan]), None, "some are NaN"),
        (np.array([0.0, np.nan]), (0, 2), "some values are NaN"),
        (np.array([0.0, 1.0]), (1, 1), "black < white"),
    ],
    ids=["int32", "int64", "above 1", "below 0", "NaN", "NaN in a range", "empty range"],
)
def test_a_range_is_never_guessed(values, value_range, words):
    with pytest.raises(UserError, match=words) as caught:
        as_bytes(values, value_range=value_range, where="here")
    assert "\n" not in str(caught.value)


def test_a_value_range_is_two_numbers_in_order():
    check_value_range(None)
    check_value_range((0, 4095))
    with pytest.raises(UserError, match=r"data\.value_range=\[5, 1\]"):
        check_value_range((5, 1))
