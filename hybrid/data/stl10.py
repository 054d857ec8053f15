"""STL-10 (Coates, Ng and Lee 2011): the labelled part, from the published binary files."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from hybrid.data.files import OfficialFile
from hybrid.data.images import Size
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

_FOLDER = "stl10_binary"
_SIDE = 96
_FOLDS = 10
_MD5 = {
    "train_X.bin": "918c2871b30a85fa023e0c44e0bee87f",
    "train_y.bin": "5a34089d4802c674881badbb80307741",
    "test_X.bin": "7f263ba9f9e0b06b93213547f721ac82",
    "test_y.bin": "36f9794fa4beb8a2c72628de14fa638e",
    "class_names.txt": None,
    "fold_indices.txt": None,
}


class Stl10(OfficialSource):
    """5,000 training and 8,000 test images, 96 × 96 RGB, 10 classes, in `root`/stl10_binary.

    `fold`: 0 to 9 trains on one of the ten predefined folds of 1,000 images, "all" on all of them. Validation images of a fold
    come from the 4,000 others. The 100,000 unlabelled images are not used. `download`: fetch the archive (2.6 GB).
    """

    name = "stl10"
    native_size = _SIDE
    num_classes = 10
    archive = "stl10_binary.tar.gz"
    page = "https://cs.stanford.edu/~acoates/stl10/"

    def __init__(
        self,
        *,
        root: str,
        download: bool = True,
        size: Size | None = None,
        fold: Literal["all", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9] = "all",
    ) -> None:
        super().__init__(root=root, download=download, size=size)
        self.fold = fold

    @cached_property
    def class_names(self) -> tuple[str, ...]:  # type: ignore[override]
        path = self.root / _FOLDER / "class_names.txt"
        names = tuple(path.read_text(errors="replace").split())
        if len(names) != self.num_classes:
            raise UserError(f"{path}: {len(names)} class names instead of {self.num_classes}.")
        return names

    def official_files(self) -> list[OfficialFile]:
        return [OfficialFile(self.root / _FOLDER / name, md5) for name, md5 in _MD5.items()]

    def fetch(self) -> None:
        from torchvision.datasets import STL10
        from torchvision.datasets.utils import download_and_extract_archive

        download_and_extract_archive(STL10.url, str(self.root), filename=STL10.filename, md5=STL10.tgz_md5)

    def read(self, part: Stored) -> tuple[Tensor, Tensor]:
        images_file, labels_file = self.root / _FOLDER / f"{part}_X.bin", self.root / _FOLDER / f"{part}_y.bin"
        pixels = np.fromfile(images_file, dtype=np.uint8)
        if not len(pixels) or len(pixels) % (3 * _SIDE**2):
            raise UserError(f"{images_file}: {len(pixels)} bytes are no whole number of {_SIDE}x{_SIDE} RGB images.")
        planes = torch.from_numpy(pixels).view(-1, 3, _SIDE, _SIDE).transpose(2, 3)  # each plane is stored by columns
        labels = torch.from_numpy(np.fromfile(labels_file, dtype=np.uint8).astype(np.int64)) - 1  # stored as 1..10
        check_labels(labels, num_classes=self.num_classes, count=len(planes), where=labels_file)
        return planes.contiguous(), labels

    def train_positions(self) -> Tensor | None:
        if self.fold == "all":
            return None
        path = self.root / _FOLDER / "fold_indices.txt"
        images = (self.root / _FOLDER / "train_y.bin").stat().st_size
        lines = path.read_text(errors="replace").splitlines()
        if len(lines) < _FOLDS:
            raise UserError(f"{path}: {len(lines)} lines instead of {_FOLDS}, one per fold.")
        try:
            positions = torch.tensor([int(word) for word in lines[self.fold].split()])
        except ValueError as error:
            raise UserError(f"{path}, line {self.fold + 1}: {error}.") from error
        if not len(positions) or int(positions.min()) < 0 or int(positions.max()) >= images:
            raise UserError(f"{path}, line {self.fold + 1}: positions outside 0..{images - 1}, or none.")
        return positions.sort().values
