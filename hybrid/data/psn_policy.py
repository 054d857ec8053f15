"""AutoAugment and Cutout as the released code of the parametric scattering networks (CVPR 2022) has them.

The 25 sub-policies are those of AutoAugment for CIFAR-10 (Cubuk et al. 2019), but a magnitude m means something else
than in torchvision: eleven marks lie between the lowest and the highest value of an operation, and the value is drawn between
marks m and m + 1. So no coin decides on the direction, and most colours are changed less:

                       here                      torchvision
    Contrast 6         × 1.18 to 1.36            × 0.40 or 1.60
    Solarize 8         from grey level 205 to 230 on     from 28 on
    TranslateX 9       11.6 to 14.5 pixels to the left   14.5 to the left or to the right

Images have one seed each. The images of a batch that undergo one operation undergo it together, each by its own value: a call
for every image would take longer than the operation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

_MARKS = 11
_SUB_POLICIES = (  # operation, probability, magnitude; twice
    ("Invert", 0.1, 7, "Contrast", 0.2, 6),
    ("Rotate", 0.7, 2, "TranslateX", 0.3, 9),
    ("Sharpness", 0.8, 1, "Sharpness", 0.9, 3),
    ("ShearY", 0.5, 8, "TranslateY", 0.7, 9),
    ("AutoContrast", 0.5, 8, "Equalize", 0.9, 2),
    ("ShearY", 0.2, 7, "Posterize", 0.3, 7),
    ("Color", 0.4, 3, "Brightness", 0.6, 7),
    ("Sharpness", 0.3, 9, "Brightness", 0.7, 9),
    ("Equalize", 0.6, 5, "Equalize", 0.5, 1),
    ("Contrast", 0.6, 7, "Sharpness", 0.6, 5),
    ("Color", 0.7, 7, "TranslateX", 0.5, 8),
    ("Equalize", 0.3, 7, "AutoContrast", 0.4, 8),
    ("TranslateY", 0.4, 3, "Sharpness", 0.2, 6),
    ("Brightness", 0.9, 6, "Color", 0.2, 8),
    ("Solarize", 0.5, 2, "Invert", 0.0, 3),
    ("Equalize", 0.2, 0, "AutoContrast", 0.6, 0),
    ("Equalize", 0.2, 8, "Equalize", 0.6, 4),
    ("Color", 0.9, 9, "Equalize", 0.6, 6),
    ("AutoContrast", 0.8, 4, "Solarize", 0.2, 8),
    ("Brightness", 0.1, 3, "Color", 0.7, 0),
    ("Solarize", 0.4, 5, "AutoContrast", 0.9, 3),
    ("TranslateY", 0.9, 9, "TranslateY", 0.7, 9),
    ("AutoContrast", 0.9, 2, "Solarize", 0.8, 3),
    ("Equalize", 0.8, 8, "Invert", 0.1, 3),
    ("TranslateY", 0.7, 9, "AutoContrast", 0.9, 1),
)
_FROM_TO = {  # values at the first and the last mark; translations in parts of the image's side
    "ShearY": (-0.3, 0.3),
    "TranslateX": (-150 / 331, 150 / 331),
    "TranslateY": (-150 / 331, 150 / 331),
    "Rotate": (-30.0, 30.0),
    "Solarize": (0.0, 256.0),
    "Posterize": (4.0, 8.0),
    "Contrast": (0.1, 1.9),
    "Color": (0.1, 1.9),
    "Brightness": (0.1, 1.9),
    "Sharpness": (0.1, 1.9),
}
_SQUARE = 16  # pixels; the side of Cutout's square


_WORDS = 7  # an image draws so many numbers at most
_MOVES = ("ShearY", "TranslateX", "TranslateY", "Rotate")


class _Change(NamedTuple):
    """An operation on an image, and its value; nan for one that has none."""

    operation: str
    value: float


class _Drawn(NamedTuple):
    """What an image undergoes: up to two changes, and the corner (top, left) of the square that becomes grey."""

    changes: list[_Change]
    corner: tuple[int, int]


class ReleasedPolicy:
    """uint8 (N, C, H, W) and N seeds → the same: a sub-policy, then Cutout, of each image. It runs on the CPU."""

    def __init__(self) -> None:
        self._bits = np.random.MT19937()
        self._seeded = np.random.RandomState(self._bits)

    def __call__(self, images: Tensor, seeds: Sequence[int]) -> Tensor:
        height, width = images.shape[-2:]
        drawn = [self._draw(seed, height, width) for seed in seeds]
        images = images.clone()
        for turn in (0, 1):
            groups: dict[str, list[int]] = {}
            for place, (changes, _) in enumerate(drawn):
                if turn < len(changes):
                    operation = changes[turn].operation
                    groups.setdefault("move" if operation in _MOVES else operation, []).append(place)
            for places in groups.values():
                group = torch.tensor(places)
                images[group] = _apply(images[group], [drawn[place].changes[turn] for place in places])
        return _cutout(images, [corner for _, corner in drawn])

    def _draw(self, seed: int, height: int, width: int) -> _Drawn:
        """The numbers are those that torch's generator gives with this seed: both are Mersenne twisters (Matsumoto 1998)."""
        self._seeded.seed(seed & 0xFFFFFFFF)
        words = iter(self._bits.random_raw(_WORDS).tolist())
        first, p, m, second, q, n = _SUB_POLICIES[_below(next(words), len(_SUB_POLICIES))]
        changes = []
        for operation, probability, magnitude in ((first, p, m), (second, q, n)):
            if _uniform(next(words)) < probability:
                has_value = operation in _FROM_TO
                value = value_of(operation, magnitude, _uniform(next(words))) if has_value else float("nan")
                changes.append(_Change(operation, value))
        before = _SQUARE // 2
        top, left = (_below(next(words), side - _SQUARE + before) - before for side in (height, width))
        return _Drawn(changes, (top, left))


