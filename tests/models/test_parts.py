"""What a part of a model says of itself, and the defaults for a class that says nothing; models of parts made in Python."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from hybrid.errors import UserError
from hybrid.models import build, parts
from hybrid.models.dense import Linear
from hybrid.models.frontends import Identity, Scattering
from hybrid.models.normalization import BatchNormalization, NoNormalization, StatisticsNormalization
from hybrid.models.wide_resnet import wide_resnet
from hybrid.taps import is_fitted

SHAPE = {"image_shape": (1, 16, 16), "num_classes": 3}


class Plain(nn.Module):
    """A user's part that says nothing of itself."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return self.layers(x)


def saying(**attributes):
    part = Plain(nn.Linear(4, 4))
    for name, value in attributes.items():
        setattr(part, name, value)
    return part


def test_what_a_part_does_not_say_has_a_default():
    part = Plain()
    assert not parts.is_fixed(part) and is_fitted(part) and not parts.prefers_channels_last(part)
    assert parts.parameter_groups(nn.Sequential(part)) == []
    assert parts.prefers_channels_last(Plain(nn.Conv2d(1, 1, 1)))
    with pytest.raises(UserError, match="model.frontend: Plain needs an attribute output_shape"):
        parts.output_shape(part)
    with pytest.raises(UserError, match="Plain has no statistics to fit"):
        parts.fit(part, [])


def test_what_a_part_says_counts():
    assert parts.output_shape(saying(output_shape=[3, 4, 5])) == (3, 4, 5)
    assert not is_fitted(saying(fitted=False))
    assert parts.prefers_channels_last(saying(prefers_channels_last=True))
    convolution = Plain(nn.Conv2d(1, 1, 1))
    convolution.prefers_channels_last = False
    assert not parts.prefers_channels_last(convolution)


def test_what_is_fixed_is_not_trained():
    part = saying(fixed=True)
    assert not parts.is_fixed(part) and len(parts.trainable_filters(part)) == 2
    part.requires_grad_(False)
    assert parts.is_fixed(part) and parts.trainable_filters(part) == []
    assert parts.is_fixed(Scattering((1, 16, 16))) and not parts.is_fixed(BatchNormalization((1, 4, 4)))


def test_a_model_of_classes_functions_and_modules():
    model = build(
        frontend=partial(Scattering, J=2),
        normalization=StatisticsNormalization,
        head=partial(wide_resnet, k=1, n=1),
        **SHAPE,
    )
    assert model.needs_statistics and model.head.stem[0].in_channels == 81
    model.fit_statistics([torch.rand(4, 1, 16, 16)])
    assert model(torch.rand(2, 1, 16, 16)).shape == (2, 3)
    ready = Plain(nn.Flatten(), nn.Linear(256, 3))
    model = build(frontend=Identity((1, 16, 16)), normalization=NoNormalization, head=ready, **SHAPE)
    assert model.head is ready and model(torch.rand(2, 1, 16, 16)).shape == (2, 3)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (Linear((1, 8, 8), 3), r"model.head: hybrid.models.dense.Linear does not take \(N, 1, 16, 16\)"),
        (Linear((1, 16, 16), 4), r"gives \(2, 4\) for N = 2, and a tensor \(N, 3\) is wanted"),
        (partial(Linear, num_classes=3, bias=True), "called with input_shape and num_classes, and "),
        (lambda **shapes: "head", "model.head: a str is no torch.nn.Module"),
    ],
)
def test_parts_that_do_not_fit_are_one_line(head, message):
    with pytest.raises(UserError, match=message) as error:
        build(frontend=Identity, normalization=NoNormalization, head=head, **SHAPE)
    assert "\n" not in str(error.value)
