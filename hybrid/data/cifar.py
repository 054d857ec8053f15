"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009), from the published Python batches."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid.data.files import OfficialFile
from hybrid.data.official import OfficialSource
from hybrid.data.stored import Stored
from hybrid.data.tasks import check_labels
from hybrid.data.unpickle import read_pickle
from hybrid.errors import UserError
from hybrid.lazy import LazyModule

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = LazyModule("torch")


class _Cifar(OfficialSource):
    """A folder of pickled dictionaries, with images as rows of three planes of 32 × 32 pixels."""

    page, native_size = "https://www.cs.toronto.edu/~kriz/cifar.html", 32
    folder: str
    parts: dict[str, tuple[str, ...]]
    labels_key: str
    meta_file: str
    names_key: str
    num_classes: int  # a constant: a model can be built before anything is read
    md5: dict[str, str]

    def official_files(self) -> list[OfficialFile]:
        return [OfficialFile(self.root / self.folder / name, md5) for name, md5 in self.md5.items()]

    def fetch(self) -> None:
        from torchvision import datasets
        from torchvision.datasets.utils import download_and_extract_archive

        official = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[self.name]
        download_and_extract_archive(official.url, str(self.root), filename=official.filename, md5=official.tgz_md5)

    @cached_property
    def class_names(self) -> tuple[str, ...]:  # type: ignore[override]
        path = self.root / self.folder / self.meta_file
        names = read_pickle(path).get(self.names_key)
        if not isinstance(names, list) or len(names) != self.num_classes:
            raise UserError(f"{path}: no list of {self.num_classes} class names under {self.names_key!r}.")
        return tuple(str(name) for name in names)

    def read(self, part: Stored) -> tuple[Tensor, Tensor]:
        batches = [self._read_file(self.root / self.folder / name) for name in self.parts[part]]
        return torch.cat([images for images, _ in batches]), torch.cat([labels for _, labels in batches])

    def _read_file(self, path: Path) -> tuple[Tensor, Tensor]:
        content = read_pickle(path)
        pixels = content.get("data")
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape[1:] != (3072,):
            raise UserError(f"{path}: no uint8 array of shape (images, 3072) under 'data'.")
        labels = _as_labels(content.get(self.labels_key), path, self.labels_key)
        check_labels(labels, num_classes=self.num_classes, count=len(pixels), where=path)
        return torch.from_numpy(pixels).view(-1, 3, 32, 32), labels


def _as_labels(labels: Any, path: Path, key: str) -> Tensor:
    if isinstance(labels, np.ndarray):
        labels = labels.tolist()
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise UserError(f"{path}: no list of whole numbers under {key!r}.")
    return torch.tensor(labels, dtype=torch.int64)


class Cifar10(_Cifar):
    """50,000 training and 10,000 test images, 32 × 32 RGB, 10 classes, in `root`/cifar-10-batches-py.

    `size`: images are resized to it. `download`: fetch the archive (170 MB) where files are missing.
    """

    name = "cifar10"
    folder, archive = "cifar-10-batches-py", "cifar-10-python.tar.gz"
    parts = {"train": tuple(f"data_batch_{n}" for n in range(1, 6)), "test": ("test_batch",)}
    labels_key, meta_file, names_key = "labels", "batches.meta", "label_names"
    num_classes = 10
    md5 = {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
        "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    }


class Cifar100(_Cifar):
    """50,000 training and 10,000 test images, 32 × 32 RGB, 100 ("fine") classes, in `root`/cifar-100-python."""

    name = "cifar100"
    folder, archive = "cifar-100-python", "cifar-100-python.tar.gz"
    parts = {"train": ("train",), "test": ("test",)}
    labels_key, meta_file, names_key = "fine_labels", "meta", "fine_label_names"
    num_classes = 100
    md5 = {
        "train": "16019d7e3df5f24257cddd939b257f8d",
        "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        "meta": "7973b15100ade9c7d40fb424638fde48",
    }
