"""From images to the most probable classes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

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
        with torch.inference_mode():
            best = model(images.to(device)).double().softmax(1).topk(count, dim=1)
        for file, numbers, probabilities in zip(files, best.indices.tolist(), best.values.tolist(), strict=True):
            ranked = zip((class_names[number] for number in numbers), probabilities, strict=True)
            yield Prediction(file, tuple(ranked))
