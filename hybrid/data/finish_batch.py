"""The last step of a loader: mixing and preprocessing a batch of uint8 images that lies on the device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hybrid.data.augmentation import Augmentation, BatchAugmenter
from hybrid.data.batch import Batch, Portion
from hybrid.data.mixing import draw_partners, mix


@dataclass(frozen=True)
class BatchFinisher:
    """Mixes the images of a batch, preprocesses them, and packs all of it.

    Attributes:
        augmentation: its settings.
        preprocessing: the module, on `device`.
        fill: (C,) uint8, the colour of cutout's square.
        num_classes: of the labels.
        device: where batches lie.
        seed: decides how images are mixed.
    """

    augmentation: Augmentation
    preprocessing: nn.Module
    fill: Tensor
    num_classes: int
    device: torch.device
    seed: int

    @property
    def augmenter(self) -> BatchAugmenter:
        """What crops, flips and cuts out."""
        return BatchAugmenter(self.augmentation, fill=self.fill)

    @torch.no_grad()
    def finish(
        self,
        images: Tensor,
        labels: Tensor,
        indices: Tensor,
        *,
        portion: Portion,
        epoch: int,
        draws: Tensor | None = None,
    ) -> Batch:
        """The batch of images (n, C, H, W) uint8, labels (n, …) and indices (n,), all of them on the device.

        draws: the rows of the augmentation's table for these images, where they train: they are cropped here if they are
            cropped after the preprocessing.
        """
        own = portion.own
        targets = labels
        if portion.partners is not None:
            _, random = draw_partners(portion.total, seed=self.seed, epoch=epoch, step=portion.step)
            settings = {"augmentation": self.augmentation, "num_classes": self.num_classes}
            images, targets = mix(images, labels, portion.partners, random, **settings)
        images = self.preprocessing(images)
        if draws is not None and self.augmentation.crops_last:
            images = self.augmenter.crop_and_flip(images, draws.to(images.device))
        return Batch(images, labels[:own], targets, indices[:own])
