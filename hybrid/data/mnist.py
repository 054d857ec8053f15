"""MNIST (LeCun et al. 1998), from the published IDX files, packed or not."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hybrid.data.files import OfficialFile
from hybrid.data.official import OfficialSource
from hybrid.data.stored import Stored
from hybrid.data.tasks import check_labels
from hybrid.errors import UserError
from hybrid.lazy import LazyModule

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = LazyModule("torch")

_UINT8 = 0x08  # the IDX code of the element type, third byte of the file
_MD5 = {  # of the unpacked file, of the packed one
    "train-images-idx3-ubyte": ("6bbc9ace898e44ae57da46a324031adb", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
    "train-labels-idx1-ubyte": ("a25bea736e30d166cdddb491f175f624", "d53e105ee54ea40749a09fcbcd1e9432"),
    "t10k-images-idx3-ubyte": ("2646ac647ad5339dbf082846283269ea", "9fb629c4189551a2d022fa330f9573f3"),
    "t10k-labels-idx1-ubyte": ("27ae3e4e09519cfbb04c329615203637", "ec29112dd5afa0611ce80d1b7f02629c"),
}


class Mnist(OfficialSource):
    """60,000 training and 10,000 test images, 28 × 28 grey, 10 classes, in `root`/MNIST/raw.

    `size`: images are resized to it. `download`: fetch the files (11 MB) where they are missing.
    """

    name = "mnist"
    channels, native_size = 1, 28
    class_names = tuple("0123456789")
    archive = "the four idx-ubyte.gz files"
    page = "https://ossci-datasets.s3.amazonaws.com/mnist/ (into MNIST/raw)"

    def official_files(self) -> list[OfficialFile]:
        return [self._file(name) for name in _MD5]

    def read(self, part: Stored) -> tuple[Tensor, Tensor]:
        prefix = "train" if part == "train" else "t10k"
        images_file, labels_file = (
            self._file(f"{prefix}-{kind}-ubyte").path for kind in ("images-idx3", "labels-idx1")
        )
        images = read_idx(images_file, dimensions=3)
        labels = read_idx(labels_file, dimensions=1).long()
        check_labels(labels, num_classes=10, count=len(images), where=labels_file)
        return images[:, None], labels

    def _file(self, name: str) -> OfficialFile:
        """The unpacked file, or the packed one if only that is there."""
        folder = self.root / "MNIST" / "raw"
        plain, packed = folder / name, folder / f"{name}.gz"
        if packed.is_file() and not plain.is_file():
            return OfficialFile(packed, _MD5[name][1])
        return OfficialFile(plain, _MD5[name][0])

    def fetch(self) -> None:
        from torchvision.datasets import MNIST
        from torchvision.datasets.utils import download_url

        for name, checksum in MNIST.resources:
            for attempt, mirror in enumerate(MNIST.mirrors, start=1):
                try:
                    download_url(f"{mirror}{name}", str(self.root / "MNIST" / "raw"), filename=name, md5=checksum)
                    break
                except (OSError, RuntimeError):
                    if attempt == len(MNIST.mirrors):
                        raise


def read_idx(path: Path, *, dimensions: int) -> Tensor:
    """The uint8 tensor in an IDX file (packed with gzip if it ends in .gz). UserError, naming the file, if it is not one."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: damaged or truncated ({error}).") from error
    header = 4 + 4 * dimensions
    if len(content) < header or content[:4] != bytes([0, 0, _UINT8, dimensions]):
        raise UserError(f"{path}: no IDX file of bytes with {dimensions} dimensions.")
    shape = np.frombuffer(content, ">u4", count=dimensions, offset=4).astype(int).tolist()
    if len(content) != header + math.prod(shape):
        raise UserError(f"{path}: {len(content)} bytes, but its header {shape} needs {header + math.prod(shape)}.")
    if not shape[0]:
        raise UserError(f"{path}: no images in it.")
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy())
