"""From images to what a network says of them: the most probable classes, the probability of each label, or values."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from hybrid.data import Data, Task
from hybrid.data.pixels import as_bytes, as_pixels
from hybrid.errors import UserError
from hybrid.prediction.array_files import array_batches, is_array
from hybrid.prediction.image_files import Unreadable, find_images, read_batches

Numbers = tuple[tuple[str, float], ...]


class Prediction(NamedTuple):
    """A file and what the network says of it, as (name, number).

    Of classes these are the most probable ones, the most probable first, with probabilities in 0..1. Of labels it is every
    label with its probability, of values every value in its own units, in the order of the network's outputs.
    """

    file: str
    numbers: Numbers


def predict(
    model: nn.Module,
    paths: Iterable[str],
    *,
    data: Data,
    class_names: Sequence[str],
    task: Task = "classification",
    top: int = 5,
    batch_size: int = 64,
    device: torch.device | str = "cpu",
    on_unreadable: Callable[[Unreadable], None] = lambda unreadable: None,
) -> Iterator[Prediction]:
    """Predict image files, the images below folders, and the images of array files, one after the other, in float32.

    model: uint8 images (N, C, H, W) -> outputs (N, K), in evaluation mode: preprocessing included (`hybrid.export.Pipeline`).
    paths: files and folders; also .npz, .npy and HDF5 files, or FILE:NAME, whose predictions have FILE:NUMBER as their `file`.
    data: how the model's data set reads images; what cannot be read goes to `on_unreadable` and is skipped. class_names: one
    for each output. task: what the outputs are (`hybrid.data.tasks`). top: how many classes; more than there are gives all.
    """
    read = _reader(class_names, task, top)
    for files, images, unreadable in _batches(paths, data, batch_size):
        for each in unreadable:
            on_unreadable(each)
        if images is None:
            continue
        for file, numbers in zip(files, read(_outputs(model, images.to(device))), strict=True):
            yield Prediction(file, numbers)


def _batches(
    paths: Iterable[str], data: Data, batch_size: int
) -> Iterator[tuple[list[str], Tensor | None, list[Unreadable]]]:
    for arrays, group in itertools.groupby(paths, key=is_array):
        if arrays:
            for path in group:
                yield from array_batches(path, data, batch_size=batch_size)
        else:
            yield from read_batches(find_images(group), data.open_image, batch_size=batch_size)


def predict_arrays(
    model: nn.Module,
    images: Tensor | np.ndarray | Sequence[Any],
    *,
    class_names: Sequence[str],
    data: Data,
    task: Task = "classification",
    top: int = 5,
    batch_size: int = 64,
    device: torch.device | str = "cpu",
) -> Iterator[Prediction]:
    """Predict images that are in memory, in float32; a prediction's `file` is the number of the image, from "0".

    Args:
        model, class_names, task, top: as for `predict`.
        images: (N, C, H, W), or (C, H, W) for one image; also (N, H, W) or (H, W) where the data set's images have one
            channel. They are of a type that `hybrid.data.pixels` takes: uint8, bool, uint16, or float in [0, 1]. Or a list
            of such single images, or of Pillow images of any size and mode.
        data: how the model's data set reads images.

    Raises UserError for numbers without a range, and for a shape that the model refuses.
    """
    images = _pixels(images, data)
    images = _as_batch(images, data.image_shape)
    read = _reader(class_names, task, top)
    for start in range(0, len(images), batch_size):
        outputs = _outputs(model, images[start : start + batch_size].to(device))
        for number, each in enumerate(read(outputs), start=start):
            yield Prediction(str(number), each)


def _pixels(images: Tensor | np.ndarray | Sequence[Any], data: Data) -> Tensor:
    """Arrays and Pillow images, one or a list, as uint8 in 0..255 or float32 in [0, 1]."""
    if hasattr(images, "shape"):
        images = torch.as_tensor(images)
        stated = data.source.value_range
        exact = images.is_floating_point() and stated is None
        return (as_pixels if exact else as_bytes)(images, value_range=stated, where="images")
    if isinstance(images, str) or not isinstance(images, Sequence):
        return data.open_image(images)
    each = [_pixels(image, data) for image in images]
    kinds = {(tuple(pixels.shape), pixels.dtype) for pixels in each}
    if len(kinds) != 1:
        raise UserError(f"a list holds one image or more, all of one shape and type, and this one {len(kinds)} kinds")
    return torch.stack(each)


def _as_batch(images: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """One image or several, (N, C, H, W); a missing axis of one channel is added. UserError for a size other than `shape`."""
    channels, height, width = shape
    batch = images[..., None, :, :] if channels == 1 and images.dim() in (2, 3) else images
    batch = batch[None] if batch.dim() == 3 else batch
    if batch.dim() == 4 and tuple(batch.shape[1:]) == shape:
        return batch
    words = (
        f"images of shape {tuple(images.shape)} do not fit the model, which takes (N, {channels}, {height}, {width})"
    )
    if images.dim() == 4 and tuple(images.shape[1:]) == (height, width, channels):
        words += ": the channels come first, images.transpose(0, 3, 1, 2)"
    raise UserError(f"{words}; Pillow images and files of any size are resized")


@torch.inference_mode()
def _outputs(model: nn.Module, images: Tensor) -> Tensor:
    return model(images).double()


def _reader(names: Sequence[str], task: Task, top: int) -> Callable[[Tensor], list[Numbers]]:
    """What turns outputs (N, K) into the numbers of N predictions."""
    if task == "classification":
        return lambda outputs: _most_probable(outputs, names, min(top, len(names)))
    if task == "multilabel":
        return lambda outputs: _each(outputs.sigmoid(), names)
    return lambda outputs: _each(outputs, names)


def _each(values: Tensor, names: Sequence[str]) -> list[Numbers]:
    return [tuple(zip(names, row, strict=True)) for row in values.tolist()]


def _most_probable(outputs: Tensor, names: Sequence[str], count: int) -> list[Numbers]:
    best = outputs.softmax(1).topk(count, dim=1)
    return [
        tuple((names[number], probability) for number, probability in zip(numbers, probabilities, strict=True))
        for numbers, probabilities in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]
