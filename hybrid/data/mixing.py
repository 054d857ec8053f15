"""Mixup and cutmix: two images of a batch become one, and so do their labels."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hybrid.data.augmentation import Augmentation
from hybrid.data.preprocessing import unit_range
from hybrid.data.randomness import numpy_generator


def mix(
    images: Tensor, labels: Tensor, *, augmentation: Augmentation, num_classes: int, seed: int, epoch: int, step: int
) -> tuple[Tensor, Tensor]:
    """(images (N, C, H, W), targets (N, num_classes) float32), by draws that depend on (seed, epoch, step) alone.

    Each image is mixed with another of the batch, a random permutation of it saying which. Mixup (Zhang et al. 2018) gives
    float images in [0, 1]; cutmix (Yun et al. 2019) leaves uint8, and its weight is the exact area that was kept.
    """
    random = numpy_generator(seed, "mixing", epoch, step)
    partner = torch.from_numpy(random.permutation(len(images))).to(images.device)
    use_cutmix = augmentation.cutmix > 0 and (augmentation.mixup == 0 or random.random() < 0.5)
    alpha = augmentation.cutmix if use_cutmix else augmentation.mixup
    weight = float(random.beta(alpha, alpha))
    if use_cutmix:
        top, bottom, left, right = _box(random, weight, height=images.shape[-2], width=images.shape[-1])
        mixed = images.clone()
        mixed[..., top:bottom, left:right] = images[partner, :, top:bottom, left:right]
        weight = 1 - (bottom - top) * (right - left) / (images.shape[-2] * images.shape[-1])
    else:
        own = unit_range(images)
        mixed = weight * own + (1 - weight) * own[partner]
    one_hot = functional.one_hot(labels, num_classes).float()
    return mixed, weight * one_hot + (1 - weight) * one_hot[partner]


def _box(random: np.random.Generator, weight: float, *, height: int, width: int) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) of a box with 1 - weight of the area, centred anywhere, cut at the border."""
    side = math.sqrt(1 - weight)
    half_height, half_width = int(height * side) // 2, int(width * side) // 2
    y, x = int(random.integers(height)), int(random.integers(width))
    return max(0, y - half_height), min(height, y + half_height), max(0, x - half_width), min(width, x + half_width)
