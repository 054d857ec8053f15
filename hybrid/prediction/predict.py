"""From images to the most probable classes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from hybrid.errors import UserError
from hybrid.prediction.image_files import Unreadable, find_images, read_batches


class Prediction(NamedTuple):
    """A file and its most probable classes, the most probable first, as (name, probability) with probabilities in 0..1."""

    file: str
    classes: tuple[tuple[str, float], ...]


def predict(
    model: nn.Module,
    paths: Iterable[str],
    *,
    open_image: Callable[[str], Tensor],
    class_names: Sequence[str],
    top: int = 5,
    batch_size: int = 64,
    device: torch.device | str = "cpu",
    on_unreadable: Callable[[Unreadable], None] = lambda unreadable: None,
) -> Iterator[Prediction]:
    """Predict image files and the images below folders, one after the other, in float32.

    model: uint8 images (N, C, H, W) -> logits (N, K), in evaluation mode: preprocessing included (`hybrid.export.Pipeline`).
    open_image: one file -> uint8 (C, H, W); its UserError goes to `on_unreadable` and the file is skipped. top: how many
    classes; more than there are gives all.
    """
    count = min(top, len(class_names))
    for files, images, unreadable in read_batches(find_images(paths), open_image, batch_size=batch_size):
        for each in unreadable:
            on_unreadable(each)
        if images is None:
            continue
        for file, classes in zip(files, _most_probable(model, images.to(device), class_names, count), strict=True):
            yield Prediction(file, classes)


def predict_arrays(
    model: nn.Module,
    images: Tensor | np.ndarray,
    *,
    class_names: Sequence[str],
    top: int = 5,
    batch_size: int = 64,
    device: torch.device | str = "cpu",
) -> Iterator[Prediction]:
    """Predict images that are in memory, in float32; a prediction's `file` is the number of the image, from "0".

    Args:
        model: as for `predict`.
        images: (N, C, H, W), or (C, H, W) for one image; uint8 in 0..255, or float in [0, 1].

    Raises UserError for another type of numbers, for float values outside [0, 1], and for a shape that the model refuses.
    """
    images = torch.as_tensor(images)
    images = images[None] if images.dim() == 3 else images
    if images.dtype != torch.uint8:
        if not images.is_floating_point():
            raise UserError(
                f"images of type {images.dtype} cannot be predicted. Valid: uint8 in 0..255, float in [0, 1]."
            )
        images = images.float()
        if images.numel() and not (images.min() >= 0 and images.max() <= 1):
            raise UserError("images of float type must have values in [0, 1]: preprocessing is done by the run itself.")
    count = min(top, len(class_names))
    for start in range(0, len(images), batch_size):
        try:
            classes = _most_probable(model, images[start : start + batch_size].to(device), class_names, count)
        except (RuntimeError, ValueError) as error:
            raise UserError(f"images of shape {tuple(images.shape)} do not fit the model: {error}") from error
        for number, each in enumerate(classes, start=start):
            yield Prediction(str(number), each)


@torch.inference_mode()
def _most_probable(
    model: nn.Module, images: Tensor, class_names: Sequence[str], count: int
) -> list[tuple[tuple[str, float], ...]]:
    best = model(images).double().softmax(1).topk(count, dim=1)
    return [
        tuple((class_names[number], probability) for number, probability in zip(numbers, probabilities, strict=True))
        for numbers, probabilities in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]
