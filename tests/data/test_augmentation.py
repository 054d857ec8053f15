"""Batched augmentation against slow, plain NumPy; mixing; policies; preprocessing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from published.composed import geometries

from hybrid.data.augmentation import Augmentation, BatchAugmenter
from hybrid.data.batch import Portion
from hybrid.data.finish_batch import BatchFinisher
from hybrid.data.mixing import draw_partners, mix
from hybrid.data.policies import apply_seeded, make_policy
from hybrid.data.preprocessing import LocalContrast, Normalize
from hybrid.errors import UserError

IMAGES = torch.from_numpy(np.random.RandomState(0).randint(0, 256, (64, 3, 12, 10)).astype(np.uint8))
NUMPY_MODE = {"symmetric": "symmetric", "reflect": "reflect", "zero": "constant"}


def augmenter(**keys) -> BatchAugmenter:
    return BatchAugmenter(Augmentation(**keys), fill=torch.tensor([10, 20, 30], dtype=torch.uint8))


def draws(seed: int = 0) -> torch.Tensor:
    return torch.rand(64, BatchAugmenter.DRAWS, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("mode", NUMPY_MODE)
@pytest.mark.parametrize("flip", [0.0, 0.5, 1.0])
def test_crop_and_flip_equal_padding_and_slicing(mode, flip):
    pad, table = 4, draws()
    result = augmenter(pad=pad, pad_mode=mode, flip=flip).crop_and_flip(IMAGES, table)
    for image, row, out in zip(IMAGES.numpy(), table.numpy(), result.numpy(), strict=True):
        padded = np.pad(image, ((0, 0), (pad, pad), (pad, pad)), mode=NUMPY_MODE[mode])
        y, x = int(row[0] * (2 * pad + 1)), int(row[1] * (2 * pad + 1))
        expected = padded[:, y : y + 12, x : x + 10]
        np.testing.assert_array_equal(out, expected[..., ::-1] if row[2] < flip else expected)


def test_every_offset_is_drawn_equally_often():
    images = torch.arange(9, dtype=torch.uint8).view(1, 1, 1, 9).expand(9000, 1, 9, 9)
    table = torch.rand(9000, 5, generator=torch.Generator().manual_seed(0))
    columns = augmenter(pad=4, pad_mode="zero").crop_and_flip(images, table)[:, 0, 4, 4]  # shows the offset + 4
    assert torch.bincount(columns.long()).min() > 850


@pytest.mark.parametrize("size", [1, 4, 5])
def test_cutout_is_a_square_of_the_fill_colour(size):
    images = torch.full((64, 3, 12, 10), 200, dtype=torch.uint8)
    table = draws()
    result = augmenter(cutout=size).cutout(images, table)
    for row, out in zip(table, result, strict=True):
        expected = images[0].clone()
        top, left = int(row[3] * 12) - size // 2, int(row[4] * 10) - size // 2
        rows, columns = slice(max(0, top), top + size), slice(max(0, left), left + size)
        expected[:, rows, columns] = torch.tensor([10, 20, 30], dtype=torch.uint8).view(3, 1, 1)
        torch.testing.assert_close(out, expected)


def test_nothing_set_changes_nothing():
    plain = augmenter()
    assert torch.equal(plain.cutout(plain.crop_and_flip(IMAGES, draws()), draws()), IMAGES)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"pad": -1}, "augmentation.pad=-1"),
        ({"flip": 1.5}, "augmentation.flip=1.5"),
        ({"mixup": -0.1}, "augmentation.mixup"),
        ({"magnitude": 5}, "augmentation.magnitude.*randaugment alone"),
        ({"policy": "trivialaugment", "operations": 2}, "augmentation.operations.*randaugment alone"),
        ({"policy": "randaugment", "magnitude": 31}, r"from 0 to 30"),
        ({"random_resized_crop": (0.5, 0.2)}, "random_resized_crop"),
        ({"random_resized_crop": (0.5, 1.0), "pad": 4}, "both crop"),
    ],
)
def test_senseless_settings_are_refused(keys, words):
    with pytest.raises(ValueError, match=words):
        Augmentation(**keys)


@pytest.mark.parametrize(("mode", "limit"), [("symmetric", 10), ("reflect", 9), ("zero", 10)])
def test_padding_limit(mode, limit):
    Augmentation(pad=limit, pad_mode=mode).check_size(12, 10)
    result = augmenter(pad=limit, pad_mode=mode).crop_and_flip(IMAGES, draws())  # the limit itself works
    assert result.shape == IMAGES.shape
    with pytest.raises(ValueError, match=f"at most {limit}"):
        Augmentation(pad=limit + 1, pad_mode=mode).check_size(12, 10)


def mixed(images=IMAGES, *, step=0, **keys):
    labels = torch.arange(len(images)) % 10
    place = {"seed": 0, "epoch": 0, "step": step}
    partners, random = draw_partners(len(images), **place)
    common = {"augmentation": Augmentation(**keys), "num_classes": 10}
    return labels, *mix(images, labels, torch.from_numpy(partners), random, **common)


def test_mixup_mixes_images_as_it_mixes_labels():
    constant = (torch.arange(64, dtype=torch.uint8) % 10 * 20).view(-1, 1, 1, 1).expand(64, 3, 12, 10)
    labels, images, targets = mixed(constant, mixup=0.8)
    assert images.dtype == torch.float32 and float(images.max()) <= 1
    torch.testing.assert_close(targets.sum(1), torch.ones(64))
    expected = (targets * torch.arange(10)).sum(1) * 20 / 255  # an image's value is its label's, so they mix alike
    torch.testing.assert_close(images[:, 0, 0, 0], expected)
    assert (targets.gather(1, labels[:, None]) > 0).all()


def test_cutmix_weight_is_the_area_kept():
    constant = (torch.arange(64, dtype=torch.uint8) % 10 * 20).view(-1, 1, 1, 1).expand(64, 3, 12, 10)
    for step in range(20):
        _, images, targets = mixed(constant, cutmix=1.0, step=step)
        assert images.dtype == torch.uint8
        expected = (targets * torch.arange(10)).sum(1) * 20
        torch.testing.assert_close(images.float().mean((1, 2, 3)), expected, atol=1e-3, rtol=0)


def test_mixing_changes_with_the_step_and_repeats():
    assert torch.equal(mixed(mixup=1.0, step=3)[1], mixed(mixup=1.0, step=3)[1])
    assert not torch.equal(mixed(mixup=1.0, step=3)[1], mixed(mixup=1.0, step=4)[1])


def test_both_mixings_take_turns():
    kinds = {mixed(mixup=1.0, cutmix=1.0, step=step)[1].dtype for step in range(20)}
    assert kinds == {torch.uint8, torch.float32}


@pytest.mark.parametrize(
    "name", ["autoaugment_cifar10", "autoaugment_imagenet", "autoaugment_svhn", "randaugment", "trivialaugment"]
)
def test_policies_depend_on_their_seed_alone(name):
    policy = make_policy(Augmentation(policy=name))
    images = torch.nn.functional.interpolate(IMAGES[:8], size=(16, 16))
    before = torch.get_rng_state()
    first = apply_seeded(policy, images, range(8))
    assert torch.equal(torch.get_rng_state(), before)
    again = apply_seeded(policy, images.flip(0), range(7, -1, -1))  # another order, the same seeds
    assert all(torch.equal(a, b) for a, b in zip(first, reversed(again), strict=True))
    other = apply_seeded(policy, images, range(8, 16))
    assert any(not torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert all(image.dtype == torch.uint8 and image.shape == (3, 16, 16) for image in first)


def test_normalize_uint8_and_float_agree():
    normalize = Normalize((0.5, 0.4, 0.3), (0.2, 0.25, 0.3))
    result = normalize(IMAGES)
    mean, std = torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1), torch.tensor([0.2, 0.25, 0.3]).view(3, 1, 1)
    torch.testing.assert_close(result, (IMAGES / 255 - mean) / std, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(normalize(IMAGES / 255), result, atol=1e-5, rtol=1e-5)
    assert result.dtype == torch.float32 and not normalize.state_dict()


def test_normalize_leaves_its_input_alone():
    images = IMAGES / 255
    copy = images.clone()
    Normalize((0.5,) * 3, (0.2,) * 3)(images)
    assert torch.equal(images, copy)


def test_local_contrast_equals_the_formula():
    """The definition pixel by pixel, in float64."""
    images = IMAGES[:2, :, :9, :8].double().numpy() / 255
    profile = np.array([0.2301, 0.5205, 0.8494, 1, 0.8494, 0.5205, 0.2301])
    window = np.outer(profile, profile) / (np.outer(profile, profile).sum() * 3)

    def blur(values):  # (3, H, W) -> (H, W), zeros outside
        padded = np.pad(values, ((0, 0), (3, 3), (3, 3)))
        height, width = values.shape[1:]
        return np.array(
            [[(padded[:, y : y + 7, x : x + 7] * window).sum() for x in range(width)] for y in range(height)]
        )

    result = LocalContrast(3)(torch.from_numpy(images).float()).numpy()
    for image, out in zip(images, result, strict=True):
        border = blur(np.ones_like(image))
        centred = image - blur(image) / border
        expected = centred / np.maximum(np.sqrt(blur(centred**2)) / border, 1e-4)
        np.testing.assert_allclose(out, expected, atol=2e-3)


def test_local_contrast_of_a_constant_image_is_zero():
    result = LocalContrast(3)(torch.full((1, 3, 16, 16), 100, dtype=torch.uint8))
    assert result.abs().max() < 1e-2  # rounding over the threshold of 1e-4


def test_dsc_pads_two_pixels_of_zeros_after_the_normalisation():
    fill = torch.zeros(3, dtype=torch.uint8)
    released = Augmentation(pad=2, pad_mode="after_normalize", flip=0.5)
    assert geometries(BatchAugmenter(released, fill=fill)) == 50
    assert geometries(BatchAugmenter(Augmentation(pad=4, flip=0.5), fill=fill)) == 162
    module = Normalize((0.5, 0.4, 0.3), (0.2, 0.25, 0.3))
    finisher = BatchFinisher(released, module, fill, 10, torch.device("cpu"), seed=0)
    draws = torch.zeros(1, 5)  # two pixels up and to the left, mirrored
    images, labels = torch.full((1, 3, 8, 8), 200, dtype=torch.uint8), torch.zeros(1, dtype=torch.long)
    portion = Portion(0, torch.zeros(1, dtype=torch.long), 1, None, 1)
    made = finisher.finish(images, labels, labels, portion=portion, epoch=0, draws=draws).images
    assert (made[:, :, :2] == 0).all() and (made[:, :, :, -2:] == 0).all()
    torch.testing.assert_close(made[:, :, 2:, :-2], module(images)[:, :, 2:, :-2])
    with pytest.raises(UserError, match=r"augmentation\.cutout changes pixels before data\.normalize"):
        Augmentation(pad=2, pad_mode="after_normalize", cutout=4)
