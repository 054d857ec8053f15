"""Heads that flatten the coefficients: one linear layer, or a stack of them."""

from __future__ import annotations

from torch import Tensor, nn

from hybrid.models.layers import USUAL_NORM, BatchNorm, check_positive, dropout_layer, flattened, fully_connected


class Linear(nn.Module):
    """(N, C, H, W) -> logits (N, num_classes): softmax regression on the flattened coefficients."""

    def __init__(self, input_shape: tuple[int, int, int], num_classes: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout_layer(dropout)
        self.classifier = nn.Linear(flattened(input_shape), num_classes)

    def forward(self, features: Tensor) -> Tensor:
        return self.classifier(self.dropout(features.flatten(1)))


class MLP(nn.Module):
    """(N, C, H, W) -> logits (N, num_classes): flatten, then fully connected layers with ReLU between them.

    `hidden` (1024, 1024) is kymatio's three-layer example. `dropout` acts after every hidden layer; `batch_norm` adds
    one between each hidden layer and its ReLU.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_classes: int,
        *,
        hidden: tuple[int, ...] = (1024, 1024),
        dropout: float = 0.0,
        batch_norm: bool = False,
        norm: BatchNorm = USUAL_NORM,
    ) -> None:
        super().__init__()
        check_positive(hidden=hidden)
        dropout_layer(dropout)  # refuses a rate that is no rate
        sizes = (flattened(input_shape), *hidden, num_classes)
        self.layers = fully_connected(sizes, dropout_rate=dropout, norm=norm if batch_norm else None)

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features.flatten(1))
