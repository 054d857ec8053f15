"""AutoAugment, RandAugment and TrivialAugment of torchvision, and `psn_policy`, with one seed for each image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hybrid.data.augmentation import Augmentation
from hybrid.data.psn_policy import ReleasedPolicy


def make_policy(augmentation: Augmentation) -> Any:
    """What `apply_seeded` applies for `augmentation.policy`: torchvision's transform of one image, or `ReleasedPolicy`.

    The transform draws from torch's global generator. AutoAugment: Cubuk et al. 2019. RandAugment: Cubuk et al. 2020, by
    default 2 operations of magnitude 9. TrivialAugmentWide: Müller and Hutter 2021. Pixels that a rotation or shift brings in
    are black.
    """
    name = augmentation.policy or ""
    if name == "psn":
        return ReleasedPolicy()
    from torchvision.transforms import v2  # here: it takes a second to import, and most runs don't need it

    if name.startswith("autoaugment_"):
        return v2.AutoAugment(v2.AutoAugmentPolicy(name.removeprefix("autoaugment_")))
    if name == "trivialaugment":
        return v2.TrivialAugmentWide()
    magnitude = 9 if augmentation.magnitude is None else augmentation.magnitude
    return v2.RandAugment(num_ops=augmentation.operations or 2, magnitude=magnitude)


def apply_seeded(policy: Any, images: Tensor, seeds: Sequence[int]) -> Tensor:
    """Apply a policy to each image of a batch, uint8 (N, C, H, W) of at least one, under a seed of its own.

    torchvision draws from torch's global CPU generator, which is set for each image and restored at the end.
    (`torch.manual_seed` would set those of the GPUs, too.)
    """
    if isinstance(policy, ReleasedPolicy):
        return policy(images, seeds)
    generator = torch.default_generator
    before = generator.get_state()
    try:
        results = []
        for image, seed in zip(images, seeds, strict=True):
            generator.manual_seed(seed)
            results.append(policy(image))
        return torch.stack(results)
    finally:
        generator.set_state(before)
