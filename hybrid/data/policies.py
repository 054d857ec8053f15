"""AutoAugment, RandAugment and TrivialAugment of torchvision, with one seed for each image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hybrid.data.augmentation import Augmentation


def make_policy(augmentation: Augmentation) -> Any:
    """The transform for `augmentation.policy`: uint8 (C, H, W) → the same, drawing from torch's global generator.

    AutoAugment: Cubuk et al. 2019; RandAugment: Cubuk et al. 2020 (defaults: 2 operations of magnitude 9); TrivialAugmentWide:
    Müller and Hutter 2021. Pixels that a rotation or shift brings in are black.
    """
    from torchvision.transforms import v2  # here: it takes a second to import, and most runs don't need it

    name = augmentation.policy or ""
    if name.startswith("autoaugment_"):
        return v2.AutoAugment(v2.AutoAugmentPolicy(name.removeprefix("autoaugment_")))
    if name == "trivialaugment":
        return v2.TrivialAugmentWide()
    magnitude = 9 if augmentation.magnitude is None else augmentation.magnitude
    return v2.RandAugment(num_ops=augmentation.operations or 2, magnitude=magnitude)


def apply_seeded(policy: Any, images: Tensor | Sequence[Tensor], seeds: Sequence[int]) -> list[Tensor]:
    """The policy on each image under its own seed; torch's global CPU generator comes back as it was.

    torchvision draws from that generator, so it is set and restored here; `torch.manual_seed` would also touch CUDA's.
    """
    generator = torch.default_generator
    before = generator.get_state()
    try:
        results = []
        for image, seed in zip(images, seeds, strict=True):
            generator.manual_seed(seed)
            results.append(policy(image))
        return results
    finally:
        generator.set_state(before)
