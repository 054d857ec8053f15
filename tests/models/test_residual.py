"""Residual heads: the order of operations, initial weights, automatic sizes, dropout."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from hybrid.models.layers import BatchNorm, average_pool
from hybrid.models.residual import BasicBlock
from hybrid.models.resnet import auto_strides, resnet
from hybrid.models.wide_resnet import wide_resnet


def normalised(x, norm):
    return functional.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)


@pytest.mark.parametrize(("width", "stride"), [(6, 1), (9, 1), (6, 2)])
def test_block_is_post_activation(width, stride):
    block = BasicBlock(6, width, stride=stride, norm=BatchNorm(), dropout_rate=0.0).eval()
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight), nn.init.normal_(module.bias), nn.init.normal_(module.running_mean)
    x = torch.randn(2, 6, 5, 5)
    y = functional.conv2d(x, block.conv1.weight, stride=stride, padding=1)
    y = functional.conv2d(normalised(y, block.norm1).relu(), block.conv2.weight, padding=1)
    shortcut = x
    if width != 6 or stride != 1:
        convolution, norm = block.shortcut
        assert convolution.kernel_size == (1, 1)
        shortcut = normalised(functional.conv2d(x, convolution.weight, stride=stride), norm)
    else:
        assert isinstance(block.shortcut, nn.Identity)
    torch.testing.assert_close(block(x), (normalised(y, block.norm2) + shortcut).relu())


def test_initial_weights():
    network = wide_resnet((10, 8, 8), 10, k=8)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            expected = math.sqrt(2 / (module.kernel_size[0] ** 2 * module.out_channels))
            assert module.weight.std().item() == pytest.approx(expected, rel=0.05)
            assert module.bias is None
        if isinstance(module, nn.BatchNorm2d):
            assert torch.equal(module.weight, torch.ones_like(module.weight)) and not module.bias.any()


def test_only_the_stem_of_the_imagenet_network_has_a_bias():
    biased = [
        name for name, m in resnet((9, 8, 8), 3).named_modules() if isinstance(m, nn.Conv2d) and m.bias is not None
    ]
    assert biased == ["stem.0"]


@pytest.mark.parametrize(
    ("side", "widths", "strides"),
    [
        (28, [256, 512], [1, 2]),
        (16, [256, 512], [1, 2]),
        (12, [128, 256], [1, 2]),
        (8, [64, 128], [1, 2]),
        (7, [64, 128], [1, 2]),
        (3, [64, 128], [1, 1]),
        (1, [64, 128], [1, 1]),
    ],
)
def test_auto_widths_and_strides(side, widths, strides):
    with torch.device("meta"):
        network = resnet((5, side, side + 4), 10)
    assert [stage[0].conv1.out_channels for stage in network.stages] == widths
    assert [stage[0].conv1.stride[0] for stage in network.stages] == strides
    assert network.stem[0].out_channels == widths[0]


def test_auto_strides_stop_before_the_map_vanishes():
    assert auto_strides(8, 4) == (1, 2, 2, 1)  # 8, 4, 2, 2


def test_explicit_values_win_over_auto():
    with torch.device("meta"):
        network = resnet((5, 28, 28), 10, widths=(3, 4, 5), strides=(2, 1, 1), stem_width=7, blocks=(1, 2, 3))
    assert network.stem[0].out_channels == 7
    assert [len(stage) for stage in network.stages] == [1, 2, 3]
    assert [stage[0].conv1.out_channels for stage in network.stages] == [3, 4, 5]
    assert [stage[0].conv1.stride[0] for stage in network.stages] == [2, 1, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strides": (1, 2), "widths": (4,)}, r"widths \[4\], blocks \[2\] and strides \[1, 2\]"),
        ({"strides": (4, 4)}, "stage 2 has stride 4, but its map is only 2x2"),
        ({"widths": (0, 4)}, r"widths is \(0, 4\); it takes whole numbers from 1"),
        ({"blocks": 0}, "blocks is 0; it takes"),
        ({"pool": 5}, "pool is 5; a map of 4x4 takes 1 to 4"),
        ({"dropout": 1.0}, r"dropout rate is 1.0; it is a number in \[0, 1\)"),
    ],
)
def test_impossible_settings(arguments, message):
    with pytest.raises(ValueError, match=message):
        resnet((5, 8, 8), 10, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"momentum": 0.0}, r"momentum is 0.0; it is a number in \(0, 1\]"),
        ({"momentum": 1.1}, "momentum is 1.1"),
        ({"eps": 0.0}, "eps is 0.0"),
    ],
)
def test_impossible_batch_norm(arguments, message):
    with pytest.raises(ValueError, match=message):
        BatchNorm(**arguments)


def test_batch_norm_settings_reach_every_layer():
    network = resnet((5, 8, 8), 10, widths=(4, 8), norm=BatchNorm(momentum=0.3, eps=1e-3, affine=False))
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 10
    assert {(norm.momentum, norm.eps, norm.affine) for norm in norms} == {(0.3, 1e-3, False)}


@pytest.mark.parametrize("where", ["dropout", "classifier_dropout"])
def test_dropout_acts_in_training_only(where):
    network = wide_resnet((5, 8, 8), 10, k=1, **{where: 0.5})
    x = torch.randn(4, 5, 8, 8)
    assert not torch.equal(network(x), network(x))
    network.eval()
    assert torch.equal(network(x), network(x))
    dropped = [name for name, module in network.named_modules() if isinstance(module, nn.Dropout)]
    blocks = [f"stages.{stage}.{block}.dropout" for stage in (0, 1) for block in (0, 1)]
    assert dropped == (blocks if where == "dropout" else ["dropout"])


@pytest.mark.parametrize(("shape", "size"), [((8, 8), 2), ((7, 7), 2), ((9, 6), 3), ((5, 3), 1), ((3, 3), 2)])
def test_pooling_is_the_adaptive_one_with_a_deterministic_gradient(shape, size):
    x = torch.randn(2, 3, *shape)
    torch.testing.assert_close(average_pool(shape, size)(x), functional.adaptive_avg_pool2d(x, size))


def test_preactivation_blocks_end_in_a_norm_and_have_the_initial_weights_of_the_fan_in():
    torch.manual_seed(0)
    network = wide_resnet((3, 16, 16), 10, k=2, n=1, stem_stride=2, preactivation=True, initial="fan_in")
    assert isinstance(network.stem, torch.nn.Conv2d) and network.stem.stride == (2, 2)
    assert network(torch.zeros(2, 3, 16, 16)).shape == (2, 10) and isinstance(network.last[0], torch.nn.BatchNorm2d)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in network.stages[0][0].shortcut.modules())
    assert network.stages[1][0].conv2.weight.std().item() == pytest.approx((2 / (9 * 128)) ** 0.5, rel=0.02)
    with pytest.raises(ValueError, match="initial is zeros"):
        wide_resnet((3, 8, 8), 10, k=1, initial="zeros")
