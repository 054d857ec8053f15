"""NumPy's numbers, truth values, words and arrays are taken wherever a setting is given from Python."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import hybrid
from hybrid.plain import plain


def test_numpys_values_become_pythons_and_others_stay():
    module = nn.Identity()
    given = {"a": np.int8(3), "b": [np.True_, np.str_("x")], "c": (np.array(0.5),), "d": np.arange(2), "e": module}
    made = plain(given)
    assert made == {"a": 3, "b": [True, "x"], "c": (0.5,), "d": [0, 1], "e": module}
    assert [type(made["a"]), *map(type, made["b"]), type(made["c"][0])] == [int, bool, str, float]


def test_a_model_takes_them():
    model = hybrid.build_model(
        np.str_("scat_mlp"), image_shape=np.array([1, 16, 16]), num_classes=np.array(3),
        frontend={"J": np.int64(2), "engine": np.str_("torch")},
        head={"hidden": np.array([5]), "dropout": np.float32(0.5)},
    )  # fmt: skip
    assert model(torch.zeros(2, 1, 16, 16)).shape == (2, 3) and type(model.num_classes) is int
    with pytest.raises(hybrid.UserError, match="model.head.dropout=2 is not valid"):
        hybrid.build_model("scat_mlp", image_shape=(1, 16, 16), num_classes=3, head={"dropout": np.int64(2)})
    with pytest.raises(hybrid.UserError, match="model.head.dropout: True is not a number"):
        hybrid.build_model("scat_mlp", image_shape=(1, 16, 16), num_classes=3, head={"dropout": np.True_})


def test_data_takes_them():
    data = hybrid.load_data("digits", subset=np.array(100), validation=np.int64(50), seed=np.int64(3))
    same = hybrid.load_data("digits", subset={"n": 100}, validation=50, seed=3)
    assert torch.equal(data.splits["train"].indices, same.splits["train"].indices)


def test_an_analysis_takes_them():
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 4), nn.ReLU(), nn.Linear(4, 3))
    images, labels = np.random.RandomState(0).rand(30, 1, 4, 4).astype(np.float32), np.arange(30) % 3
    analysis = hybrid.analyse(
        network, images, labels, max_images=np.array(20), batch_size=np.array(8), neighbours=np.int64(2),
        measures=np.array(["contraction"]), layers=np.array(["2"]), standardize=np.True_,
    )  # fmt: skip
    assert list(analysis.table.index) == ["2"]


def test_the_transform_takes_them():
    scattering = hybrid.Scattering2D(J=np.array(1), shape=np.array([8, 8]), pre_pad=np.True_, engine="torch")
    assert scattering.pre_pad is True
    learned = hybrid.LearnedScattering2D(J=np.int64(1), shape=(8, 8), L=np.int8(2), bounds=np.False_)
    assert learned.bounds is False
