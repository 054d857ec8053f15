"""Data sets that give their images by number: torchvision, Hugging Face, shards of WebDataset."""

from __future__ import annotations

import gzip
import io
import sys
import tarfile
import types

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset

from hybrid.configuration.from_config import data_from
from hybrid.errors import UserError

PIXELS = np.random.RandomState(0).randint(0, 256, (12, 20, 30, 3)).astype(np.uint8)
LABELS = [n % 3 for n in range(12)]
SIZES = {"size": [20, 30], "validation": 0, "num_workers": 0}


def images_of(split, data) -> torch.Tensor:
    [batch] = data.loader(split, batch_size=99, raw=True).epoch(0)
    return (batch.images[batch.indices.argsort()] * 255).round().to(torch.uint8)


EXPECTED = torch.from_numpy(PIXELS).permute(0, 3, 1, 2)


class Tensors(Dataset):
    """A user's own data set with the interface of torchvision's."""

    def __init__(self, *, train: bool = True, count: int = 12) -> None:
        self.numbers = range(count) if train else range(4)

    def __len__(self):
        return len(self.numbers)

    def __getitem__(self, number):
        return EXPECTED[number].float() / 255, LABELS[number]


def torchvision(**keys):
    return data_from({"_target_": "hybrid.data.torchvision_set.TorchvisionSet", **SIZES, **keys}, {}, seed=0)


def test_a_class_with_the_interface_of_torchvision(monkeypatch):
    monkeypatch.setitem(sys.modules, "my_sets", types.SimpleNamespace(Tensors=Tensors))
    data = torchvision(dataset="my_sets.Tensors", options={"count": 9})
    assert data.class_names == ("0", "1", "2") and {name: len(split) for name, split in data.splits.items()} == {
        "train": 9,
        "test": 4,
    }
    assert torch.equal(images_of("train", data), EXPECTED[:9]) and data.splits["test"].labels.tolist() == LABELS[:4]


def test_a_class_of_torchvision_without_a_test_part():
    options = {"size": 12, "image_size": [3, 24, 24], "num_classes": 3}
    data = torchvision(dataset="torchvision.datasets.FakeData", options=options, test=4, size=16, normalize="auto")
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 8, "test": 4}
    data.augmentation = type(data.augmentation)(random_resized_crop=(0.5, 1.0), flip=0.5)
    both = [list(data.loader("train", batch_size=3, train=True).epoch(2, start=start)) for start in (0, 1)]
    assert both[0][0].images.shape == (3, 3, 16, 16)
    assert all(torch.equal(a.images, b.images) for a, b in zip(both[0][1:], both[1], strict=True))


def test_published_files_of_torchvision(mnist):
    for packed in (mnist / "MNIST" / "raw").glob("*.gz"):
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
    data = torchvision(dataset="torchvision.datasets.MNIST", root=str(mnist), download=False, channels=1, size=28)
    assert data.class_names[0] == "0 - zero" and len(data.splits["test"]) == 20
    assert images_of("train", data)[7].unique().tolist() == [7]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"dataset": "torchvision.datasets.Fashion"}, "data.dataset=torchvision.datasets.Fashion cannot be imported"),
        ({"dataset": "torchvision.datasets.FakeData", "options": {"colour": 1}}, "colour=1.* failed: .*colour"),
        ({"dataset": "torchvision.datasets.MNIST", "root": "gone", "download": False}, "failed: Dataset not found"),
        (
            {"dataset": "torchvision.datasets.FakeData", "options": {"size": 4}},
            "torchvision has no test images of its own",
        ),
        ({"dataset": "torchvision.datasets.FakeData", "sizes": 3}, "unknown key in data: sizes. Did you mean size?"),
    ],
)
def test_mistakes_are_one_line(keys, words):
    with pytest.raises(UserError, match=words) as caught:
        _ = torchvision(**keys).splits
    assert "\n" not in str(caught.value)


def test_hugging_face(tmp_path):
    datasets = pytest.importorskip("datasets", reason="the extra huggingface is not installed")
    names = ["ash", "elm", "fir"]
    features = datasets.Features({"picture": datasets.Image(), "label": datasets.ClassLabel(names=names)})
    rows = {"picture": [Image.fromarray(pixels) for pixels in PIXELS], "label": LABELS}
    made = datasets.Dataset.from_dict(rows, features=features)
    datasets.DatasetDict({"train": made, "test": made.select(range(4))}).save_to_disk(str(tmp_path / "trees"))
    config = {"_target_": "hybrid.data.huggingface.HuggingFace", "dataset": str(tmp_path / "trees"), **SIZES}
    data = data_from({**config, "image": "picture"}, {}, seed=0)
    assert data.class_names == tuple(names) and len(data.splits["test"]) == 4 and "validation" not in data.splits
    assert torch.equal(images_of("train", data), EXPECTED)
    assert {
        len(split)
        for split in data_from(
            {**config, "image": "picture", "test": 6, "test_split": None}, {}, seed=0
        ).splits.values()
    } == {6}
    with pytest.raises(UserError, match=r"unknown column of .*trees: image\. Valid: label, picture"):
        _ = data_from(config, {}, seed=0).splits
    with pytest.raises(UserError, match="unknown split of .*trees: dev"):
        _ = data_from({**config, "image": "picture", "test_split": "dev"}, {}, seed=0).splits


def write_shard(path, numbers, *, label="cls") -> None:
    with tarfile.open(path, "w") as archive:
        for number in numbers:
            content = io.BytesIO()
            Image.fromarray(PIXELS[number]).save(content, format="png")
            text = f'{{"kind": {LABELS[number]}}}' if label == "json" else f"{LABELS[number]}\n"
            for ending, data in (("png", content.getvalue()), (label, text.encode())):
                member = tarfile.TarInfo(f"some/{number:04}.{ending}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))


def webdataset(root, **keys):
    return data_from({"_target_": "hybrid.data.webdataset.WebDataset", "root": str(root), **SIZES, **keys}, {}, seed=0)


def test_shards_of_webdataset(tmp_path):
    write_shard(tmp_path / "train-000.tar", range(5))
    write_shard(tmp_path / "train-001.tar", range(5, 12))
    write_shard(tmp_path / "test-000.tar", range(3), label="json")
    data = webdataset(tmp_path, test=3, class_names=["a", "b", "c"])
    assert len(data.splits["train"]) == 9 and data.splits["train"].labels.tolist() == [
        LABELS[n] for n in data.splits["train"].indices
    ]
    assert torch.equal(images_of("train", data), EXPECTED[data.splits["train"].indices])
    own = webdataset(tmp_path, test_shards="test*.tar", shards="test*.tar", label="json:kind")
    assert own.num_classes == 3 and torch.equal(images_of("test", own), EXPECTED[:3])
    for keys, words in (
        ({"shards": "no*.tar"}, "no shard no"),
        ({"shards": "test*.tar"}, "the sample some/0000 has no label .cls"),
        ({"shards": "test*.tar", "label": "json:sort"}, "no label, which is a whole number"),
    ):
        with pytest.raises(UserError, match=words):
            _ = webdataset(tmp_path, test=1, **keys).splits
