"""From pixels to the model's input: the last step in training, evaluation, prediction and export."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from hybrid.data.scale import Scale, check_scale, check_statistics


class Normalize(nn.Module):
    """(pixel - mean) / std: images (N, C, H, W), uint8 or float in [0, 1], → float32.

    `mean` and `std` have one value in 0..1 for each channel; 0 and 1 leave the pixels in [0, 1]. Raises ValueError if a std is
    not positive or the lengths differ.
    """

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        check_statistics(mean, std)
        self.mean, self.std = mean, std
        scale = torch.tensor([1 / value for value in std]).view(-1, 1, 1)
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("pixel_scale", scale / 255, persistent=False)
        self.register_buffer("shift", -torch.tensor(mean).view(-1, 1, 1) * scale, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        # Two passes over memory instead of four: of all steps before the model, a small image takes longest in this one.
        if images.is_floating_point():
            return images.float() * self.scale + self.shift
        return (images * self.pixel_scale).add_(self.shift)


class LocalContrast(nn.Module):
    """Local contrast normalisation: images (N, C, H, W), uint8 or float in [0, 1], → float32 of the same shape.

    This is Torch7's SpatialContrastiveNormalization as the released STL-10 code of Oyallon et al. 2017 uses it. A 7 × 7
    Gaussian window (σ = 1.75) is spread evenly over the channels so that its sum is 1. It gives one local mean for all
    channels, which is subtracted, and then one local standard deviation of the result, by which it is divided. Both are
    zero-padded and divided by the window's response to ones, which corrects the border; for the deviation this is done after
    the square root, as in Torch7. Deviations of 1e-4 or less become 1e-4.
    """

    THRESHOLD = 1e-4

    def __init__(self, channels: int) -> None:
        super().__init__()
        profile = torch.exp(-(torch.arange(-3.0, 4.0) ** 2) / (2 * 1.75**2))
        window = torch.outer(profile, profile)
        window = window / (window.sum() * channels)
        self.register_buffer("window", window.expand(1, channels, 7, 7).contiguous(), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        images = unit_range(images)
        border = self._blur(torch.ones_like(images[:1]))
        centred = images - self._blur(images) / border
        deviation = self._blur(centred.square()).clamp_min(0).sqrt() / border
        # Torch7's Threshold replaces values by the one that it compares with, so it is exactly a clamp.
        return centred / deviation.clamp_min(self.THRESHOLD)

    def _blur(self, images: Tensor) -> Tensor:
        return functional.conv2d(images, self.window, padding=3)


def unit_range(images: Tensor) -> Tensor:
    """Images as float32 in [0, 1]: uint8 is divided by 255, float is in [0, 1] already."""
    return images.float() if images.is_floating_point() else images.float() / 255


def preprocessing(normalize: Scale, *, channels: int) -> nn.Module:
    """A module for images (N, channels, H, W), uint8 or float in [0, 1], → float32 as a model takes them.

    normalize: the statistics by which pixels are standardised; "none" leaves them in [0, 1]; "contrast" is `LocalContrast`.
        "auto" is nothing that is known here: `Data.measured` is.
    Raises UserError for statistics of another number of channels, and for impossible ones.
    """
    if normalize == "contrast":
        return LocalContrast(channels)
    if normalize == "none":
        return Normalize((0.0,) * channels, (1.0,) * channels)
    check_scale(normalize, channels=channels)
    return Normalize(normalize.mean, normalize.std)
