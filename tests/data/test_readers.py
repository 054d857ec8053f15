"""Readers of the official formats: values, order, and errors that name the file."""

from __future__ import annotations

import hashlib
import logging
import pickle

import numpy as np
import pytest
import torch

from hybrid.data import official
from hybrid.data.cifar import Cifar10, Cifar100
from hybrid.data.digits import Digits
from hybrid.data.mnist import Mnist
from hybrid.data.stl10 import Stl10
from hybrid.errors import UserError


def test_digits_split_is_fixed_and_stratified():
    digits = Digits()
    (train, train_labels), (test, test_labels) = digits.load("train"), digits.load("test")
    assert train.shape == (1437, 1, 32, 32) and test.shape == (360, 1, 32, 32) and train.dtype == torch.uint8
    assert torch.bincount(train_labels).min() >= 139 and set(torch.bincount(test_labels).tolist()) <= {35, 36, 37}
    assert int(train.max()) == 255 and int(train.min()) == 0
    assert test_labels[:12].tolist() == [3, 7, 3, 9, 0, 8, 7, 0, 8, 0, 3, 3]  # another split would break comparisons


def test_digits_parts_are_disjoint_and_complete():
    from sklearn.datasets import load_digits

    digits = Digits(size=8)
    together = torch.cat([digits.load("train")[0], digits.load("test")[0]]).flatten(1).numpy()
    original = np.round(load_digits().images * 255 / 16).astype(np.uint8).reshape(1797, -1)
    assert sorted(map(bytes, together)) == sorted(map(bytes, original))


def test_cifar10_values_and_order(cifar10):
    source = Cifar10(root=str(cifar10), download=False)
    images, labels = source.load("train")
    assert images.shape == (100, 3, 32, 32) and labels.tolist() == list(range(10)) * 10
    assert images[:, 0, 0, 0].tolist() == labels.tolist()
    raw = pickle.loads((cifar10 / "cifar-10-batches-py" / "data_batch_2").read_bytes())["data"]
    assert images[20, 1, 2, 3] == raw[0, 1024 + 2 * 32 + 3]  # planes of rows: channel, then row, then column
    assert source.class_names[3] == "class3" and source.load("test")[0].shape[0] == 20


def test_cifar100_uses_fine_labels(cifar100):
    source = Cifar100(root=str(cifar100), download=False)
    assert source.num_classes == 100 and source.class_names[99] == "fine99"
    assert source.load("train")[1].tolist() == [n % 100 for n in range(300)]


def test_size_resizes_every_image(cifar10):
    images, _ = Cifar10(root=str(cifar10), download=False, size=16).load("test")
    assert images.shape == (20, 3, 16, 16) and images.dtype == torch.uint8


def test_mnist_raw_and_packed(mnist):
    source = Mnist(root=str(mnist), download=False)
    source.prepare()
    images, labels = source.load("train")
    assert images.shape == (40, 1, 28, 28) and images[17].unique().tolist() == [17]
    assert labels.tolist() == [n % 10 for n in range(40)]
    assert source.load("test")[0].shape == (20, 1, 28, 28)


def test_stl10_planes_are_stored_by_columns(stl10):
    images, labels = Stl10(root=str(stl10), download=False).load("train")
    assert images.shape == (20, 3, 96, 96) and labels[:3].tolist() == [0, 1, 2]
    assert images[0, 0, 0, 1] == 200 and images[0, 0, 1, 0] == 0


def test_stl10_folds(stl10):
    assert Stl10(root=str(stl10)).train_positions() is None
    assert Stl10(root=str(stl10), fold=3).train_positions().tolist() == [6, 7]


