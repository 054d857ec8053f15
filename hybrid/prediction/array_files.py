"""Images in .npz, .npy and HDF5 files, a batch at a time, scaled as the training images of a run were."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from hybrid.data import Data, FileSource
from hybrid.data.array_files import HDF5, array_names, open_array
from hybrid.data.arrays import Arrays, channels_first
from hybrid.data.pixels import as_bytes
from hybrid.data.resizing import resize
from hybrid.errors import UserError
from hybrid.prediction.image_files import Unreadable

_ENDINGS = (".npz", ".npy", *HDF5)


def is_array(path: str) -> bool:
    """Whether a path is that of an array file, or FILE:NAME, an array in one."""
    return _parted(path)[0].suffix in _ENDINGS


def array_batches(
    path: str, data: Data, *, batch_size: int
) -> Iterator[tuple[list[str], Tensor | None, list[Unreadable]]]:
    """As `read_batches`: (the path and number of each image, pixels uint8 (N, C, H, W), what cannot be read).

    path: FILE or FILE:NAME. Without a name it is the array that the run was trained on, or else the only one of images.
    data: the run's data set, whose `value_range`, place of the channels, size and fit hold here, too.
    """
    try:
        file, name = _parted(path)
        array = open_array(file, name or _only(file, data), setting="array")[0]
        layout = _layout(tuple(array.shape), data, path)
        for start in range(0, len(array), batch_size):
            values = channels_first(array[start : start + batch_size], layout)
            yield [f"{path}:{start + k}" for k in range(len(values))], _pixels(values, data, path), []
    except UserError as error:
        yield [], None, [Unreadable(path, str(error) if path in str(error) else f"{path}: {error}")]


def _parted(path: str) -> tuple[Path, str]:
    before, colon, name = path.rpartition(":")
    return (Path(before), name) if colon and Path(before).suffix in _ENDINGS else (Path(path), "")


def _only(file: Path, data: Data) -> str:
    if not file.is_file():
        raise UserError(f"{file}: no such file")
    shapes = array_names(file)
    usual = data.source.name_of_images if isinstance(data.source, Arrays) else None
    if usual in shapes:
        return usual
    found = [name for name, shape in shapes.items() if len(shape) in (3, 4)]
    if len(found) != 1:
        names = ", ".join(found or shapes)
        raise UserError(f"{file} has {len(found)} arrays of images ({names}): name one, {file}:NAME")
    return found[0]


def _layout(shape: tuple[int, ...], data: Data, path: str) -> Literal["first", "last"]:
    channels = data.image_shape[0]
    if len(shape) == 3 and channels == 1:
        return "first"
    if len(shape) == 4:
        fitting: list[Any] = [place for place, axis in (("first", 1), ("last", 3)) if shape[axis] == channels]
        stated = data.source.axis if isinstance(data.source, Arrays) else None
        if stated in fitting or len(fitting) == 1:
            return stated if stated in fitting else fitting[0]
        if fitting:
            raise UserError(f"{path}: images of shape {shape} do not show which axis holds the {channels} channels")
    raise UserError(f"{path}: images of shape {shape} do not fit: (N, H, W, {channels}) or (N, {channels}, H, W)")


def _pixels(values: Any, data: Data, path: str) -> Tensor:
    """Images (N, C, h, w) of any type and size as the model's, uint8, by the rules of the run's own images."""
    source, (channels, height, width) = data.source, data.image_shape
    pixels = as_bytes(values, value_range=source.value_range, where=path)
    if not isinstance(source, FileSource) or channels not in (1, 3):
        return resize(pixels, (height, width), fit=source.fit)
    from PIL import Image

    reader = dataclasses.replace(source.reader, value_range=None)  # it has been applied
    arrays = pixels.movedim(1, -1).numpy()
    return torch.stack([reader.convert(Image.fromarray(each[..., 0] if channels == 1 else each)) for each in arrays])
