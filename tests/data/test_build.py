"""From configurations to a Data: every shipped option, and refusals that name the key."""

from __future__ import annotations

import logging
import subprocess
import sys

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from hybrid.configuration.composition import compose
from hybrid.configuration.from_config import data_from
from hybrid.data import Augmentation, Files, FileSource, Holdout, MemorySource, build
from hybrid.data.digits import Digits
from hybrid.data.scale import PixelStatistics
from hybrid.errors import UserError

DATA = ["digits", "mnist", "cifar10", "cifar100", "stl10", "imagenet", "folder"]
FROM_FILES = ["npz", "h5", "torchvision", "huggingface", "webdataset"]  # their classes or shapes are in the files
SHAPES = {"digits": (1, 32, 32), "mnist": (1, 28, 28), "stl10": (3, 96, 96), "imagenet": (3, 224, 224)}
DIGITS = {"_target_": "hybrid.data.digits.Digits"}


@pytest.mark.parametrize("name", DATA)
def test_every_data_config_builds_without_reading(name, tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRID_DATA", str(tmp_path))  # empty: reading would fail
    cfg = compose([f"data={name}", *(["data.root=x"] if name == "folder" else [])])
    data = data_from(cfg.data, cfg.augmentation, seed=cfg.seed)
    assert data.image_shape == SHAPES.get(name, (3, 224, 224) if name == "folder" else (3, 32, 32))
    assert cfg.augmentation != compose(["data=digits", "augmentation=none"]).augmentation  # each set brings its own


@pytest.mark.parametrize("name", [*DATA, *FROM_FILES])
def test_every_data_set_has_the_settings_that_all_share(name):
    section = compose([f"data={name}", *(["data.root=x"] if "root" in compose([f"data={name}"]).data else [])]).data
    shared = {"normalize", "validation", "test", "folds", "fold", "per_class", "pool", "split_seed", "subset"}
    assert shared <= set(section) and set(section.subset) == {"n", "protocol", "seed", "validate_from"}


@pytest.mark.parametrize(
    "name", ["none", "crop", "crop_flip", "autoaugment_cutout", "randaugment", "trivialaugment", "mixup", "cutmix"]
)
def test_every_augmentation_config_runs(name):
    cfg = compose([f"augmentation={name}", "data.size=16"])
    batch = next(iter(data_from(cfg.data, cfg.augmentation, seed=0).loader("train", batch_size=4, train=True).epoch(0)))
    assert torch.isfinite(batch.images).all()


def test_the_command_line_wins_over_the_data_sets_augmentation():
    cfg = compose(["data=cifar10", "augmentation=none"])
    assert cfg.augmentation.pad == 0
    assert compose(["data=cifar10", "augmentation.flip=0.25"]).augmentation.flip == 0.25


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["data.size=4"], "data.size=4 is not valid"),
        (["data.normalize=mean"], "data.normalize"),
        (["data.normalize.std=[0.0]"], r"data\.normalize\.std=\[0\] is not valid"),
        (["data.normalize.mean=[0.5,0.5,0.5]", "data.normalize.std=[1,1,1]"], "3 values; the images have 1 channel"),
        (["data.validation=-1"], "data.validation=-1"),
        (["data.validation=1.5"], "data.validation=1.5"),
        (["data.validation=yes"], "data.validation"),
        (["data.split_seed=-1"], "data.split_seed=-1"),
        (["data.subset.n=0"], "data.subset.n=0"),
        (["data.subset.protocol=random"], "data.subset.protocol"),
        (["augmentation.pad=33"], "augmentation.pad=33.*at most"),
        (["augmentation.pad_mode=edge"], "augmentation.pad_mode.*symmetric or reflect or zero"),
        (["augmentation.policy=fast"], "augmentation.policy"),
        (["augmentation=random_resized_crop"], "works on image files"),
        (["data=stl10", "data.fold=10"], "data.fold"),
        (["data=imagenet", "data.resize=200"], "data.resize=200.*data.size=224"),
        (
            ["data=folder"],
            r"data\.root is missing: give data\.root=PATH, the folder of the images; it holds train/ and val/ ",
        ),
        (["data=folder", "data.root=x", "data.num_workers=-1"], "data.num_workers=-1"),
    ],
)
def test_senseless_values_name_their_key(overrides, words):
    cfg = compose(overrides)
    with pytest.raises(UserError, match=words) as caught:
        data_from(cfg.data, cfg.augmentation, seed=0)
    assert "\n" not in str(caught.value)


