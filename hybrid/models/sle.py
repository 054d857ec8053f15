"""The shared local encoder: 1x1 convolutions that see one scattering window each, then fully connected layers.

"Scaling the Scattering Transform: Deep Hybrid Networks" (ICCV 2017), section 3: AlexNet's accuracy on ImageNet from J=4
coefficients (1,251 maps of 14x14). Its code was never released; what was chosen here is in docs/guide/models.md.
"""

from __future__ import annotations

from typing import Literal

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


class SharedLocalEncoder(nn.Module):
    """1x1 convolutions, average pooling and fully connected layers: (N, C, H, W) -> logits (N, num_classes).

    Args:
        input_shape: (C, H, W) of the coefficients.
        num_classes: the number of logits.
        encoder: widths of the 1x1 convolutions, each with batch norm and a ReLU.
        pool: the encoding is averaged onto pool x pool cells; "auto" is 2, or 1 on a map of one pixel.
        hidden: widths of the fully connected layers before the last, each with batch norm and a ReLU.
        dropout: rate in [0, 1) after every hidden layer.
        encoder_dropout: rate in [0, 1) on the pooled encoding.
        norm: the settings of all batch norm layers.

    Raises:
        ValueError: a value is out of range.
    """

    learning_rate = 0.01  # three wide fully connected layers: 0.1 is unstable at the start

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_classes: int,
        *,
        encoder: Widths = (1024, 1024, 1024),
        pool: Literal["auto"] | Side = "auto",
        hidden: Widths = (1524, 1524),
        dropout: Rate = 0.5,
        encoder_dropout: Rate = 0.0,
        norm: BatchNorm = USUAL_NORM,
    ) -> None:
        super().__init__()
        check_positive(encoder=encoder)
        channels, height, width = input_shape
        layers = []
        for outputs in encoder:
            layers.append(convolution_norm_relu(channels, outputs, norm, kernel=1))
            channels = outputs
        self.encoder = nn.Sequential(*layers)
        cells = min(2, height, width) if pool == "auto" else pool
        self.pool = average_pool((height, width), cells)
        self.dropout = dropout_layer(encoder_dropout)
        sizes = (channels * cells**2, *hidden, num_classes)
        self.classifier = fully_connected(sizes, dropout_rate=dropout, norm=norm)

    def forward(self, features: Tensor) -> Tensor:
        return self.classifier(self.dropout(self.pool(self.encoder(features)).flatten(1)))