def _edit(path, change):
    content = pickle.loads(path.read_bytes())
    path.write_bytes(pickle.dumps(change(content), protocol=2))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: {**c, "labels": c["labels"][:-1]}, "19 labels for 20 images"),
        (lambda c: {**c, "labels": [10, *c["labels"][1:]]}, r"label 10 is outside 0\.\.9"),
        (lambda c: {**c, "labels": [-1, *c["labels"][1:]]}, "label -1 is outside"),
        (lambda c: {**c, "labels": ["a"] * 20}, "no list of whole numbers"),
        (lambda c: {**c, "data": c["data"][:0], "labels": []}, "no images"),
        (lambda c: {**c, "data": c["data"][:, :-1]}, "no uint8 array"),
        (lambda c: {**c, "data": c["data"].astype(np.int64)}, "no uint8 array"),
        (lambda c: {"labels": c["labels"]}, "no uint8 array"),
    ],
)
def test_wrong_cifar_content_names_the_file(cifar10, change, words):
    _edit(cifar10 / "cifar-10-batches-py" / "data_batch_4", change)
    with pytest.raises(UserError, match=rf"data_batch_4.*{words}"):
        Cifar10(root=str(cifar10), download=False).load("train")


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte.gz"])
def test_truncated_idx_names_the_file(mnist, name):
    path = mnist / "MNIST" / "raw" / name
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(UserError, match=name):
        Mnist(root=str(mnist), download=False).load("test" if "t10k" in name else "train")


def test_wrong_idx_labels_name_the_file(mnist):
    path = mnist / "MNIST" / "raw" / "train-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + bytes([11]))
    with pytest.raises(UserError, match=r"train-labels.*label 11"):
        Mnist(root=str(mnist), download=False).load("train")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("train_X.bin", b"x" * 27647, "27647 bytes"),
        ("train_X.bin", b"", "0 bytes"),
        ("train_y.bin", bytes([1] * 19), "19 labels for 20 images"),
        ("train_y.bin", bytes([11] * 20), "label 10"),
    ],
)
def test_wrong_stl10_files_are_named(stl10, name, content, words):
    (stl10 / "stl10_binary" / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"{name}: {words}"):
        Stl10(root=str(stl10), download=False).load("train")


@pytest.mark.parametrize("line", ["1 20", " ", "a b", "-1 2"])
def test_wrong_folds_name_the_file_and_line(stl10, line):
    (stl10 / "stl10_binary" / "fold_indices.txt").write_text("\n".join([line] * 10))
    with pytest.raises(UserError, match=r"fold_indices.txt, line 3"):
        Stl10(root=str(stl10), download=False, fold=2).train_positions()


@pytest.mark.parametrize("source", [Cifar10, Cifar100, Mnist, Stl10])
def test_missing_files_say_what_where_and_how(tmp_path, source):
    with pytest.raises(UserError, match=r"missing in .*data\.download=false.*https://.*data\.root") as caught:
        source(root=str(tmp_path), download=False).prepare()
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("source", [Cifar10, Mnist, Stl10])
def test_failed_download_is_one_line(tmp_path, source, monkeypatch):
    def no_network(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    with pytest.raises(UserError, match=r"the download failed \(no route to host\)") as caught:
        source(root=str(tmp_path), download=True).prepare()
    assert "\n" not in str(caught.value)


def test_download_is_called_for_missing_files_only(cifar10, monkeypatch):
    calls = []

    def fetch(self):
        calls.append(self.name)
        whole = (cifar10 / "cifar-10-batches-py" / "data_batch_2").read_bytes()
        (cifar10 / "cifar-10-batches-py" / "data_batch_1").write_bytes(whole)

    monkeypatch.setattr(Cifar10, "fetch", fetch)
    Cifar10(root=str(cifar10)).prepare()
    assert calls == []
    (cifar10 / "cifar-10-batches-py" / "data_batch_1").unlink()
    Cifar10(root=str(cifar10)).prepare()
    assert calls == ["cifar10"]


def test_unofficial_checksum_warns_once_and_is_used(cifar10, caplog):
    official._warn_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        Cifar10(root=str(cifar10), download=False).prepare()
        Cifar10(root=str(cifar10), download=False).prepare()
    assert len([r for r in caplog.records if "not the official one" in r.getMessage()]) == 1


def test_the_files_that_are_not_the_published_ones_are_told_with_their_checksums(cifar10, monkeypatch):
    source = Cifar10(root=str(cifar10), download=False)
    told = source.unofficial_files()
    assert set(told) == set(Cifar10.md5)
    file = cifar10 / "cifar-10-batches-py" / "data_batch_1"
    assert told["data_batch_1"] == hashlib.md5(file.read_bytes()).hexdigest()
    monkeypatch.setattr(Cifar10, "md5", told)
    assert source.unofficial_files() == {}
    file.write_bytes(file.read_bytes() + b"more")
    assert source.unofficial_files() == {"data_batch_1": hashlib.md5(file.read_bytes()).hexdigest()}
    assert Digits().unofficial_files() is None  # nobody publishes checksums of them
