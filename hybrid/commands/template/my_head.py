"""A head of one's own: features of any size to logits."""

from torch import Tensor, nn


class MyHead(nn.Module):
    """The mean of every channel, then a small network."""

    def __init__(self, input_shape: tuple[int, int, int], num_classes: int, *, hidden: int = 32) -> None:
        """input_shape (C, H, W) and num_classes come from the front-end and the data; `hidden` is set in the yaml."""
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(input_shape[0], hidden), nn.ReLU(), nn.Linear(hidden, num_classes))

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, C, H, W) to logits (N, num_classes)."""
        return self.layers(features.mean((2, 3)))
