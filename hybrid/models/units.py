"""The last step of a network that predicts values: from standardised numbers to the values' own units."""

from __future__ import annotations

from torch import Tensor, nn


class Units(nn.Module):
    """Outputs (N, K), in standard deviations from the mean -> values (N, K) in their own units.

    Args:
        mean, std: (K,) float32, of each value over the training images. They are buffers, and so a part of every checkpoint.
    """

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean.clone())
        self.register_buffer("std", std.clone())

    def forward(self, outputs: Tensor) -> Tensor:
        return outputs.to(self.std.dtype) * self.std + self.mean
