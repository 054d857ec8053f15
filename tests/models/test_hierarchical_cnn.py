"""Convolutions along attributes: against loops, shifts along an attribute, and the published numbers of parameters."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hybrid.models.hierarchical_cnn import AttributeConv2d, HierarchicalCNN, SharedConv2d, same_padding


def by_loops(layer, x, *, stride):
    """The definition: a sum over space and both attributes, with TensorFlow's zeros at every border."""
    a, b = layer.axes_in
    filters, inputs, kernel = layer.weight.shape[:3]
    steps = [1 if length == 1 else 2 for length in layer.axes_in]
    x = x.unflatten(1, (a, b, inputs))
    pads = [same_padding(n, k, s) for n, k, s in zip((a, b), layer.weight.shape[-2:], steps, strict=True)]
    space = [same_padding(side, kernel, stride) for side in x.shape[-2:]]
    x = F.pad(x, (*space[1], *space[0], 0, 0, *pads[1], *pads[0]))
    rows = []
    for oa in range(layer.axes[0]):
        for ob in range(layer.axes[1]):
            total = 0
            for ka in range(layer.weight.shape[-2]):
                for kb in range(layer.weight.shape[-1]):
                    total = total + F.conv2d(
                        x[:, steps[0] * oa + ka, steps[1] * ob + kb], layer.weight[..., ka, kb], stride=stride
                    )
            rows.append(total)
    return torch.cat(rows, 1)


@pytest.mark.parametrize(
    ("axes", "inputs", "kernel", "stride"), [((1, 5), 1, 3, 1), ((4, 8), 1, 3, 2), ((3, 5), 2, 1, 1), ((1, 1), 3, 3, 1)]
)
def test_a_gathered_filter_gives_the_sum_of_the_definition(axes, inputs, kernel, stride):
    torch.manual_seed(0)
    layer = AttributeConv2d(axes, inputs, 3, kernel=kernel, stride=stride).double()
    x = torch.randn(2, axes[0] * axes[1] * inputs, 5, 6, dtype=torch.float64)
    torch.testing.assert_close(layer(x), by_loops(layer, x, stride=stride))


def test_the_factorised_form_filters_each_position_alike():
    layer = SharedConv2d(4, 3, stride=2)
    x = torch.randn(2, 4, 8, 8)
    out = layer(x).unflatten(1, (4, 3))
    torch.testing.assert_close(out[:, 2], SharedConv2d.forward(_alone(layer), x[:, 2:3]))


def _alone(layer):
    alone = SharedConv2d(1, 3, stride=2)
    alone.weight = layer.weight
    return alone


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "zeros"),
    [(8, 7, 2, (2, 3)), (16, 11, 2, (4, 5)), (32, 3, 2, (0, 1)), (5, 3, 1, (1, 1))],
)
def test_the_zeros_at_the_borders_are_those_of_tensorflow(size, kernel, stride, zeros):
    assert same_padding(size, kernel, stride) == zeros


@pytest.mark.parametrize("axis", [0, 1], ids=["older", "newer"])
def test_a_shift_along_an_attribute_by_two_shifts_the_output_by_one(axis):
    torch.manual_seed(0)
    lengths = [8, 16]
    lengths[axis] = 40
    layer = AttributeConv2d((lengths[0], lengths[1]), 1, 2).double()
    x = torch.randn(1, *lengths, 4, 4, dtype=torch.float64)
    apart = [layer(each.flatten(1, 2)).unflatten(1, (*layer.axes, 2)) for each in (x, x.roll(2, 1 + axis))]
    moved = apart[0].roll(1, 1 + axis)
    torch.testing.assert_close(apart[1].narrow(1 + axis, 5, 9), moved.narrow(1 + axis, 5, 9))
    assert not torch.allclose(apart[1], apart[0])


def test_eleven_convolutions_and_maps_of_32_16_and_8():
    network = HierarchicalCNN((3, 32, 32), 10)
    sizes = []
    for module in network.modules():
        if isinstance(module, AttributeConv2d):
            module.register_forward_hook(lambda _, __, output: sizes.append(tuple(output.shape[1:])))
    assert network.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
    assert sizes == [(16, 32, 32), (128, 32, 32), (512, 32, 32)] + [(512, 16, 16)] * 4 + [(512, 8, 8)] * 4
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {(norm.num_features, norm.momentum, norm.eps) for norm in norms} == {(16, 0.01, 1e-3)}


def test_three_fifths_of_a_gathered_filter_along_attributes_are_zeros():
    assert AttributeConv2d((8, 16), 32, 16, kernel=1).inside.double().mean().item() == pytest.approx(0.392, abs=1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"filters": 3}, "filters is 3; attributes are halved twice: 4 or more"),
        ({"inner": 8}, "inner has no effect with factorised=false"),
        ({"input_shape": (3, 3, 8)}, "images of 4x4 or more, not 3x8"),
    ],
)
def test_impossible_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        HierarchicalCNN(**{"input_shape": (3, 8, 8), "num_classes": 10, **settings})
