"""Loaders of both kinds: order, repeatability, mid-epoch starts, independence of the global generators."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from hybrid.data.file_loader import dead_worker
from hybrid.data.folder import Folder
from hybrid.errors import UserError

AUGMENTATIONS = {
    "none": {},
    "crop_flip": {"pad": 4, "flip": 0.5},
    "everything": {"pad": 2, "flip": 0.5, "cutout": 6, "policy": "trivialaugment", "mixup": 0.5, "cutmix": 0.5},
}
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")),
]


@pytest.fixture(params=["memory", "files"])
def make(request):
    return request.getfixturevalue("make_cifar10" if request.param == "memory" else "make_folder")


def epoch(data, number: int = 0, *, start: int = 0, batch_size: int = 7, split: str = "train", **keys):
    keys = {"train": True, **keys}
    return list(data.loader(split, batch_size=batch_size, **keys).epoch(number, start=start))


def same(first, second) -> bool:
    return len(first) == len(second) and all(
        torch.equal(a, b) for one, two in zip(first, second, strict=True) for a, b in zip(one, two, strict=True)
    )


def by_index(batches) -> dict[int, torch.Tensor]:
    return {int(i): image for batch in batches for i, image in zip(batch.indices, batch.images, strict=True)}


@pytest.mark.parametrize("device", DEVICES)
def test_batch_types_and_shapes(make, device):
    data = make()
    batches = epoch(data, device=device)
    for batch in batches:
        assert batch.images.dtype == torch.float32 and batch.images.shape[1:] == data.image_shape
        assert batch.labels.dtype == batch.indices.dtype == torch.int64
        assert torch.equal(batch.targets, batch.labels)
        assert {tensor.device.type for tensor in batch} == {device}
    assert sum(len(batch.labels) for batch in batches) == len(data.splits["train"])


def test_every_sample_once_and_shuffled(make):
    data = make()
    indices = torch.cat([batch.indices for batch in epoch(data)])
    assert sorted(indices.tolist()) == sorted(data.splits["train"].indices.tolist())
    assert indices.tolist() != sorted(indices.tolist())
    assert torch.cat([batch.indices for batch in epoch(data, 1)]).tolist() != indices.tolist()


def test_evaluation_is_in_order_and_plain(make):
    plain, augmented = make(), make(augmentation=AUGMENTATIONS["everything"])
    first = epoch(plain, split="test", train=False)
    assert same(first, epoch(augmented, 5, split="test", train=False))
    assert torch.cat([batch.indices for batch in first]).tolist() == list(range(len(plain.splits["test"])))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_same_seed_same_epoch_other_seed_other_epoch(make, name):
    keys = AUGMENTATIONS[name]
    first = epoch(make(augmentation=keys), 2)
    assert same(first, epoch(make(augmentation=keys), 2))
    assert not same(first, epoch(make(augmentation=keys), 3))
    assert not same(first, epoch(make(augmentation=keys, seed=1), 2))


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("start", [1, 2, 100])
def test_start_gives_the_rest_of_the_epoch(make, name, start):
    data = make(augmentation=AUGMENTATIONS[name])
    assert same(epoch(data, 4)[start:], epoch(data, 4, start=start))


def test_start_does_not_decode_what_it_skips(make_folder, monkeypatch):
    opened = []
    original = Folder.open_image
    monkeypatch.setattr(Folder, "open_image", lambda self, path: opened.append(path) or original(self, path))
    epoch(make_folder(), start=3, batch_size=5)
    assert len(opened) == 24 - 3 * 5


@pytest.mark.parametrize(
    "keys",
    [{"pad": 4, "flip": 0.5, "cutout": 6}, {"policy": "randaugment"}, {"random_resized_crop": [0.2, 1.0]}],
    ids=["batched", "policy", "resized_crop"],
)
def test_augmentation_does_not_depend_on_the_batch(make, keys):
    if "random_resized_crop" in keys and make.__qualname__.startswith("make_cifar10"):
        pytest.skip("random-resized crop is for image files")
    data = make(augmentation=keys)
    small, large = by_index(epoch(data, batch_size=3)), by_index(epoch(data, batch_size=20))
    assert all(torch.equal(small[index], large[index]) for index in small)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_global_generators_are_neither_used_nor_moved(make, name):
    data = make(augmentation=AUGMENTATIONS[name])
    first = epoch(data)
    torch.manual_seed(123)
    random.seed(4)
    np.random.seed(5)
    before = torch.get_rng_state(), random.getstate(), str(np.random.get_state())
    assert same(first, epoch(make(augmentation=AUGMENTATIONS[name])))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1] and str(np.random.get_state()) == before[2]


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_workers_change_nothing(make_folder, name):
    keys = {**AUGMENTATIONS[name]}
    if name == "crop_flip":
        keys = {"random_resized_crop": [0.3, 1.0], "flip": 0.5}
    before = torch.get_rng_state()
    alone, helped = (epoch(make_folder(augmentation=keys, num_workers=n), 1, start=1) for n in (0, 2))
    assert same(alone, helped)
    assert torch.equal(torch.get_rng_state(), before)


def test_an_abandoned_epoch_leaves_nothing_behind(make_folder):
    loader = make_folder(num_workers=2).loader("train", batch_size=4, train=True)
    running = loader.epoch(0)
    next(running)
    assert same(list(loader.epoch(1)), list(loader.epoch(1)))
    running.close()


def test_lengths_and_drop_last(make_cifar10):
    data = make_cifar10(validation=10)
    assert len(data.loader("train", batch_size=20)) == 5
    last = data.loader("train", batch_size=20, drop_last=True, train=True)
    assert len(last) == 4 and last.samples == 90
    assert [len(batch.labels) for batch in last.epoch(0)] == [20] * 4
    assert len(data.loader("train", batch_size=200)) == 1


@pytest.mark.parametrize(("batch_size", "words"), [(91, "larger than the 90"), (0, "batch of 0")])
def test_impossible_batches_are_refused(make_cifar10, batch_size, words):
    with pytest.raises(UserError, match=words):
        make_cifar10(validation=10).loader("train", batch_size=batch_size, drop_last=True)


def test_unknown_split_names_the_others(make_cifar10):
    with pytest.raises(UserError, match="Valid: test, train"):
        make_cifar10().loader("validation", batch_size=1)


def test_unknown_device_is_a_users_error(make_cifar10):
    with pytest.raises(UserError, match="unknown device gpu"):
        make_cifar10().loader("train", batch_size=1, device="gpu")


def test_mixing_gives_class_weights_and_keeps_labels(make):
    data = make(augmentation={"mixup": 1.0})
    for batch in epoch(data):
        assert batch.targets.shape == (len(batch.labels), data.num_classes)
        torch.testing.assert_close(batch.targets.sum(1), torch.ones(len(batch.labels)))
        assert batch.labels.dtype == torch.int64


def test_contrast_normalisation_sees_the_cutout(make_cifar10):
    """Augmentation comes before preprocessing: the square of a constant colour is locally flat."""
    data = make_cifar10(normalize="contrast", augmentation={"cutout": 30})
    flat = epoch(data)[0].images.abs() < 1e-2
    assert flat.flatten(1).float().mean(1).min() > 0.1


def test_unreadable_file_names_it_without_a_traceback(make_folder, photos):
    victim = photos / "train" / "dog" / "1_03.jpg"
    victim.write_bytes(victim.read_bytes()[:200])
    for workers in (0, 2):
        with pytest.raises(UserError, match=r"1_03\.jpg: not a readable image") as caught:
            epoch(make_folder(num_workers=workers, validation=0))
        assert "\n" not in str(caught.value)


class Dying(Folder):
    def open_image(self, path):
        os._exit(3)


def test_dead_worker_is_explained(make_folder, monkeypatch):
    monkeypatch.setattr(Folder, "open_image", Dying.open_image)
    with pytest.raises(UserError, match=r"died.*data\.num_workers"):
        epoch(make_folder(num_workers=1))
    assert dead_worker() is None  # it has nothing to do with the next error


def test_digits_do_not_import_torchvision(root):
    """The default data set must not pay for torchvision."""
    code = (
        "import sys; from hybrid.configuration.from_config import data_from;"
        "d = data_from({'_target_': 'hybrid.data.digits.Digits'}, {'pad': 2}, seed=0);"
        "next(iter(d.loader('train', batch_size=8, train=True).epoch(0)));"
        "assert 'torchvision' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


def test_images_are_moved_to_a_device_once(make_cifar10):
    data = make_cifar10()
    first, second = data.loader("train", batch_size=4, train=True), data.loader("train", batch_size=8)
    assert first._data.images.data_ptr() == second._data.images.data_ptr()


def test_a_sample_of_a_split_is_balanced_always_the_same_and_as_its_images_are(make):
    data = make()
    whole = epoch(data, train=False)
    labels = torch.cat([batch.labels for batch in whole])
    images = {int(i): image for batch in whole for i, image in zip(batch.indices, batch.images, strict=True)}
    most = len(labels) // 2
    sample = epoch(data, train=False, most=most)
    assert same(sample, epoch(data, 3, train=False, most=most)) and sum(len(b.labels) for b in sample) == most
    for batch in sample:
        assert all(torch.equal(images[int(i)], image) for i, image in zip(batch.indices, batch.images, strict=True))
    counts = torch.bincount(torch.cat([b.labels for b in sample]), minlength=data.num_classes)
    assert (counts - torch.bincount(labels, minlength=data.num_classes) / 2).abs().max() <= 1
    assert same(whole, epoch(data, train=False, most=10**6))
    two = torch.cat([batch.labels for batch in epoch(data, train=False, classes=2)])
    assert torch.equal(two, labels[(labels == 0) | (labels == data.num_classes - 1)])


def test_raw_images_become_the_models_by_preprocessing(make):
    data = make()
    for raw, batch in zip(epoch(data, train=False, raw=True), epoch(data, train=False), strict=True):
        assert raw.images.min() >= 0 and raw.images.max() <= 1
        torch.testing.assert_close(data.preprocessing(raw.images), batch.images, rtol=1e-4, atol=1e-5)
