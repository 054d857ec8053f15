"""A plain convolutional head like VGG: kymatio's CIFAR example on coefficients, VGG-16 on pixels."""

from __future__ import annotations

from torch import Tensor, nn

from hybrid.models.layers import (
    USUAL_NORM,
    BatchNorm,
    average_pool,
    check_positive,
    convolution_norm_relu,
    dropout_layer,
    fully_connected,
)
from hybrid.ranges import Rate, Side, Widths


class CNN(nn.Module):
    """Groups of 3x3 convolutions, average pooling and fully connected layers: (N, C, H, W) -> logits (N, num_classes).

    Each convolution has batch norm and a ReLU, and 2x2 max pooling stands between two groups.

    Args:
        input_shape: (C, H, W) of the features.
        num_classes: the number of logits.
        widths: channels of the convolutions, group by group.
        pool: the last map is averaged onto pool x pool cells.
        hidden: widths of the fully connected layers before the last.
        dropout: rate in [0, 1) before each fully connected layer.
        norm: the settings of all batch norm layers.

    Raises:
        ValueError: a value is out of range, or the map is too small for so many groups.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_classes: int,
        *,
        widths: tuple[Widths, ...] = ((256, 256, 256), (512, 512, 512, 1024, 1024)),
        pool: Side = 2,
        hidden: Widths = (),
        dropout: Rate = 0.0,
        norm: BatchNorm = USUAL_NORM,
    ) -> None:
        super().__init__()
        channels, height, width = input_shape
        layers: list[nn.Module] = []
        for number, group in enumerate(widths):
            check_positive(widths=group)
            if number:
                _check_pooling(number, height, width)
                layers.append(nn.MaxPool2d(2))
                height, width = height // 2, width // 2
            for outputs in group:
                layers.append(convolution_norm_relu(channels, outputs, norm, bias=True))
                channels = outputs
        self.features = nn.Sequential(*layers)
        self.pool = average_pool((height, width), pool)
        self.dropout = dropout_layer(dropout)
        sizes = (channels * pool**2, *hidden, num_classes)
        self.classifier = fully_connected(sizes, dropout_rate=dropout, norm=norm)
        self.learning_rate = 0.01 if hidden else 0.03  # from the first step on; 0.1 is too large for these layers

    def forward(self, features: Tensor) -> Tensor:
        return self.classifier(self.dropout(self.pool(self.features(features)).flatten(1)))


def _check_pooling(groups: int, height: int, width: int) -> None:
    if min(height, width) < 2:
        raise ValueError(
            f"widths: after {groups} groups the map is {height}x{width} and cannot be halved; at most {groups} groups fit"
        )
