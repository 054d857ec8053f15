"""Shift consistency: how often a network's class stays when the image moves by one pixel.

The flip rate is the share of images whose class changes, as in "Making Convolutional Networks Shift-Invariant Again" (Zhang, ICML
2019) and in the work on modulus twins (Leterme et al., EUSIPCO 2024). There images are cut out of larger ones. Here they have
the size of the network, and the row or column that comes in repeats the edge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hybrid.analysis.perturbations import check_images
from hybrid.errors import UserError

DIRECTIONS = tuple((down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if (down, right) != (0, 0))


@dataclass(frozen=True)
class ShiftConsistency:
    """flips: (8, N) bool, whether the class of an image changes, for each of `DIRECTIONS` (rows down, columns right)."""

    flips: Tensor

    @property
    def flip_rate(self) -> float:
        """In % of all images and directions."""
        return 100 * self.flips.double().mean().item()

    @property
    def diagonal_flip_rate(self) -> float:
        """In %, of the four diagonal directions alone, which is what is published."""
        diagonal = [bool(down and right) for down, right in DIRECTIONS]
        return 100 * self.flips[diagonal].double().mean().item()


@torch.no_grad()
def measure_shift_consistency(
    outputs: Callable[[Tensor], Tensor], images: Tensor, *, batch_size: int = 64
) -> ShiftConsistency:
    """Compare the classes of images with those of the images moved by one pixel to each of eight sides.

    Args:
        outputs: images (n, C, H, W) -> (n, K), of which the largest is the class. It must put its model into evaluation mode.
        images: (N, C, H, W) floating-point, before normalisation.
        batch_size: images at a time.

    Raises UserError for images that are not (N, C, H, W), and for outputs that are not (n, K) with two classes or more.
    """
    check_images(images)
    parts = []
    for block in images.split(batch_size):
        own = _classes(outputs(block), len(block))
        moved = [_classes(outputs(shifted(block, *direction)), len(block)) for direction in DIRECTIONS]
        parts.append(torch.stack(moved) != own)
    return ShiftConsistency(torch.cat(parts, 1).cpu())


def shifted(images: Tensor, down: int, right: int) -> Tensor:
    """Images (N, C, H, W) moved by -1, 0 or 1 pixels; what comes in repeats the edge."""
    height, width = images.shape[-2:]
    padded = nn.functional.pad(images, (1, 1, 1, 1), mode="replicate")
    return padded[..., 1 - down : 1 - down + height, 1 - right : 1 - right + width].contiguous()


def _classes(outputs: Tensor, images: int) -> Tensor:
    if outputs.ndim != 2 or len(outputs) != images or outputs.shape[1] < 2:
        raise UserError(f"shift consistency needs outputs (n, K) of two classes or more, got {tuple(outputs.shape)}.")
    return outputs.argmax(1)
