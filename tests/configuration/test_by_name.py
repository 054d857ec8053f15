"""hybrid.build_model and hybrid.load_data: names, changes as keyword arguments, mistakes in one line."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

import hybrid
from hybrid import UserError
from hybrid.configuration.composition import compose
from hybrid.configuration.from_config import data_from, model_from
from hybrid.models.dense import MLP
from hybrid.models.frontends import Identity

SHAPE = {"image_shape": (3, 32, 32), "num_classes": 10}


def sizes(model: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


def test_a_name_is_what_the_command_line_makes_of_it():
    changed = compose(["model=scat_wrn", "model.head.k=1", "model.head.norm.momentum=0.5"]).model
    model = hybrid.build_model("scat_wrn", head={"k": 1, "norm": {"momentum": 0.5}}, **SHAPE)
    assert sizes(model) == sizes(model_from(changed, **SHAPE))
    assert model.head.stem[1].momentum == 0.5 and model.head.stem[1].eps == 1e-5


def test_parts_by_name_by_module_and_by_class():
    body = nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))
    model = hybrid.build_model("scat_wrn", frontend="identity", normalization="none", head=body, **SHAPE)
    assert isinstance(model.frontend, Identity) and model.head is body
    model = hybrid.build_model("scat_linear", head=partial(MLP, hidden=(7,)), **SHAPE)
    assert model.head.layers[0].in_features == 243 * 64 and model.head.layers[0].out_features == 7
    own = {"_target_": "hybrid.models.dense.MLP", "hidden": [5]}
    assert hybrid.build_model("scat_wrn", head=own, **SHAPE).head.layers[0].out_features == 5


@pytest.mark.parametrize(
    ("name", "parts", "message"),
    [
        ("scat_wrm", {}, "unknown model: scat_wrm. Did you mean scat_wrn?"),
        ("scat_wrn", {"head": "lineer"}, "unknown model/head: lineer. Did you mean linear?"),
        ("scat_wrn", {"head": {"kk": 2}}, "unknown key in model.head: kk. Did you mean k?"),
        ("scat_wrn", {"head": {"norm": {"bias": 2}}}, "unknown key in model.head.norm: bias."),
        ("scat_wrn", {"head": {"bn_eps": 2}}, "model.head.bn_eps has another name now: write model.head.norm.eps=…."),
        ("scat_wrn", {"head": 3}, "head=3 is not valid: it is a name, a dict of settings, a module"),
        ("scat_wrn", {"head": nn.Linear(8, 10)}, "gives (2, 243, 8, 10) for N = 2, and a tensor (N, 10) is wanted"),
        ("scat_wrn", {"frontend": lambda: Identity((3, 32, 32))}, "is called with image_shape, and "),
        ("scat_wrn", {"frontend": Identity((3, 8, 8))}, "gives (2, 3, 32, 32) for N = 2, and a tensor (N, 3, 8, 8)"),
    ],
)
def test_mistakes_in_a_model_are_one_line(name, parts, message):
    with pytest.raises(UserError) as error:
        hybrid.build_model(name, **parts, **SHAPE)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_data_of_a_name_are_those_of_the_command_line():
    cfg = compose(["data=digits", "data.subset.n=50", "data.validation=30", "augmentation.pad=3"])
    theirs = data_from(cfg.data, cfg.augmentation, seed=4)
    ours = hybrid.load_data("digits", subset=50, validation=30, augmentation={"pad": 3}, seed=4)
    for split in ("train", "validation", "test"):
        assert torch.equal(ours.splits[split].indices, theirs.splits[split].indices)
    assert ours.augmentation == theirs.augmentation
    assert (ours.image_shape, ours.num_classes, len(ours.class_names)) == ((1, 32, 32), 10, 10)


def test_augmentation_by_name_and_a_subset_by_settings(cifar10):
    settings = {"root": cifar10, "validation": 0}
    data = hybrid.load_data("cifar10", **settings, augmentation="none", subset={"n": 40, "protocol": "stratified"})
    assert data.augmentation.pad == 0 and data.source.root == cifar10
    assert repr(data) == "Data('cifar10': 40 train, 20 test images of 3 x 32 x 32, 10 classes)"
    assert hybrid.load_data("cifar10", **settings).augmentation.pad == 4  # its own


def test_loaders_for_a_loop_of_ones_own():
    data = hybrid.load_data("digits", subset=100)
    passes = [[(images, labels) for images, labels in data.train] for _ in range(2)]
    (images, labels) = passes[0][0]
    assert images.shape == (100, 1, 32, 32) and images.dtype == torch.float32 and labels.dtype == torch.int64
    assert not torch.equal(labels, passes[1][0][1])  # another order each time
    assert sorted(labels.tolist()) == sorted(passes[1][0][1].tolist())
    again = next(iter(hybrid.load_data("digits", subset=100).train))
    assert torch.equal(images, again[0])  # of the seed alone
    assert [len(labels) for _, labels in data.test] == [128, 128, 104]
    first, second = ([labels for _, labels in data.test] for _ in range(2))
    assert torch.equal(torch.cat(first), torch.cat(second)) and torch.equal(
        torch.cat(first), data.splits["test"].labels
    )
    assert [len(labels) for _, labels in data.loader("train", batch_size=60, train=True)] == [60, 40]


def test_mixed_images_come_with_weights_of_the_classes():
    images, labels = next(iter(hybrid.load_data("digits", subset=50, augmentation="mixup").train))
    assert labels.shape == (50, 10) and torch.allclose(labels.sum(1), torch.ones(50))


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("cifar", {}, "unknown data: cifar. Did you mean cifar10?"),
        ("cifar10", {"rot": "x"}, "unknown key in data: rot. Did you mean root?"),
        ("digits", {"augmentation": "crops"}, "unknown augmentation: crops. Did you mean crop?"),
        ("digits", {"augmentation": {"flipp": 1}}, "unknown key in augmentation: flipp. Did you mean flip?"),
        ("digits", {"subset": "many"}, "data.subset.n: 'many' is not a whole number"),
        ("digits", {"subset": {"m": 3}}, "unknown key in data.subset: m."),
        ("digits", {"validation": 1.5}, "data.validation=1.5: a fraction is below 1"),
        ("folder", {}, "data.root is missing"),
        ("folder", {"root": "foto"}, "folder: no folder "),
        ("digits", {"subset": 5000}, "data.subset.n=5000 is more than the 1437 training images"),
        ("digits", {"folds": 5, "fold": 1}, "digits has 360 test images of its own."),
    ],
)
def test_mistakes_in_data_are_one_line(name, settings, message):
    with pytest.raises(UserError) as error:
        hybrid.load_data(name, **settings)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_split_that_is_not_there_is_named():
    with pytest.raises(UserError, match="unknown split of digits: validation. Valid: test, train"):
        _ = hybrid.load_data("digits", validation=0).validation
