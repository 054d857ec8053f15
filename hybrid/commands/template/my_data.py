"""A data set of one's own: images with stripes, whose direction is the class."""

import torch
from torch import Tensor

from hybrid.data import MemorySource


class MyData(MemorySource):
    """Stripes across or down, drawn at random. Replace `read` by what reads your files."""

    name, channels = "my_data", 1
    class_names = ("across", "down")  # in the order of the labels

    def __init__(self, *, count: int, size: int = 16) -> None:
        """count: images of each part. size: the side of the images in pixels."""
        self.count, self.size = count, size

    def read(self, part: str) -> tuple[Tensor, Tensor]:
        """The images, uint8 (N, 1, H, W), and the labels, int64 (N,), of "train" or "test"."""
        random = torch.Generator().manual_seed(0 if part == "train" else 1)
        labels = torch.arange(self.count) % len(self.class_names)
        rows = torch.randint(0, 256, (self.count, 1, self.size, 1), generator=random, dtype=torch.uint8)
        images = rows.expand(-1, 1, self.size, self.size)
        return torch.where(labels.view(-1, 1, 1, 1) == 0, images, images.transpose(2, 3)), labels