def test_misspelt_key_lists_shared_and_own_keys():
    with pytest.raises(UserError, match=r"Did you mean validation\?.*size.*subset"):
        data_from({**DIGITS, "validaton": 0.1}, {}, seed=0)
    with pytest.raises(UserError, match="key in augmentation: flipp"):
        data_from(DIGITS, {"flipp": 0.5}, seed=0)


def test_wrong_class_path():
    with pytest.raises(UserError, match="data: a Fraction is no hybrid.data.MemorySource"):
        data_from({"_target_": "fractions.Fraction"}, {}, seed=0)
    with pytest.raises(UserError, match="cannot be imported"):
        data_from({"_target_": "no.such.Class"}, {}, seed=0)


def test_settings_without_effect_warn(caplog):
    with caplog.at_level(logging.WARNING):
        data_from({**DIGITS, "subset": {"seed": 3}}, {"pad_mode": "zero"}, seed=0)
    assert {"data.subset.protocol", "augmentation.pad_mode=zero"} <= {
        r.getMessage().split(" ")[0] for r in caplog.records
    }


def test_subset_and_validation_on_digits():
    data = data_from({**DIGITS, "subset": {"n": 100}, "validation": 200}, {}, seed=0)
    train, validation = data.splits["train"], data.splits["validation"]
    assert len(train) == 100 and torch.bincount(train.labels).tolist() == [10] * 10
    assert len(validation) == 200 and not set(train.indices.tolist()) & set(validation.indices.tolist())


def test_seeds_move_what_they_should():
    def indices(seed, **keys):
        splits = data_from({**DIGITS, "validation": 100, **keys}, {}, seed=seed).splits
        return [splits[name].indices.tolist() for name in ("train", "validation", "test")]

    assert indices(0) == indices(1)  # the run's seed moves no split
    assert indices(0)[1] != indices(0, split_seed=1)[1]
    assert indices(0, subset={"n": 50})[0] != indices(1, subset={"n": 50})[0]


def test_stl10_fold_trains_on_the_fold_and_validates_on_the_others(stl10):
    config = {"_target_": "hybrid.data.stl10.Stl10", "root": str(stl10), "download": False, "fold": 4, "validation": 10}
    splits = data_from(config, {}, seed=0).splits
    assert splits["train"].indices.tolist() == [8, 9]
    assert len(splits["validation"]) == 10 and not {8, 9} & set(splits["validation"].indices.tolist())


class Stripes(MemorySource):
    """A user's own data set in memory."""

    name, channels = "stripes", 1
    class_names = ("across", "down")

    def __init__(self, *, count: int = 20, size: int = 8) -> None:
        self.count, self.size = count, size

    def read(self, part):
        labels = torch.arange(self.count) % 2
        images = torch.zeros(self.count, 1, 8, 8, dtype=torch.uint8)
        images[labels == 0, :, ::2] = 255
        images[labels == 1, :, :, ::2] = 255
        return images, labels


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda images: images[:, 0], "images must be of shape (N, 1, h, w), got (20, 8, 8)."),
        (lambda images: images.float(), "float images have values in [0, 1], but these reach from 0 to 255: "),
        (lambda images: images.long(), "int64 values have no usual range: "),
    ],
    ids=["shape", "float", "int64"],
)
def test_images_of_another_shape_or_range_are_one_line(monkeypatch, change, words):
    def read(self, part, read=Stripes.read):
        images, labels = read(self, part)
        return change(images), labels

    monkeypatch.setattr(Stripes, "read", read)
    with pytest.raises(UserError) as error:
        Stripes().load("train")
    assert str(error.value).startswith(f"stripes, train part: {words}")


@pytest.mark.parametrize(
    ("change", "value_range"),
    [
        (lambda images: images / 255, None),
        (lambda images: images.int().mul(257).to(torch.uint16), None),
        (lambda images: images > 0, None),
        (lambda images: images.long() * 16 + 5, (5, 4085)),
        (lambda images: images.numpy().astype("float64") - 1000, (-1000, -745)),
    ],
    ids=["float", "uint16", "bool", "int64 with a range", "float64 with a range"],
)
def test_images_of_every_depth_give_the_same_pixels(monkeypatch, change, value_range):
    expected, _ = Stripes().load("train")

    def read(self, part, read=Stripes.read):
        images, labels = read(self, part)
        return change(images), labels

    monkeypatch.setattr(Stripes, "read", read)
    monkeypatch.setattr(Stripes, "value_range", value_range)
    found, _ = Stripes().load("train")
    assert found.dtype == torch.uint8 and torch.equal(found, expected)


