from __future__ import annotations

import numpy as np
import pytest
import torch

from hybrid.data import psn_policy
from hybrid.data.psn_policy import ReleasedPolicy, value_of

IMAGE = torch.randint(1, 256, (3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def test_a_magnitude_names_a_tenth_of_the_way_from_the_lowest_to_the_highest_value():
    assert value_of("Contrast", 6, 0) == pytest.approx(1.18)
    assert value_of("Contrast", 6, 1) == pytest.approx(1.36)
    assert value_of("Rotate", 2, 0) == pytest.approx(-18)
    assert 32 * value_of("TranslateX", 9, 1) == pytest.approx(32 * 150 / 331)


@pytest.mark.parametrize(("operation", "axis"), [("TranslateX", 2), ("TranslateY", 1)])
def test_translations_move_the_image_towards_its_first_pixel(operation, axis):
    moved = psn_policy._moved(IMAGE, operation, 0.25)
    kept = IMAGE.movedim(axis, 0)[8:]
    assert torch.equal(moved.movedim(axis, 0)[:24], kept)
    assert not moved.movedim(axis, 0)[24:].any()


def test_rotations_turn_about_the_centre():
    """The centre is half a pixel beyond that of the image, as released."""
    column = torch.zeros(3, 32, 32, dtype=torch.uint8)
    column[:, :, 16] = column[:, :, 17] = 200
    turned = psn_policy._moved(column, "Rotate", 90.0)
    assert torch.equal(turned[:, :, 2:], column.transpose(1, 2)[:, :, 2:])  # the first two columns come from outside
    assert torch.equal(psn_policy._moved(IMAGE, "Rotate", 0.0), IMAGE)


def test_a_shear_moves_rows_by_their_distance_from_the_centre():
    column = torch.zeros(1, 32, 32, dtype=torch.uint8)
    column[:, :, 16] = 100
    brightest = psn_policy._moved(column, "ShearY", 0.25)[0].float().argmax(dim=1)
    assert brightest.tolist() == pytest.approx((16 - 0.25 * (np.arange(32) - 16.5)).tolist(), abs=0.6)


@pytest.mark.parametrize(
    ("corner", "rows", "columns"),
    [
        ((4, 6), (4, 20), (4, 22)),
        ((-3, -5), (0, 13), (0, 11)),
        ((15, 2), (15, 31), (15, 18)),
        ((0, 15), (0, 16), (0, 31)),
    ],
)
def test_cutout_begins_at_the_row_s_number_in_both_directions(monkeypatch, corner, rows, columns):
    draws = iter(corner)
    monkeypatch.setattr(psn_policy.torch, "randint", lambda *_: next(draws))
    cut = psn_policy._cutout(IMAGE)
    grey = torch.zeros(32, 32, dtype=torch.bool)
    grey[slice(*rows), slice(*columns)] = True
    assert (cut[:, grey] == int(IMAGE.float().mean())).all()
    assert torch.equal(cut[:, ~grey], IMAGE[:, ~grey])


def test_every_operation_of_every_sub_policy_can_be_applied():
    for first, _, m, second, _, n in psn_policy._SUB_POLICIES:
        image = psn_policy._apply(psn_policy._apply(IMAGE, first, m), second, n)
        assert image.shape == IMAGE.shape and image.dtype == torch.uint8


def test_the_image_itself_stays():
    before = IMAGE.clone()
    ReleasedPolicy()(IMAGE)
    assert torch.equal(IMAGE, before)
