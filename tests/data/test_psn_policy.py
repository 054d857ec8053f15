from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform

from hybrid.data import psn_policy
from hybrid.data.augmentation import Augmentation
from hybrid.data.policies import apply_seeded
from hybrid.data.psn_policy import _SQUARE, _SUB_POLICIES, ReleasedPolicy, _Change, value_of
from hybrid.errors import UserError

IMAGE = torch.randint(1, 256, (3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def test_a_magnitude_names_a_tenth_of_the_way_from_the_lowest_to_the_highest_value():
    assert value_of("Contrast", 6, 0) == pytest.approx(1.18)
    assert value_of("Contrast", 6, 1) == pytest.approx(1.36)
    assert value_of("Rotate", 2, 0) == pytest.approx(-18)
    assert 32 * value_of("TranslateX", 9, 1) == pytest.approx(32 * 150 / 331)


def moved(image, operation, value):
    return psn_policy._moved(image[None], [_Change(operation, value)])[0]


@pytest.mark.parametrize(("operation", "axis"), [("TranslateX", 2), ("TranslateY", 1)])
def test_translations_move_the_image_towards_its_first_pixel(operation, axis):
    found = moved(IMAGE, operation, 0.25)
    kept = IMAGE.movedim(axis, 0)[8:]
    assert torch.equal(found.movedim(axis, 0)[:24], kept)
    assert not found.movedim(axis, 0)[24:].any()


def test_rotations_turn_about_the_centre():
    """The centre is half a pixel beyond that of the image, as released."""
    column = torch.zeros(3, 32, 32, dtype=torch.uint8)
    column[:, :, 16] = column[:, :, 17] = 200
    turned = moved(column, "Rotate", 90.0)
    assert torch.equal(turned[:, :, 2:], column.transpose(1, 2)[:, :, 2:])  # the first two columns come from outside
    assert torch.equal(moved(IMAGE, "Rotate", 0.0), IMAGE)


def test_a_shear_moves_rows_by_their_distance_from_the_centre():
    column = torch.zeros(1, 32, 32, dtype=torch.uint8)
    column[:, :, 16] = 100
    brightest = moved(column, "ShearY", 0.25)[0].float().argmax(dim=1)
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
def test_cutout_begins_at_the_row_s_number_in_both_directions(corner, rows, columns):
    cut = psn_policy._cutout(torch.stack([255 - IMAGE, IMAGE]), [(0, 0), corner])[1]
    grey = torch.zeros(32, 32, dtype=torch.bool)
    grey[slice(*rows), slice(*columns)] = True
    assert (cut[:, grey] == int(IMAGE.float().mean())).all()
    assert torch.equal(cut[:, ~grey], IMAGE[:, ~grey])


def one_by_one(images, seeds):
    """The policy as it was first written: image by image, with torchvision's functions and torch's generator."""
    results = []
    for image, seed in zip(images, seeds, strict=True):
        torch.default_generator.manual_seed(seed)
        first, p, m, second, q, n = _SUB_POLICIES[int(torch.randint(len(_SUB_POLICIES), ()))]
        for operation, probability, magnitude in ((first, p, m), (second, q, n)):
            if float(torch.rand(())) < probability:
                image = by_torchvision(image, operation, magnitude)
        results.append(cut(image))
    return torch.stack(results)


def by_torchvision(image, operation, magnitude):
    from torchvision.transforms.v2 import functional

    plain = {"AutoContrast": functional.autocontrast, "Equalize": functional.equalize, "Invert": functional.invert}
    if operation in plain:
        return plain[operation](image)
    value = value_of(operation, magnitude, float(torch.rand(())))
    if operation in psn_policy._MOVES:
        matrix, offset = psn_policy._movement(_Change(operation, value), *image.shape[1:])
        return torch.stack([torch.from_numpy(affine_transform(channel, matrix, offset)) for channel in image.numpy()])
    changes = {
        "Posterize": lambda: functional.posterize(image, round(value)),
        "Solarize": lambda: functional.solarize(image, value),
        "Contrast": lambda: functional.adjust_contrast(image, value),
        "Color": lambda: functional.adjust_saturation(image, value),
        "Brightness": lambda: functional.adjust_brightness(image, value),
        "Sharpness": lambda: functional.adjust_sharpness(image, value),
    }
    return changes[operation]()


def cut(image):
    top, left = (int(torch.randint(-_SQUARE // 2, side - _SQUARE, ())) for side in image.shape[1:])
    bottom, right = top + _SQUARE, left + _SQUARE
    top = max(top, 0)
    left = 0 if left < 0 else top
    image = image.clone()
    image[:, top:bottom, left:right] = int(image.float().mean())
    return image


@pytest.mark.parametrize(
    ("channels", "height", "width", "count"), [(3, 32, 32, 500), (1, 28, 28, 200), (3, 270, 260, 50)]
)
def test_a_batch_has_the_bits_of_its_images_one_by_one(channels, height, width, count):
    shape = (count, channels, height, width)
    images = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    images[: count // 2] //= 3  # dark ones, on which contrast and equalize do something else
    seeds = [(number * 2654435761 + 12345) ** 2 % 2**63 for number in range(count)]
    found = apply_seeded(ReleasedPolicy(), images, seeds)
    with torch.random.fork_rng(devices=[]):
        assert torch.equal(found, one_by_one(images, seeds))
    assert torch.equal(apply_seeded(ReleasedPolicy(), images[7:8], seeds[7:8]), found[7:8])


def test_the_images_themselves_and_the_global_generator_stay():
    before, state = IMAGE.clone(), torch.get_rng_state()
    apply_seeded(ReleasedPolicy(), IMAGE[None].expand(20, -1, -1, -1), range(20))
    assert torch.equal(IMAGE, before) and torch.equal(torch.get_rng_state(), state)


def test_an_image_that_is_too_small_is_one_line():
    with pytest.raises(UserError, match=r"augmentation\.policy=psn .* 8x8 images are too small"):
        Augmentation(policy="psn").check_size(8, 8)
