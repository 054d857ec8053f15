"""Heads that flatten the coefficients: one linear layer, or several."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor, nn

from hybrid.models.layers import USUAL_NORM, BatchNorm, check_positive, dropout_layer, flattened, fully_connected
from hybrid.ranges import Range, Rate, Widths

# A step of rate lr changes an output of a layer with n normalised inputs by lr · n times its gradient. So the rate that a
# flattened layer stands falls with n: measured from 5,184 to 510,384 inputs (scripts/measure_first_steps.py).
_RATE_OF_ONE_LAYER, _RATE_OF_SEVERAL = 50.0, 500.0  # the gradient of the first of several layers is smaller
_LARGEST_RATE = 0.1


class Linear(nn.Module):
    """One linear layer on the flattened coefficients (softmax regression): (N, C, H, W) -> logits (N, num_classes).

    Args:
        input_shape: (C, H, W) of the features.
        num_classes: the number of logits.
        dropout: rate in [0, 1) before it.
        initial_gain: the initial weights are drawn from N(0, gain² / inputs), and the biases are 0; None: torch's default.

    Raises:
        ValueError: a value is out of range.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_classes: int,
        *,
        dropout: Rate = 0.0,
        initial_gain: Annotated[float, Range(0, 1e6, above=True)] | None = None,
    ) -> None:
        super().__init__()
        if initial_gain is not None and not initial_gain > 0:
            raise ValueError(f"initial_gain is {initial_gain}; it is a number above 0, or null")
        self.dropout = dropout_layer(dropout)
        inputs = flattened(input_shape)
        self.classifier = nn.Linear(inputs, num_classes)
        if initial_gain is not None:
            nn.init.normal_(self.classifier.weight, std=initial_gain / inputs**0.5)
            nn.init.zeros_(self.classifier.bias)
        self.learning_rate = min(_LARGEST_RATE, _RATE_OF_ONE_LAYER / inputs)

    def forward(self, features: Tensor) -> Tensor:
        return self.classifier(self.dropout(features.flatten(1)))


class MLP(nn.Module):
    """Fully connected layers on the flattened coefficients, with ReLUs: (N, C, H, W) -> logits (N, num_classes).

    Args:
        input_shape: (C, H, W) of the features.
        num_classes: the number of logits.
        hidden: widths of the layers before the last; (1024, 1024) is kymatio's example of three layers.
        dropout: rate in [0, 1) after every hidden layer.
        batch_norm: whether batch norm stands between each hidden layer and its ReLU.
        norm: the settings of batch norm.

    Raises:
        ValueError: a value is out of range, or `norm` has no effect.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_classes: int,
        *,
        hidden: Widths = (1024, 1024),
        dropout: Rate = 0.0,
        batch_norm: bool = False,
        norm: BatchNorm = USUAL_NORM,
    ) -> None:
        super().__init__()
        check_positive(hidden=hidden)
        dropout_layer(dropout)  # refuses a rate that is none, also without hidden layers
        sizes = (flattened(input_shape), *hidden, num_classes)
        if not batch_norm and norm != USUAL_NORM:
            raise ValueError("the settings of norm have no effect with batch_norm=false")
        if not batch_norm:
            self.learning_rate = min(_LARGEST_RATE, _RATE_OF_SEVERAL / sizes[0])
        self.layers = fully_connected(sizes, dropout_rate=dropout, norm=norm if batch_norm else None)

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features.flatten(1))
