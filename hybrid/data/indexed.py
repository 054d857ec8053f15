"""Data sets that give their images by number: those of torchvision, of Hugging Face, and shards of WebDataset.

An image is read when it is needed, by the worker processes, so that the order of an epoch is drawn by (seed, epoch) as for
any other data set, and a run resumes bit for bit. Streams that can be read from their beginning alone cannot do that.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hybrid.data.file_names import numbered_names
from hybrid.data.folder import check_crop
from hybrid.data.images import Box, Fit, Interpolation, Size, check_size
from hybrid.data.pixels import ValueRange, check_value_range
from hybrid.data.sources import Files, FileSource
from hybrid.data.stored import Part
from hybrid.errors import UserError, first_line
from hybrid.lazy import LazyModule
from hybrid.ranges import Workers

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = LazyModule("torch")


class IndexedSource(FileSource):
    """Images by their number in a part of the data set. Subclasses write `labels_of`, `picture` and `class_names`.

    The entry of an image in `FileSplit.paths` is "part:number".
    """

    def __init__(
        self,
        *,
        name: str,
        size: Size = 224,
        resize: Size | None = None,
        fit: Fit = "crop",
        interpolation: Interpolation = "bicubic",
        channels: Literal[1, 3] = 3,
        value_range: ValueRange | None = None,
        num_workers: Workers | Literal["auto"] = "auto",
    ) -> None:
        """`resize`: None is `size`, so that nothing of a square image is cut off. `FileSource` explains the others."""
        check_size(size, name="data.size")
        check_value_range(value_range)
        if resize is not None:
            check_size(resize, name="data.resize")
            check_crop(size, resize)
        self.name, self.channels, self.fit, self.value_range = name, channels, fit, value_range
        self.size, self.resize = size, size if resize is None else resize
        self.interpolation, self.num_workers = interpolation, num_workers

    @abstractmethod
    def labels_of(self, part: Part) -> Sequence[Any] | None:
        """The label of every image of a part; None where there is no such part."""

    @abstractmethod
    def picture(self, part: Part, number: int) -> Any:
        """One image: a Pillow image, an array (H, W) or (H, W, C), or a tensor (C, H, W)."""

    def list(self, part: Part) -> Files | None:
        labels = self.labels_of(part)
        if labels is None:
            return None
        return Files(numbered_names(part, len(labels)), labels)

    def item(self, key: str) -> Tensor:
        return self.reader.convert(self._pillow(key), where=f"{self.name}, {key}")

    def item_box(self, key: str, choose_box: Callable[[int, int], Box]) -> Tensor:
        return self.reader.convert_box(self._pillow(key), choose_box, where=f"{self.name}, {key}")

    def content(self, key: str) -> bytes:
        return self.item(key).numpy().tobytes()

    def _pillow(self, key: str) -> Any:
        part, _, number = key.partition(":")
        where = f"{self.name}, image {number} of {part}"
        try:
            return _as_pillow(self.picture(part, int(number)), where)  # type: ignore[arg-type]
        except UserError:
            raise
        except Exception as error:  # a decoder can raise nearly anything
            raise UserError(f"{where}: not a readable image ({type(error).__name__}: {first_line(error)}).") from error


def _as_pillow(image: Any, where: str) -> Any:
    from PIL import Image

    if isinstance(image, Image.Image):
        return image
    if isinstance(image, torch.Tensor):
        image = image.movedim(0, -1).numpy() if image.ndim == 3 else image.numpy()
    image = np.asarray(image)
    if image.dtype.kind == "f" and image.ndim == 3:  # ToTensor's [0, 1]; Pillow has no colours in floats
        image = (image * 255).round().clip(0, 255).astype(np.uint8)
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3, 4)):
        raise UserError(
            f"{where}: an array of shape {image.shape} is no grey or colour image; data=npz takes any channels."
        )
    return Image.fromarray(image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image)


def numbered(labels: Sequence[Any]) -> tuple[str, ...]:
    """Names of classes that have none: 0, 1, … up to the largest label."""
    try:
        return tuple(map(str, range(int(max(labels)) + 1)))
    except (TypeError, ValueError) as error:
        raise UserError(f"labels are whole numbers, not {str(labels[:3])[:60]} …") from error
