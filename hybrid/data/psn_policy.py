"""AutoAugment and Cutout as the released code of the parametric scattering networks (CVPR 2022) has them.

The 25 sub-policies are those of AutoAugment for CIFAR-10 (Cubuk et al. 2019), but a magnitude m means something else
than in torchvision: eleven marks lie between the lowest and the highest value of an operation, and the value is drawn between
marks m and m + 1. So no coin decides on the direction, and most colours are changed less:

                       here                      torchvision
    Contrast 6         × 1.18 to 1.36            × 0.40 or 1.60
    Solarize 8         from grey level 205 to 230 on     from 28 on
    TranslateX 9       11.6 to 14.5 pixels to the left   14.5 to the left or to the right
"""

from __future__ import annotations

from collections.abc import Callable

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


class ReleasedPolicy:
    """uint8 (C, H, W) → the same: a sub-policy, then Cutout. Draws from torch's global generator; runs on the CPU."""

    def __call__(self, image: Tensor) -> Tensor:
        first, p, m, second, q, n = _SUB_POLICIES[int(torch.randint(len(_SUB_POLICIES), ()))]
        for operation, probability, magnitude in ((first, p, m), (second, q, n)):
            if _uniform() < probability:
                image = _apply(image, operation, magnitude)
        return _cutout(image)


def value_of(operation: str, magnitude: int, share: float) -> float:
    """The value at `share`, 0 to 1, of the way from mark `magnitude` to the next."""
    low, high = _FROM_TO[operation]
    return low + (high - low) * (magnitude + share) / (_MARKS - 1)


def _apply(image: Tensor, operation: str, magnitude: int) -> Tensor:
    from torchvision.transforms.v2 import functional

    without_value: dict[str, Callable[[Tensor], Tensor]] = {
        "AutoContrast": functional.autocontrast,
        "Equalize": functional.equalize,
        "Invert": functional.invert,
    }
    if operation in without_value:
        return without_value[operation](image)
    value = value_of(operation, magnitude, _uniform())
    if operation in ("ShearY", "TranslateX", "TranslateY", "Rotate"):
        return _moved(image, operation, value)
    if operation == "Posterize":
        return functional.posterize(image, round(value))
    if operation == "Solarize":
        return functional.solarize(image, value)
    change = {
        "Contrast": functional.adjust_contrast,
        "Color": functional.adjust_saturation,
        "Brightness": functional.adjust_brightness,
        "Sharpness": functional.adjust_sharpness,
    }[operation]
    return change(image, value)


def _moved(image: Tensor, operation: str, value: float) -> Tensor:
    """Affine, by cubic splines as released; what comes in from outside is black."""
    from scipy.ndimage import affine_transform

    height, width = image.shape[1:]
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
    return torch.stack([torch.from_numpy(affine_transform(channel, matrix, offset)) for channel in image.numpy()])


def _cutout(image: Tensor) -> Tensor:
    """Grey (the image's mean over all channels) from a drawn corner on, 16 pixels down; to the right as released.

    Where the corner lies inside the image its row is also taken for its column, so what becomes grey is 0 to 31 pixels wide.
    """
    height, width = image.shape[1:]
    top = int(torch.randint(-_SQUARE // 2, height - _SQUARE, ()))
    left = int(torch.randint(-_SQUARE // 2, width - _SQUARE, ()))
    bottom, right = top + _SQUARE, left + _SQUARE
    top = max(top, 0)
    left = 0 if left < 0 else top
    image = image.clone()
    image[:, top:bottom, left:right] = int(image.float().mean())
    return image


def _uniform() -> float:
    return float(torch.rand(()))
