"""What both kinds of loader do with a batch of uint8 images once it lies on the device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hybrid.data.augmentation import Augmentation, BatchAugmenter
from hybrid.data.batch import Batch, Portion
from hybrid.data.mixing import draw_partners, mix


@dataclass(frozen=True)
class BatchFinisher:
    """Augmentation, preprocessing and the device: all that a loader needs beside its images.

    fill: (C,) uint8, the colour of cutout. preprocessing: on `device` already.
    """

    augmentation: Augmentation
    preprocessing: nn.Module
    fill: Tensor
    num_classes: int
    device: torch.device
    seed: int

    @property
    def augmenter(self) -> BatchAugmenter:
        return BatchAugmenter(self.augmentation, fill=self.fill)

    @torch.no_grad()
    def finish(self, images: Tensor, labels: Tensor, indices: Tensor, *, portion: Portion, epoch: int) -> Batch:
        """Mix with the portion's partners (if it has them), preprocess and pack; everything lies on the device."""
        own = portion.own
        targets = labels
        if portion.partners is not None:
            _, random = draw_partners(portion.total, seed=self.seed, epoch=epoch, step=portion.step)
            settings = {"augmentation": self.augmentation, "num_classes": self.num_classes}
            images, targets = mix(images, labels, portion.partners, random, **settings)
        return Batch(self.preprocessing(images), labels[:own], targets, indices[:own])
