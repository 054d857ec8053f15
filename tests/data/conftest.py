"""Tiny data sets in the official file formats, written anew for each test."""

from __future__ import annotations

import gzip
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hybrid.data import build


def write_pickle(path: Path, content: dict, *, protocol: int = 2) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=protocol))


@pytest.fixture
def cifar10(tmp_path: Path) -> Path:
    """100 training images (20 per file) and 20 test images; the first pixel of an image is its class, the rest is noise."""
    random = np.random.RandomState(0)
    folder = tmp_path / "cifar-10-batches-py"
    for name in [f"data_batch_{n}" for n in range(1, 6)] + ["test_batch"]:
        labels = list(range(10)) * 2
        pixels = random.randint(0, 256, (20, 3072)).astype(np.uint8)
        pixels[:, 0] = labels
        write_pickle(folder / name, {"data": pixels, "labels": labels, "batch_label": name})
    write_pickle(folder / "batches.meta", {"label_names": [f"class{n}" for n in range(10)]})
    return tmp_path


@pytest.fixture
def cifar100(tmp_path: Path) -> Path:
    folder = tmp_path / "cifar-100-python"
    for name, count in (("train", 300), ("test", 100)):
        labels = [n % 100 for n in range(count)]
        pixels = np.zeros((count, 3072), np.uint8)
        write_pickle(folder / name, {"data": pixels, "fine_labels": labels, "coarse_labels": [0] * count})
    write_pickle(folder / "meta", {"fine_label_names": [f"fine{n}" for n in range(100)]})
    return tmp_path


def idx(values: np.ndarray) -> bytes:
    return bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    """40 training images, raw, and 20 test images, packed; an image is filled with its number."""
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for prefix, count in (("train", 40), ("t10k", 20)):
        images = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None], (count, 28, 28))
        labels = (np.arange(count) % 10).astype(np.uint8)
        for name, values in (("images-idx3", images), ("labels-idx1", labels)):
            content = idx(np.ascontiguousarray(values))
            if prefix == "train":
                (folder / f"{prefix}-{name}-ubyte").write_bytes(content)
            else:
                (folder / f"{prefix}-{name}-ubyte.gz").write_bytes(gzip.compress(content))
    return tmp_path


@pytest.fixture
def stl10(tmp_path: Path) -> Path:
    """20 training and 10 test images; pixel (row 0, column 1) of each is 200, its transpose 0. Fold k is images 2k and 2k+1."""
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    for part, count in (("train", 20), ("test", 10)):
        images = np.zeros((count, 3, 96, 96), np.uint8)
        images[:, :, 0, 1] = 200
        (folder / f"{part}_X.bin").write_bytes(np.ascontiguousarray(images.transpose(0, 1, 3, 2)).tobytes())
        (folder / f"{part}_y.bin").write_bytes((np.arange(count) % 10 + 1).astype(np.uint8).tobytes())
    (folder / "class_names.txt").write_text("\n".join(f"name{n}" for n in range(10)))
    (folder / "fold_indices.txt").write_text("\n".join(f"{2 * k} {2 * k + 1}" for k in range(10)))
    return tmp_path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """JPEG and PNG files of several sizes and colour modes: train/ 2 x 12, val/ 2 x 4."""
    random = np.random.RandomState(0)
    for part, count in (("train", 12), ("val", 4)):
        for label, name in enumerate(("cat", "dog")):
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            for n in range(count):
                pixels = random.randint(0, 256, (40 + n, 60 - n, 3)).astype(np.uint8)
                image = Image.fromarray(pixels).convert(("RGB", "L", "CMYK")[n % 3])
                image.save(folder / f"{label}_{n:02}.{'jpg' if n % 2 else 'jpeg'}")
    return tmp_path


@pytest.fixture
def make_cifar10(cifar10: Path):
    """build() for the tiny CIFAR-10: make(seed=…, augmentation={…}, **data keys)."""

    def make(*, seed: int = 0, augmentation: dict | None = None, **keys):
        config = {"_target_": "hybrid.data.cifar.Cifar10", "root": str(cifar10), "download": False, **keys}
        return build(config, augmentation or {}, seed=seed)

    return make


@pytest.fixture
def make_folder(photos: Path):
    """build() for the tiny folder, at 24 x 24 and without workers unless told."""

    def make(*, seed: int = 0, augmentation: dict | None = None, **keys):
        config = {
            "_target_": "hybrid.data.folder.Folder",
            "root": str(photos),
            "size": 24,
            "resize": 28,
            "num_workers": 0,
        }
        return build({**config, **keys}, augmentation or {}, seed=seed)

    return make