def _below(word: int, count: int) -> int:
    """A whole number from 0 to below `count`, as torch.randint makes one of 32 random bits."""
    return word % count


def _uniform(word: int) -> float:
    """A number in [0, 1), as torch.rand makes one of 32 random bits."""
    return (word & 0xFFFFFF) / 2**24


def value_of(operation: str, magnitude: int, share: float) -> float:
    """The value at `share`, 0 to 1, of the way from mark `magnitude` to the next."""
    low, high = _FROM_TO[operation]
    return low + (high - low) * (magnitude + share) / (_MARKS - 1)


def _apply(images: Tensor, changes: Sequence[_Change]) -> Tensor:
    """uint8 (n, C, H, W) → the same, each by its change; all by one operation, or all moved."""
    from torchvision.transforms.v2 import functional

    operation, values = changes[0].operation, [change.value for change in changes]
    if operation in _MOVES:
        return _moved(images, changes)
    others: dict[str, Callable[[], Tensor]] = {
        "AutoContrast": lambda: functional.autocontrast(images),
        "Equalize": lambda: functional.equalize(images),
        "Invert": lambda: functional.invert(images),
        "Posterize": lambda: images & _each([(0xFF00 >> round(value)) & 0xFF for value in values], torch.uint8),
        "Solarize": lambda: torch.where(images >= _each(values), functional.invert(images), images),
        "Brightness": lambda: images.mul(_each(values)).clamp_(0, 255).to(torch.uint8),
        "Contrast": lambda: _blended(images, _means(_grey(images)), values),
        "Color": lambda: _blended(images, _grey(images), values) if images.shape[1] == 3 else images,
        "Sharpness": lambda: _sharpened(images, values),
    }
    return others[operation]()


def _each(values: Sequence[float], dtype: torch.dtype = torch.float32) -> Tensor:
    """(n, 1, 1, 1): a value for each image."""
    return torch.tensor(values, dtype=dtype).view(-1, 1, 1, 1)


def _grey(images: Tensor) -> Tensor:
    """(n, 1, H, W) float32 of whole numbers, by torchvision's weights."""
    if images.shape[1] == 1:
        return images.float()
    red, green, blue = images.unbind(1)
    return red.mul(0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114).floor_()[:, None]


