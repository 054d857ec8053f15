"""Arrays in .npz, .npy and HDF5 files."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from hybrid.configuration.from_config import data_from
from hybrid.data.array_files import open_array
from hybrid.data.facts import Facts
from hybrid.errors import UserError

RANDOM = np.random.RandomState(0)
PIXELS = RANDOM.randint(0, 256, (20, 9, 30, 40)).astype(np.uint8)  # 9 channels
LABELS = np.arange(20) % 4


@pytest.fixture
def npz(tmp_path):
    """npz(images=…, labels=…) writes arrays and gives the data set in them."""

    def write(*, compressed: bool = False, facts=None, keys=(), **arrays):
        path = tmp_path / "photos.npz"
        arrays = {"images": PIXELS, "labels": LABELS, **arrays}
        (np.savez_compressed if compressed else np.savez)(path, **arrays)
        config = {
            "_target_": "hybrid.data.arrays.Arrays",
            "root": str(path),
            "validation": 0,
            "test": 0.2,
            "num_workers": 0,
        }
        return data_from({**config, **dict(keys)}, {}, seed=0, facts=facts)

    return write


def images_of(data) -> torch.Tensor:
    batches = [data.loader(split, batch_size=7, raw=True).epoch(0) for split in data.splits]
    found = [batch for loader in batches for batch in loader]
    order = torch.cat([batch.indices for batch in found]).argsort()
    return (torch.cat([batch.images for batch in found])[order] * 255).round().to(torch.uint8)


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "compressed"])
@pytest.mark.parametrize("in_memory", [True, False], ids=["in memory", "from the file"])
def test_every_image_comes_as_it_was_written(npz, compressed, in_memory):
    data = npz(compressed=compressed, keys={"in_memory": in_memory})
    if compressed and not in_memory:
        with pytest.raises(UserError, match=r"in_memory=false has no effect: .*photos\.npz is compressed"):
            _ = data.splits
        return
    assert data.image_shape == (9, 30, 40) and data.class_names == ("0", "1", "2", "3")
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 16, "test": 4}
    assert torch.equal(images_of(data), torch.from_numpy(PIXELS))


def test_both_ways_of_reading_train_on_the_same_batches(npz):
    settings = {"size": 20, "normalize": "auto"}
    first, second = (npz(keys={**settings, "in_memory": whole}) for whole in (True, False))
    for data in (first, second):
        data.augmentation = type(data.augmentation)(pad=2, flip=0.5, cutout=4)
    both = [list(data.loader("train", batch_size=5, train=True).epoch(3)) for data in (first, second)]
    assert all(torch.equal(a.images, b.images) and torch.equal(a.labels, b.labels) for a, b in zip(*both, strict=True))
    assert both[0][0].images.shape == (5, 9, 20, 20)


@pytest.mark.parametrize(
    ("images", "channels", "shape"),
    [
        (PIXELS[:, 0], None, (1, 30, 40)),
        (PIXELS, None, (9, 30, 40)),
        (PIXELS.transpose(0, 2, 3, 1), None, (9, 30, 40)),
        (PIXELS.transpose(0, 2, 3, 1), "last", (9, 30, 40)),
        (PIXELS, "last", (40, 9, 30)),
        (PIXELS[..., :12], "first", (9, 30, 12)),
    ],
    ids=["grey", "first, seen", "last, seen", "last", "last, though it looks first", "first, not to be seen"],
)
def test_layouts(npz, caplog, images, channels, shape):
    with caplog.at_level(logging.WARNING):
        data = npz(images=np.ascontiguousarray(images), keys={"channels": channels})
        assert data.image_shape == shape
    guessed = images.ndim == 4 and channels is None
    assert [
        f"data.channels={'first' if images is PIXELS else 'last'}: 9" in r.getMessage() for r in caplog.records
    ] == [True] * guessed
    expected = (
        images[:, None] if images.ndim == 3 else images if shape[0] == images.shape[1] else images.transpose(0, 3, 1, 2)
    )
    assert torch.equal(images_of(data), torch.from_numpy(np.ascontiguousarray(expected)))


@pytest.mark.parametrize(
    ("values", "value_range"),
    [
        (PIXELS.astype(np.uint16) * 257, None),
        (PIXELS.astype(">u2") * 257, None),
        (PIXELS / 255, None),
        (PIXELS.astype(np.int32) - 100, [-100, 155]),
    ],
    ids=["uint16", "big-endian", "float64", "int32 with a range"],
)
def test_numbers_of_every_type_are_scaled_by_one_rule(npz, values, value_range):
    assert torch.equal(images_of(npz(images=values, keys={"value_range": value_range})), torch.from_numpy(PIXELS))


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (LABELS.astype(np.uint8), "0123"),
        (LABELS.astype(np.int32)[:, None], "0123"),
        (np.eye(4)[LABELS], "0123"),
        (np.array(["oak", "elm", "ash", "fir"])[LABELS], ("ash", "elm", "fir", "oak")),
    ],
    ids=["uint8", "a column of int32", "one-hot", "text"],
)
def test_classes_in_every_form(npz, labels, names):
    data = npz(labels=labels, keys={"test": 0.5})
    assert data.task == "classification" and data.class_names == tuple(names)
    train = data.splits["train"]
    expected = LABELS if labels.dtype.kind != "U" else np.array([3, 1, 0, 2])[LABELS]
    assert train.labels.dtype == torch.int64 and train.labels.tolist() == expected[train.indices].tolist()


def test_labels_of_other_tasks_stay_what_they_are(npz):
    several = (RANDOM.rand(20, 3) > 0.5).astype(np.int64)
    assert npz(labels=several).task == "multilabel" and npz(labels=several).num_classes == 3
    values = npz(labels=RANDOM.rand(20).astype(np.float64))
    assert values.task == "regression" and values.splits["train"].labels.shape == (16, 1)
    assert (
        npz(labels=LABELS.astype(np.float32), keys={"task": "classification"}).splits["test"].labels.dtype
        == torch.int64
    )


def test_values_and_labels_are_called_as_their_array_is(npz):
    values, several = np.linspace(0, 1, 20, dtype=np.float32), RANDOM.randint(0, 2, (20, 3))
    several[0] = 1
    assert npz(angle=values, keys={"labels": "angle"}).class_names == ("angle",)
    assert npz(pose=np.stack([values, values], 1), keys={"labels": "pose"}).class_names == ("pose0", "pose1")
    named = npz(emotions=several, keys={"labels": "emotions", "task": "multilabel"}).class_names
    assert named == ("emotions0", "emotions1", "emotions2")
    assert npz(labels=values).class_names == ("value0",)


@pytest.mark.parametrize("ending", [".npz", ".h5"])
def test_two_arrays_that_can_only_be_images_and_labels_are_named(tmp_path, ending):
    path = tmp_path / f"photos{ending}"
    if ending == ".h5":
        with pytest.importorskip("h5py").File(path, "w") as file:
            file["x"], file["y"] = PIXELS, LABELS
    else:
        np.savez(path, x=PIXELS, y=LABELS)
    with pytest.raises(UserError, match=r"Valid: x, y\. Set data\.images=x data\.labels=y\."):
        open_array(path, "images", setting="data.images")
    np.savez(tmp_path / "other.npz", x=PIXELS, y=LABELS[:3])
    with pytest.raises(UserError, match=r"Valid: x, y\.$"):
        open_array(tmp_path / "other.npz", "images", setting="data.images")


def test_test_and_validation_images_of_its_own(npz):
    keys = {"test": None, "validation": None}
    for part in ("test", "validation"):
        keys |= {f"{part}_images": f"{part}_x", f"{part}_labels": f"{part}_y"}
    data = npz(test_x=PIXELS[:5], test_y=LABELS[:5], validation_x=PIXELS[:3], validation_y=LABELS[:3], keys=keys)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 20, "validation": 3, "test": 5}


@pytest.mark.parametrize(
    ("arrays", "keys", "words"),
    [
        ({}, {"images": "x"}, r"unknown array of .*photos\.npz \(data\.images\): x\. Valid: images, labels"),
        ({}, {"test_images": "images"}, "data.test_images and data.test_labels belong together"),
        ({"images": PIXELS[..., :9]}, {}, "do not show which axis holds the channels: set data.channels=first"),
        ({"images": PIXELS[:, 0]}, {"channels": "last"}, "data.channels=last has no effect"),
        ({"images": PIXELS[0, 0]}, {}, r"images have the shape \(N, H, W\)"),
        ({"images": PIXELS.astype(np.int64)}, {}, "int64 values have no usual range"),
        ({"labels": LABELS[:7]}, {}, "7 labels for 20 images"),
        ({"labels": LABELS - 1}, {}, "label -1 is outside"),
        ({"labels": LABELS}, {"class_names": ["a", "b"]}, r"label 3 is outside 0\.\.1"),
        ({"labels": np.array([{}] * 20)}, {}, "objects of Python are not read"),
        ({"labels": np.zeros((20, 2, 2))}, {}, r"labels are numbers of shape"),
        ({}, {"root": "gone.npz"}, "no file or folder data.root=.*gone.npz"),
        ({}, {"root": __file__}, "is no array file. Valid: .npz"),
    ],
)
def test_mistakes_are_one_line(npz, arrays, keys, words):
    with pytest.raises(UserError, match=words) as caught:
        _ = npz(keys=keys, **arrays).splits
    assert "\n" not in str(caught.value)


def test_a_folder_of_files_and_what_stays_in_them(tmp_path):
    np.save(tmp_path / "x.npy", np.asfortranarray(PIXELS))
    np.savez(tmp_path / "y.npz", targets=LABELS, picture=np.asfortranarray(PIXELS))
    config = {
        "_target_": "hybrid.data.arrays.Arrays",
        "root": str(tmp_path),
        "images": "x.npy",
        "labels": "y.npz:targets",
    }
    data = data_from({**config, "test": 0.2, "validation": 0, "num_workers": 0}, {}, seed=0)
    assert torch.equal(images_of(data), torch.from_numpy(PIXELS))
    for name in ("x.npy", "y.npz:picture", "y.npz:targets"):
        array, stays = open_array(tmp_path, name, setting="data.images")
        assert stays and isinstance(array, np.memmap)
        assert np.array_equal(array, LABELS if name.endswith("targets") else PIXELS)
    with pytest.raises(UserError, match=r"data\.images=y\.npz names a file of several arrays: write y\.npz:ARRAY"):
        open_array(tmp_path, "y.npz", setting="data.images")


@pytest.mark.parametrize("num_workers", [0, 1])
def test_hdf5(tmp_path, num_workers):
    h5py = pytest.importorskip("h5py", reason="the extra h5 is not installed")
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["group/x"], file["y"] = PIXELS, LABELS
    config = {"_target_": "hybrid.data.arrays.Arrays", "root": str(tmp_path / "data.h5"), "labels": "y", "test": 0.2}
    config |= {"validation": 0, "in_memory": num_workers == 0, "num_workers": num_workers, "channels": "first"}
    assert torch.equal(images_of(data_from({**config, "images": "group/x"}, {}, seed=0)), torch.from_numpy(PIXELS))
    with pytest.raises(UserError, match=r"unknown array of .*data\.h5 \(data\.images\): x\. .*group/x, y"):
        data_from({**config, "images": "x"}, {}, seed=0)


def test_statistics_are_measured_once_and_kept(npz):
    data = npz(keys={"normalize": "auto", "subset": {"n": 8}})
    chosen = torch.from_numpy(PIXELS[data.splits["train"].indices.numpy()]).double() / 255
    assert data.measured.mean == pytest.approx(chosen.mean((0, 2, 3)).tolist())
    assert data.measured.std == pytest.approx(chosen.std((0, 2, 3), correction=0).tolist())
    facts = data.facts().as_dict()
    (data.source.root).unlink()
    config = {"_target_": "hybrid.data.arrays.Arrays", "root": str(data.source.root), "normalize": "auto"}
    kept = data_from(config, {}, seed=0, facts=facts)  # as for prediction where the data are not
    assert kept.image_shape == (9, 30, 40) and kept.measured == data.measured
    assert Facts.of(facts) == data.facts()._replace(class_names=None)
    assert kept.preprocessing.mean == data.preprocessing.mean


def test_a_constant_channel_is_not_divided_by_nothing(npz):
    data = npz(images=np.full((20, 8, 8), 51, np.uint8), keys={"normalize": "auto"})
    assert data.measured.std == (1.0,) and images_of(data).unique().tolist() == [51]
    assert float(next(iter(data.test))[0].abs().max()) < 1e-6
