"""The table of layers, its totals, and the command that prints it."""

from __future__ import annotations

import functools
import math

import pytest
import torch
from torch import nn

from hybrid.models import describe
from hybrid.models.hybrid import HybridModel
from hybrid.models.normalization import NoNormalization


class Pixels(nn.Module):
    output_shape = (2, 6, 6)

    def forward(self, images):
        return images


def tiny(head: nn.Module) -> HybridModel:
    return HybridModel(Pixels(), NoNormalization((2, 6, 6)), head, image_shape=(2, 6, 6), num_classes=3)


def test_rows_of_a_small_network():
    head = nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    description = describe(tiny(head))
    rows = {layer.name: layer for layer in description.layers}
    assert list(rows) == ["frontend", "normalization", "head.0", "head.1", "head.2", "head.3"]
    convolution = rows["head.0"]
    assert (convolution.type, convolution.output_shape) == ("Conv2d", (4, 4, 4))
    assert (convolution.parameters, convolution.macs) == (4 * 9 + 4, 4 * 4 * 4 * 9)
    assert rows["head.3"].macs == 64 * 3
    assert (description.depth, description.macs) == (2, 576 + 192)
    assert description.scattering_flops is None


def test_depth_is_that_of_the_longest_path():
    class Forked(nn.Module):
        def __init__(self):
            super().__init__()
            self.long = nn.Sequential(nn.Linear(72, 5), nn.Linear(5, 5, bias=False), nn.Linear(5, 3))
            self.short = nn.Linear(72, 3)

        def forward(self, x):
            return self.long(x.flatten(1)) + self.short(x.flatten(1))

    assert describe(tiny(Forked())).depth == 3


def test_frozen_layers_keep_their_depth_and_leave_the_count():
    head = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(64, 3))
    head[0].requires_grad_(False)
    description = describe(tiny(head))
    assert (description.depth, description.parameters) == (2, 64 * 3 + 3)


def test_rows_add_up_and_the_model_is_left_alone(make):
    model = make("scat_wrn", "model.head.k=1").train()
    model.head.dropout.eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    description = describe(model)
    assert sum(layer.parameters for layer in description.layers) == description.parameters == 200_474
    assert description.layers[0].output_shape == (243, 8, 8)
    assert model.training and not model.head.dropout.training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_a_model_whose_statistics_are_missing_can_be_described(make):
    model = make("scat_linear", "model/normalization=statistics")
    assert describe(model).depth == 1
    assert model.needs_statistics


def test_fourier_transforms_of_a_small_scattering(make):
    model = make("scat_linear", "model.frontend.J=1", "model.frontend.L=4", shape=(1, 8, 8))
    full, half = 5 * 144 * math.log2(144), 5 * 36 * math.log2(36)  # padded to 12x12, then 6x6
    expected = full / 2 + half / 2 + 4 * (1.5 * full + half / 2)
    assert describe(model).scattering_flops == round(expected)


@pytest.fixture
def command(call):
    return functools.partial(call, "describe")


def test_command_prints_the_table_without_the_data(command, tmp_path):
    code, out, _ = command("model=scat_linear", "data=cifar10", f"data.root={tmp_path}", "data.download=false")
    assert not code
    assert "scat_linear on 3x32x32 (J=2, 243 maps of 8x8), 10 classes" in out
    assert "156,016 trainable parameters" in out and "head.classifier" in out


def test_command_takes_shape_and_classes(command, tmp_path):
    code, out, _ = command("model=scat_linear", "image_shape=[1,28,28]", "num_classes=7", "data=imagenet")
    assert not code and "scat_linear on 1x28x28 (J=2, 81 maps of 7x7), 7 classes" in out
    code, _, err = command("data=imagenet", f"data.root={tmp_path}")
    assert code == 2 and "give num_classes=" in err
    code, _, err = command("image_shape=[28,28]")
    assert code == 2 and "[channels, height, width]" in err
    code, _, err = command("num_classes=0")
    assert code == 2 and "num_classes=0" in err