def test_arrays_of_other_proportions_are_cropped_with_a_line_or_squashed_where_that_is_asked_for(monkeypatch, caplog):
    def read(self, part):
        rows = torch.arange(40, dtype=torch.uint8).view(1, 1, 40, 1).expand(4, 1, 40, 20)  # every row has its number
        return rows.contiguous(), torch.tensor([0, 1, 0, 1])

    monkeypatch.setattr(Stripes, "read", read)
    images, _ = Stripes(size=20).load("train")
    assert images.shape == (4, 1, 20, 20) and images[0, 0, :, 0].tolist() == list(range(10, 30))
    assert "images of 40 x 20 (height x width) are scaled to cover 20 x 20" in caplog.text
    caplog.clear()
    assert Stripes(size=(40, 20)).load("train")[0].shape == (4, 1, 40, 20)
    monkeypatch.setattr(Stripes, "fit", "squash")
    images, _ = Stripes(size=20).load("train")
    assert images.shape == (4, 1, 20, 20) and int(images[0, 0, -1, 0]) >= 38 and not caplog.records


def test_a_published_set_takes_a_size_that_is_not_square(cifar10):
    config = {"_target_": "hybrid.data.cifar.Cifar10", "root": str(cifar10), "download": False, "size": [24, 40]}
    data = data_from(config, {"pad": 4, "flip": 0.5, "cutout": 9, "cutmix": 1.0}, seed=0)
    assert data.image_shape == (3, 24, 40)
    assert next(iter(data.loader("train", batch_size=5, train=True).epoch(0))).images.shape == (5, 3, 24, 40)


@pytest.mark.parametrize(
    "change",
    [
        lambda labels: labels.int(),
        lambda labels: labels.tolist(),
        lambda labels: labels.numpy().astype("uint8"),
        lambda labels: labels.numpy()[:, None],
        lambda labels: torch.eye(2)[labels],
        lambda labels: labels.float(),
        lambda labels: labels.bool(),
    ],
    ids=["int32", "list", "uint8 array", "column", "one-hot", "whole floats", "bool"],
)
def test_labels_in_every_form_are_the_classes(monkeypatch, change):
    def read(self, part, read=Stripes.read):
        images, labels = read(self, part)
        return images.numpy(), change(labels)

    monkeypatch.setattr(Stripes, "read", read)
    images, labels = Stripes().load("train")
    assert images.dtype == torch.uint8 and labels.dtype == torch.int64 and labels.tolist() == [0, 1] * 10


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, "read('train') returned None; it returns a pair (images, labels)."),
        (torch.zeros(3), "read('train') returned a Tensor; it returns a pair"),
        ((torch.zeros(2, 1, 8, 8), [0, 0.5]), "labels of classes are whole numbers"),
        ((torch.zeros(2, 1, 8, 8), ["a", "b"]), "labels are numbers of shape (N,) or (N, K), got <U1"),
        ((torch.zeros(2, 1, 8, 8), [[0], [0, 1]]), "labels are no table of numbers"),
        ((torch.zeros(2, 1, 8, 8), [[1, 1], [0, 1]]), "labels of classes are whole numbers"),
        (([], []), "images must be of shape (N, 1, h, w), got (0,)."),
        (([[[[0]]], [[[0, 1]]]], [0, 1]), "images are no array"),
    ],
    ids=["None", "no pair", "halves", "text", "ragged", "several", "empty lists", "images of several sizes"],
)
def test_what_read_may_not_return_is_one_line(monkeypatch, found, words):
    monkeypatch.setattr(Stripes, "read", lambda self, part: found)
    with pytest.raises(UserError) as error:
        Stripes().load("train")
    assert words in str(error.value) and "\n" not in str(error.value)


def test_a_data_set_of_ones_own_without_test_images_is_split(monkeypatch):
    monkeypatch.setattr(
        Stripes, "read", lambda self, part, read=Stripes.read: read(self, part) if part == "train" else None
    )
    splits = build(Stripes(), holdout=Holdout(folds=4, fold=1), validation=0).splits
    assert {name: len(split) for name, split in splits.items()} == {"train": 15, "test": 5}


