"""scikit-learn's handwritten digits: the default data set, because it comes with the package."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hybrid.data.images import Size, check_size
from hybrid.data.sources import MemorySource
from hybrid.data.stored import Stored
from hybrid.lazy import LazyModule
from hybrid.stratified import stratified_positions

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = LazyModule("torch")

_TEST_IMAGES = 360
_SPLIT_SEED = 0  # a constant: the test set must be the same for every run, whatever its seed


class Digits(MemorySource):
    """1,797 grey images of 8 × 8 pixels with values 0..16, in 10 classes (Alpaydin and Kaynak 1998, the UCI test part).

    1,437 of them train and 360 test, stratified, always the same ones. They are scaled to 0..255 and enlarged to `size` by
    bicubic interpolation. (Scattering with J = 2 and logistic regression reach 99.6 % on five other random splits
    with it, and 99.4 % with bilinear interpolation.)
    """

    name = "digits"
    channels = 1
    class_names = tuple("0123456789")

    def __init__(self, *, size: Size = 32) -> None:
        check_size(size, name="data.size", least=8)  # that of the images
        self.size = size

    def read(self, part: Stored) -> tuple[Tensor, Tensor]:
        pixels, digits = _files()
        labels = torch.from_numpy(digits.astype(np.int64))
        images = torch.from_numpy(np.round(pixels.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8))[:, None]
        test = stratified_positions(labels, _TEST_IMAGES, seed=_SPLIT_SEED)
        chosen = torch.zeros(len(labels), dtype=torch.bool)
        chosen[test] = True
        keep = chosen if part == "test" else ~chosen
        return images[keep], labels[keep]


def _files() -> tuple[np.ndarray, np.ndarray]:
    """Pixels (n, 64) in 0..16 and digits (n,). The file is read as it lies, because scikit-learn takes a second to import."""
    package = importlib.util.find_spec("sklearn")
    folder = Path((package and package.origin) or "").parent / "datasets" / "data"
    if (folder / "digits.csv.gz").is_file():
        table = np.loadtxt(folder / "digits.csv.gz", delimiter=",")
        return table[:, :-1], table[:, -1]
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.data, digits.target
