"""Statistics of a data set: counts, pixels, image sizes, and a sheet with some images of each class."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from hybrid.data.batch import Loader
from hybrid.data.dataset import Data
from hybrid.data.images import ORIENTATION, visible
from hybrid.data.scale import PixelStatistics
from hybrid.data.stored import FileSplit
from hybrid.errors import UserError
from hybrid.escaping import for_terminal

if TYPE_CHECKING:
    from PIL.Image import Image

_MOST_ROWS = 100  # classes on a contact sheet
_ON_ITS_SIDE = (5, 6, 7, 8)  # orientations of EXIF with which width and height change places
_SIZE_SAMPLE = 1000  # files whose sizes are read


def class_counts(data: Data) -> dict[str, list[int]]:
    """Split -> the number of images of each class, or with each label."""
    if data.task == "multilabel":
        return {name: split.labels.long().sum(0).tolist() for name, split in data.splits.items()}
    return {
        name: torch.bincount(split.labels, minlength=data.num_classes).tolist() for name, split in data.splits.items()
    }


def value_ranges(data: Data) -> dict[str, list[tuple[float, float, float, float]]]:
    """Split -> (smallest, mean, standard deviation, largest) of each value."""
    return {
        name: [
            (float(values.min()), float(values.mean()), float(values.std(correction=0)), float(values.max()))
            for values in split.labels.double().T
        ]
        for name, split in data.splits.items()
    }


def pixel_statistics(loader: Loader) -> PixelStatistics:
    """The mean and standard deviation of each channel, by one pass over a loader, in float64.

    Its preprocessing must leave pixels in 0..1 (data.normalize=none).
    """
    count, total, squares = 0, 0.0, 0.0
    for batch in loader.epoch(0):
        pixels = batch.images.double()
        count += pixels.numel() // pixels.shape[1]
        total = total + pixels.sum(dim=(0, 2, 3))
        squares = squares + pixels.square().sum(dim=(0, 2, 3))
    mean = total / count
    std = (squares / count - mean.square()).clamp_min(0).sqrt()
    return PixelStatistics(tuple(mean.tolist()), tuple(std.tolist()))


def file_sizes(split: FileSplit) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """The smallest, median and largest (width, height) in pixels, each side by itself.

    They are those of the images upright, as the camera noted. Up to 1,000 files, evenly spaced in the list, are looked at.
    """
    from PIL import Image

    sizes = []
    for path in split.paths[:: max(1, len(split) // _SIZE_SAMPLE)]:
        with Image.open(path) as image:  # reads the header alone
            turned = image.getexif().get(ORIENTATION, 1) in _ON_ITS_SIDE
            sizes.append(image.size[::-1] if turned else image.size)
    values = np.array(sizes)
    smallest, median, largest = values.min(0), np.median(values, axis=0), values.max(0)
    return tuple(tuple(int(side) for side in size) for size in (smallest, median, largest))  # type: ignore[return-value]


def contact_sheet(data: Data, path: Path, *, split: str = "train", columns: int = 12) -> None:
    """Write a picture with a row of `columns` images for each class and the names on the left.

    Images are evenly spaced over those of their class or label, and of a value from the smallest to the largest; of more than
    100 classes, 100 evenly spaced ones are shown. Raises UserError for a file whose ending names no format.
    """
    from PIL import Image, ImageDraw, ImageFont

    classes = sorted(set(np.linspace(0, data.num_classes - 1, min(data.num_classes, _MOST_ROWS)).round().astype(int)))
    height, width = data.image_shape[1:]
    scale = min(max(height, width, 32), 96) / max(height, width)
    across, down = (max(1, round(side * scale)) for side in (width, height))
    font = ImageFont.load_default(size=13)
    names = [for_terminal(data.class_names[label]) for label in classes]
    margin = 12 + max(int(font.getlength(name)) for name in names)
    sheet = Image.new("RGB", (margin + columns * (across + 2), len(classes) * (down + 2)), "white")
    draw = ImageDraw.Draw(sheet)
    for row, (label, name) in enumerate(zip(classes, names, strict=True)):
        draw.text((6, row * (down + 2) + down // 2), name, fill="black", font=font, anchor="lm")
        for column, image in enumerate(_examples(data, split, int(label), columns)):
            pixels = Image.fromarray(visible(image).expand(3, -1, -1).permute(1, 2, 0).numpy())
            sheet.paste(pixels.resize((across, down)), (margin + column * (across + 2), row * (down + 2)))
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        _save(sheet, path)
    except ValueError as error:
        raise UserError(f"{path}: {error}; valid: .png, .svg, .pdf, .jpg and the like.") from error


def _save(sheet: Image, path: Path) -> None:
    """Write a picture; in an .svg file its pixels stay pixels."""
    if path.suffix != ".svg":
        sheet.save(path)
        return
    pixels = io.BytesIO()
    sheet.save(pixels, "png")
    width, height = sheet.size
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"><image width="{width}" height="{height}" '
        f'href="data:image/png;base64,{base64.b64encode(pixels.getvalue()).decode()}"/></svg>\n'
    )


def _examples(data: Data, split: str, label: int, count: int) -> Sequence[Tensor]:
    """Up to `count` images of a class or label, or of all values of one kind, uint8 (C, H, W), evenly spaced."""
    chosen = data.splits[split]
    if data.task == "regression":
        members = chosen.labels[:, label].argsort(stable=True).tolist()
    else:
        has = chosen.labels == label if data.task == "classification" else chosen.labels[:, label] == 1
        members = torch.nonzero(has).flatten().tolist()
    positions = members[:: max(1, len(members) // count)][:count]
    if isinstance(chosen, FileSplit):
        return [data.source.item(chosen.paths[position]) for position in positions]
    return [chosen.images[position] for position in positions]