class Listed(FileSource):
    """A user's own list of files."""

    name = "listed"
    class_names = ("cat", "dog")
    size, resize, interpolation, num_workers = 16, 16, "bilinear", 0

    def __init__(self, *, root: str) -> None:
        self.root = root

    def list(self, part):
        if part == "validation":
            return None
        folder = "train" if part == "train" else "val"
        return Files([f"{self.root}/{folder}/cat/0_0{n}.{'jpg' if n % 2 else 'jpeg'}" for n in range(4)], [0, 1, 0, 1])


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.full((3, 16, 16), 514, np.uint16), None),
        (torch.full((3, 16, 16), 2 / 255), None),
        (torch.full((3, 16, 16), 2.0), "float images have values in [0, 1], but these reach from 2 to 2"),
        (np.zeros((16, 16, 3), np.uint8), "open_image gave an image of shape (16, 16, 3), not (3, 16, 16)."),
    ],
    ids=["uint16", "float", "float without a range", "channels last"],
)
def test_what_a_users_open_image_gives_follows_the_same_rule(photos, monkeypatch, pixels, words):
    monkeypatch.setattr(Listed, "open_image", lambda self, path: pixels, raising=False)
    loader = build(Listed(root=str(photos))).loader("test", batch_size=4)
    if words is None:
        assert (next(iter(loader.epoch(0))).images * 255).round().unique().tolist() == [2]
        return
    with pytest.raises(UserError) as error:
        next(iter(loader.epoch(0)))
    assert str(error.value).startswith(str(photos)) and words in str(error.value)


def test_a_crop_that_does_not_read_as_the_class_does_is_told(photos, monkeypatch, caplog):
    crops = Augmentation(random_resized_crop=(0.5, 1.0))
    build(Listed(root=str(photos)), augmentation=crops)
    assert not caplog.records
    monkeypatch.setattr(Listed, "open_image", lambda self, path: torch.zeros(3, 16, 16), raising=False)
    build(Listed(root=str(photos)), augmentation=crops)
    assert "reads training images without Listed.open_image" in caplog.text


def test_a_users_own_class_path(photos, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "my_data", sys.modules[__name__])
    data = data_from({"_target_": "my_data.Stripes", "count": 30, "validation": 0.2}, {"flip": 0.5}, seed=0)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 24, "validation": 6, "test": 30}
    assert next(iter(data.loader("train", batch_size=5, train=True).epoch(0))).images.shape == (5, 1, 8, 8)
    listed = data_from({"_target_": "my_data.Listed", "root": str(photos)}, {}, seed=0)
    assert next(iter(listed.loader("test", batch_size=4).epoch(0))).labels.tolist() == [0, 1, 0, 1]


def test_a_users_wrong_labels_are_caught(monkeypatch):
    monkeypatch.setattr(Stripes, "class_names", ("across",))
    monkeypatch.setitem(sys.modules, "my_data", sys.modules[__name__])
    with pytest.raises(UserError, match="stripes, train part: label 1 is outside"):
        _ = data_from({"_target_": "my_data.Stripes"}, {}, seed=0).splits


def test_open_image_of_a_memory_set(photos):
    data = data_from(DIGITS, {}, seed=0)
    image = data.open_image(photos / "train" / "cat" / "0_01.jpg")
    assert image.shape == (1, 32, 32) and image.dtype == torch.uint8
    assert data.preprocessing(image[None]).dtype == torch.float32


def test_import_is_cheap(root):
    code = "import sys, hybrid.data; print([m for m in ('torchvision', 'sklearn', 'PIL', 'matplotlib') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("settings", [{"size": 10**22}, {"size": 7}, {"size": 0}])
def test_a_side_that_images_cannot_have_is_one_line(settings):
    with pytest.raises(UserError, match=r"data\.size=\d+ is not valid: images have a side of 8 to 16384 pixels"):
        Digits(**settings)


def test_imagenet_s_statistics_are_those_of_grey_images_where_these_are_grey():
    section = OmegaConf.to_container(compose(["data=folder", "data.root=/there", "data.channels=1"]).data, resolve=True)
    data = data_from(section, seed=0)
    assert data.scale == PixelStatistics((0.459,), (0.226,))
    assert compose(["data=folder", "data.root=/there"]).data.normalize.mean == [0.485, 0.456, 0.406]
    with pytest.raises(
        UserError, match="mean has 3 values; the images have 1 channel: give as many, or data.normalize=auto"
    ):
        data_from({**section, "normalize": {"mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2]}}, seed=0)