def _blended(images: Tensor, others: Tensor, shares: Sequence[float]) -> Tensor:
    """`shares` of each image, and the rest of the other one, float32 (n, 1 or C, H or 1, W or 1)."""
    result = images.mul(_each(shares))
    _add_each(result, others, [1.0 - share for share in shares])
    return result.clamp_(0, 255).to(torch.uint8)


def _sharpened(images: Tensor, factors: Sequence[float]) -> Tensor:
    """As torchvision's adjust_sharpness: away from the blurred image, or (factors below 1) towards it; not at the border."""
    if min(images.shape[-2:]) <= 2:
        return images
    channels = images.shape[1]
    kernel = torch.full((3, 3), 1 / 13)
    kernel[1, 1] = 5 / 13
    result = images.float()
    blurred = torch.nn.functional.conv2d(result, kernel.expand(channels, 1, 3, 3), groups=channels).round_()
    inside = result[..., 1:-1, 1:-1]
    _add_each(inside, blurred.sub_(inside), [1.0 - factor for factor in factors])
    return result.clamp_(0, 255).to(torch.uint8)


def _add_each(result: Tensor, others: Tensor, shares: Sequence[float]) -> None:
    """Add a share of another image to each, in place: image by image, because torch then multiplies and adds in one rounding."""
    for image, other, share in zip(result.unbind(0), others.unbind(0), shares, strict=True):
        image.add_(other, alpha=share)


def _moved(images: Tensor, changes: Sequence[_Change]) -> Tensor:
    """Affine, by cubic splines as released; what comes in from outside is black."""
    from scipy.ndimage import affine_transform, spline_filter1d

    rows = spline_filter1d(images.numpy(), order=3, axis=2, output=np.float64, mode="constant")
    splines = spline_filter1d(rows, order=3, axis=3, output=np.float64, mode="constant")
    result = torch.empty_like(images)
    for channels, moved, change in zip(splines, result.numpy(), changes, strict=True):
        matrix, offset = _movement(change, *images.shape[-2:])
        for channel, to in zip(channels, moved, strict=True):
            affine_transform(channel, matrix, offset, output=to, order=3, mode="constant", prefilter=False)
    return result


def _movement(change: _Change, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The (matrix, offset) that turn a place in the result into a place in the image."""
    operation, value = change
    matrix, offset = np.eye(2), np.zeros(2)
    if operation == "TranslateX":
        offset[1] = width * value
    elif operation == "TranslateY":
        offset[0] = height * value
    else:
        if operation == "Rotate":
            angle = np.deg2rad(value)
            matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        else:
            matrix[1, 0] = value
        centre = np.array([height, width]) / 2 + 0.5
        offset = centre - matrix @ centre
    return matrix, offset


def _cutout(images: Tensor, corners: Sequence[tuple[int, int]]) -> Tensor:
    """Grey (an image's mean over all channels) from a drawn corner on, 16 pixels down; to the right as released.

    Where the corner lies inside the image its row is also taken for its column, so what becomes grey is 0 to 31 pixels wide.
    """
    top, left = torch.tensor(corners).view(-1, 2, 1).unbind(1)
    bottom, right = top + _SQUARE, left + _SQUARE
    top = top.clamp_min(0)
    left = torch.where(left < 0, 0, top)
    row, column = (torch.arange(side) for side in images.shape[-2:])
    rows, columns = (row >= top) & (row < bottom), (column >= left) & (column < right)
    square = rows[:, None, :, None] & columns[:, None, None, :]
    return torch.where(square, _means(images.float()).to(torch.uint8), images)


def _means(images: Tensor) -> Tensor:
    """(n, 1, 1, 1): the mean of each image, float32 of whole numbers from 0 to 255."""
    if images[0].numel() < 2**16:  # every sum is exact, and so its order does not matter
        return images.mean((1, 2, 3), keepdim=True)
    return torch.stack([image.mean() for image in images]).view(-1, 1, 1, 1)
