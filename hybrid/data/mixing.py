"""Mixup and cutmix, which make one image of two in a batch, and one label."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from hybrid.data.augmentation import Augmentation
from hybrid.data.randomness import numpy_generator
from hybrid.lazy import LazyModule

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = LazyModule("torch")


def draw_partners(total: int, *, seed: int, epoch: int, step: int) -> tuple[np.ndarray, np.random.Generator]:
    """Which images of a step's batch are mixed with each other, by draws that depend on (seed, epoch, step) alone.

    Returns (total,) int64, for each image the one that it is mixed with, a random permutation; and the generator, which draws
    how they are mixed (`mix`).
    """
    random = numpy_generator(seed, "mixing", epoch, step)
    return random.permutation(total), random


def mix(
    images: Tensor,
    labels: Tensor,
    partners: Tensor,
    random: np.random.Generator,
    *,
    augmentation: Augmentation,
    num_classes: int,
) -> tuple[Tensor, Tensor]:
    """(images (own, C, H, W), targets (own, num_classes) float32): the first `own` = len(partners) images, mixed.

    Labels are classes (N,), or (N, num_classes) float32, which are averaged with the weights of the two images.

    Each is mixed with the image in its row of `partners`. `random` is that of `draw_partners`, the same on all ranks. Mixup
    (Zhang et al. 2018) gives float images in [0, 1]; cutmix (Yun et al. 2019) leaves uint8, and its weight is the exact area
    that was kept.
    """
    from hybrid.data.preprocessing import unit_range

    partners, own = partners.to(images.device, non_blocking=True), len(partners)
    use_cutmix = augmentation.cutmix > 0 and (augmentation.mixup == 0 or random.random() < 0.5)
    alpha = augmentation.cutmix if use_cutmix else augmentation.mixup
    weight = float(random.beta(alpha, alpha))
    if use_cutmix:
        top, bottom, left, right = _box(random, weight, height=images.shape[-2], width=images.shape[-1])
        mixed = images[:own].clone()
        mixed[..., top:bottom, left:right] = images[partners, :, top:bottom, left:right]
        weight = 1 - (bottom - top) * (right - left) / (images.shape[-2] * images.shape[-1])
    else:
        unit = unit_range(images)
        mixed = weight * unit[:own] + (1 - weight) * unit[partners]
    weights = labels if labels.is_floating_point() else torch.nn.functional.one_hot(labels, num_classes).float()
    return mixed, weight * weights[:own] + (1 - weight) * weights[partners]


def _box(random: np.random.Generator, weight: float, *, height: int, width: int) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) of a box with 1 - weight of the area, centred anywhere and cut off at the border."""
    side = math.sqrt(1 - weight)
    half_height, half_width = int(height * side) // 2, int(width * side) // 2
    y, x = int(random.integers(height)), int(random.integers(width))
    return max(0, y - half_height), min(height, y + half_height), max(0, x - half_width), min(width, x + half_width)
