"""The genuine archives, where $HYBRID_DATA has them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hybrid.configuration.composition import compose
from hybrid.configuration.from_config import data_from

NEEDED = {"cifar10": "cifar-10-batches-py", "mnist": "MNIST/raw", "stl10": "stl10_binary", "imagenette": "imagenette"}


def real(name: str, folder: Path, *overrides: str):
    if not (folder / NEEDED[name]).is_dir():
        pytest.skip(f"needs {NEEDED[name]} in $HYBRID_DATA")
    choice = ["data=folder", f"data.root={folder / 'imagenette'}"] if name == "imagenette" else [f"data={name}"]
    root = [] if name == "imagenette" else [f"data.root={folder}", "data.download=false"]
    cfg = compose([*choice, *root, *overrides])
    return data_from(cfg.data, cfg.augmentation, seed=0)


def test_cifar10(real_data):
    data = real("cifar10", real_data, "data.validation=0")
    train, test = data.splits["train"], data.splits["test"]
    assert torch.bincount(train.labels).tolist() == [5000] * 10 and torch.bincount(test.labels).tolist() == [1000] * 10
    assert train.labels[:10].tolist() == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3] and test.labels[:5].tolist() == [3, 8, 8, 0, 6]
    assert data.class_names[0] == "airplane" and data.class_names[9] == "truck"
    mean = train.images.float().mean((0, 2, 3)) / 255
    torch.testing.assert_close(mean, torch.tensor([0.4914, 0.4822, 0.4465]), atol=1e-3, rtol=0)


def test_cifar10_published_subset(real_data):
    train = real("cifar10", real_data, "data.subset.n=100").splits["train"]
    assert torch.bincount(train.labels).tolist() == [10] * 10


def test_mnist(real_data):
    data = real("mnist", real_data, "data.validation=0")
    train, test = data.splits["train"], data.splits["test"]
    assert len(train) == 60_000 and torch.bincount(train.labels).tolist()[:2] == [5923, 6742]
    assert train.labels[:5].tolist() == [5, 0, 4, 1, 9] and test.labels[:5].tolist() == [7, 2, 1, 0, 4]


def test_stl10(real_data):
    data = real("stl10", real_data)
    assert len(data.splits["train"]) == 4500 and len(data.splits["validation"]) == 500
    fold = real("stl10", real_data, "data.fold=0").splits["train"]
    assert len(fold) == 1000 and len(set(fold.indices.tolist())) == 1000


def test_image_folder(real_data):
    data = real("imagenette", real_data, "data.num_workers=0")
    assert data.num_classes == len(data.class_names) == 10
    batch = next(iter(data.loader("test", batch_size=4).epoch(0)))
    assert batch.images.shape == (4, 3, 224, 224) and torch.isfinite(batch.images).all()
