"""Folders of images as shards: the same images, classes and labels; interrupted, damaged and repeated packings."""

from __future__ import annotations

import io
import tarfile

import pytest
import torch
from PIL import Image

from hybrid.configuration.from_config import data_from
from hybrid.data import packing
from hybrid.data.folder import Folder
from hybrid.data.packing import Packing, pack
from hybrid.data.shards import INDEX, Shards
from hybrid.distributed.rank_slices import Shares
from hybrid.errors import UserError

SIZES = {"size": 24, "resize": 28, "num_workers": 0}


def from_shards(root, *, augmentation=None, **keys):
    config = {"_target_": "hybrid.data.webdataset.WebDataset", "root": str(root), "test_shards": "test-*.tar", **SIZES}
    return data_from({**config, "validation": 0, "normalize": "none", **keys}, augmentation or {}, seed=0)


def from_folder(root):
    config = {"_target_": "hybrid.data.folder.Folder", "root": str(root), **SIZES, "validation": 0}
    return data_from({**config, "normalize": "none"}, {}, seed=0)


@pytest.fixture
def shards(photos, tmp_path):
    """24 training and 8 test images, five in a shard."""
    pack(Folder(root=str(photos), **SIZES), tmp_path / "shards", Packing(images=5))
    return tmp_path / "shards"


def keys_of(shard) -> list[int]:
    with tarfile.open(shard) as archive:
        return [int(name[:8]) for name in archive.getnames() if not name.endswith(".cls")]


def test_the_same_images_classes_and_labels(photos, shards):
    before, after = from_folder(photos), from_shards(shards)
    assert after.class_names == before.class_names == ("cat", "dog")
    order = {"train": [], "test": []}
    for part, keys in order.items():
        for shard in sorted(shards.glob(f"{part}-*.tar")):
            keys += keys_of(shard)
    assert sorted(order["train"]) == list(range(24)) != order["train"] and order["test"] == list(range(8))
    for part, keys in order.items():
        old, new = before.splits[part], after.splits[part]
        assert new.labels.tolist() == old.labels[keys].tolist()
        for number, key in enumerate(keys):
            assert torch.equal(after.source.item(new.paths[number]), before.source.item(old.paths[key]))
    classes = [set(Shards.walked([shard]).labels) for shard in shards.glob("train-*.tar")]
    assert sum(len(found) == 2 for found in classes) >= 4


def test_evaluation_sees_every_image_once_on_any_number_of_ranks(shards):
    data = from_shards(shards, shuffle="shards")
    for ranks in (1, 3):
        loaders = [data.loader("test", batch_size=3, shares=Shares(rank, ranks)) for rank in range(ranks)]
        seen = torch.cat([batch.indices for loader in loaders for batch in loader.epoch(0)])
        assert sorted(seen.tolist()) == list(range(8))


def test_an_interrupted_packing_goes_on_and_gives_the_same(photos, shards, monkeypatch):
    whole = {path.name: path.read_bytes() for path in shards.iterdir()}
    for name in ("train-00002.tar", INDEX):
        (shards / name).unlink()
    written = []
    original = packing._write
    monkeypatch.setattr(packing, "_write", lambda *args: written.append(1) or original(*args))
    pack(Folder(root=str(photos), **SIZES), shards, Packing(images=5))
    assert written == [1] and {path.name: path.read_bytes() for path in shards.iterdir()} == whole


def test_larger_images_are_reduced_and_others_are_copied(photos, tmp_path):
    pack(Folder(root=str(photos), **SIZES), tmp_path / "small", Packing(resize=42, images=100))
    with tarfile.open(tmp_path / "small" / "test-00000.tar") as archive:
        files = {name: archive.extractfile(name).read() for name in archive.getnames() if not name.endswith(".cls")}
    sizes = [Image.open(io.BytesIO(content)).size for content in files.values()]
    names = sorted(photos.glob("val/*/*"))
    for path, size, content in zip(names, sizes, files.values(), strict=True):
        with Image.open(path) as image:
            short = min(image.size)
            assert min(size) == min(short, 42) and (content == path.read_bytes()) == (short <= 42)


def test_mistakes_are_one_line(photos, shards, tmp_path):
    source = Folder(root=str(photos), **SIZES)
    with pytest.raises(UserError, match="holds another packing .quality differs"):
        pack(source, shards, Packing(images=5, quality=50))
    with pytest.raises(UserError, match="is not empty, and no packing"):
        pack(source, photos, Packing())
    damaged = next(photos.glob("val/cat/*"))
    damaged.write_bytes(damaged.read_bytes()[:300])
    with pytest.raises(UserError, match=f"{damaged.name}: not a readable image"):
        pack(source, tmp_path / "new", Packing(images=5))
    assert not [path.name for path in (tmp_path / "new").iterdir() if path.name.startswith(("test", "."))]


def test_the_index_is_used_while_it_holds(shards, caplog, monkeypatch):
    paths = sorted(shards.glob("t*.tar"), reverse=True)[1:]  # in another order than it was written, and not all
    walked, indexed = Shards.walked(paths), Shards.indexed(paths)
    for name in ("shard", "offsets", "sizes", "labels"):
        assert getattr(indexed, name).tolist() == getattr(walked, name).tolist()
    assert indexed.paths == walked.paths and not caplog.messages
    with paths[0].open("ab") as file:
        file.write(b"\0" * 512)
    assert Shards.indexed(paths) is None and "others than when it was written" in caplog.text
    (shards / INDEX).write_bytes(b"PK")
    assert Shards.indexed(paths) is None and "cannot be read" in caplog.text
    (shards / INDEX).unlink()
    assert Shards.indexed(paths) is None and from_shards(shards).class_names == ("0", "1")


def test_shards_are_shuffled_a_few_at_a_time(shards, monkeypatch):
    monkeypatch.setattr("hybrid.data.file_loader._TOGETHER", 2)
    data = from_shards(shards, shuffle="shards", augmentation={"random_resized_crop": [0.3, 1.0], "flip": 0.5})
    loader = data.loader("train", batch_size=5, train=True)
    of = Shards.indexed(sorted(shards.glob("train-*.tar"))).shard
    orders = [loader.order(epoch).tolist() for epoch in range(4)]
    assert all(sorted(order) == list(range(24)) for order in orders) and len(set(map(tuple, orders))) == 4
    for order in orders:
        groups, seen = [], set()
        for shard in of[data.splits["train"].indices[order]].tolist():
            if not groups or shard not in groups[-1]:
                if not groups or len(groups[-1]) == 2:
                    groups.append(set())
                assert shard not in seen
                groups[-1].add(shard)
                seen.add(shard)
    batches, rest = list(loader.epoch(2)), list(loader.epoch(2, start=3))
    assert all(torch.equal(a.images, b.images) for a, b in zip(batches[3:], rest, strict=True))
    assert not torch.equal(loader.order(0), from_shards(shards).loader("train", batch_size=5, train=True).order(0))
