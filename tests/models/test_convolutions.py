"""Harmonic and wavelet convolutions in the residual heads."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hybrid.models.convolutions import HarmonicConv2d, HarmonicStem, WaveletConv2d, cosines, haar, inverse_haar
from hybrid.models.resnet import resnet
from hybrid.models.wide_resnet import wide_resnet

PUBLISHED = {"n": 4, "k": 10, "widths": (16, 32, 64), "strides": (1, 2, 2), "widen_stem": False, "preactivation": True}


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_all_nine_cosines_span_every_filter_and_fewer_are_the_lowest():
    atoms = cosines(3, 5)
    assert torch.linalg.matrix_rank(atoms.flatten(1)) == 9 and len(cosines(3, 3)) == 6 and len(cosines(3, 2)) == 3
    torch.testing.assert_close(atoms.abs().sum((1, 2)), torch.ones(9))
    torch.testing.assert_close(atoms[0], torch.full((3, 3), 1 / 9))
    gram = atoms.flatten(1) @ atoms.flatten(1).T
    torch.testing.assert_close(gram, torch.diag(gram.diagonal()), atol=1e-7, rtol=0)


def test_a_harmonic_convolution_is_the_ordinary_one_with_the_summed_filters():
    torch.manual_seed(0)
    layer = HarmonicConv2d(4, 6, stride=2, bias=True, harmonics=3)
    x = torch.randn(2, 4, 9, 7)
    bands = torch.stack(
        [F.conv2d(x.flatten(0, 1)[:, None], atom[None, None], stride=2, padding=1) for atom in layer.atoms], 1
    )
    summed = torch.einsum("oin,binyx->boyx", layer.weight, bands.unflatten(0, (2, 4)).squeeze(3))
    torch.testing.assert_close(layer(x), summed + layer.bias[:, None, None], rtol=1e-4, atol=1e-5)
    assert set(layer.state_dict()) == {"weight", "bias"} and layer.weight.shape == (6, 4, 6)


def test_the_published_harmonic_network_has_two_thirds_of_the_weights():
    with torch.device("meta"):
        harmonic = wide_resnet((3, 32, 32), 10, **PUBLISHED, conv="harmonic", harmonics=3)
        plain = wide_resnet((3, 32, 32), 10, **PUBLISHED)
    assert parameters(harmonic) == pytest.approx(24.4e6, rel=1e-3) and parameters(plain) == 36_479_194


def test_the_stem_of_a_harmonic_network_brings_the_bands_to_one_scale():
    torch.manual_seed(0)
    network = wide_resnet((5, 8, 8), 3, k=1, conv="harmonic")
    assert isinstance(network.stem[0], HarmonicStem) and isinstance(network.stages[0][0].conv1, HarmonicConv2d)
    assert not any(type(m) is nn.Conv2d and m.kernel_size == (3, 3) for m in network.modules())
    bands = []
    network.stem[0].norm.register_forward_hook(lambda _, __, output: bands.append(output))
    network(torch.randn(16, 5, 8, 8)).sum().backward()
    assert bands[0].shape == (16, 45, 8, 8) and network.stem[0].norm.weight is None
    torch.testing.assert_close(bands[0].std((0, 2, 3)), torch.ones(45), atol=1e-2, rtol=0)
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_the_haar_transform_is_orthonormal_and_inverted():
    x = torch.randn(2, 3, 6, 8, dtype=torch.float64)
    bands = haar(x)
    torch.testing.assert_close(inverse_haar(bands), x)
    torch.testing.assert_close(bands.square().sum(), x.square().sum())
    torch.testing.assert_close(bands[:, :, 0], 2 * F.avg_pool2d(x, 2))


@pytest.mark.parametrize(("levels", "stride", "size"), [(1, 1, (8, 8)), (2, 2, (9, 6)), (3, 1, (11, 13))])
def test_a_wavelet_convolution_keeps_channels_and_has_the_published_number_of_parameters(levels, stride, size):
    layer = WaveletConv2d(6, kernel=3, levels=levels, stride=stride)
    assert parameters(layer) == 6 * (9 + 2) + levels * 4 * 6 * (9 + 1)
    out = layer(torch.randn(2, 6, *size))
    assert out.shape == (2, 6, -(-size[0] // stride), -(-size[1] // stride))


def test_a_wavelet_convolution_that_only_passes_the_bands_on_gives_the_image_back():
    layer = WaveletConv2d(2, kernel=3, levels=2)
    with torch.no_grad():
        layer.scale.zero_()
        for convolution, scale in zip(layer.levels, layer.scales, strict=True):
            convolution.weight.zero_()
            convolution.weight[:, :, 1, 1] = 1
            scale.fill_(1)
        layer.scales[0].view(2, 4)[:, 0] = 0  # its mean comes back from the second level
    x = torch.randn(1, 2, 7, 9)
    torch.testing.assert_close(layer(x), x)


def test_wavelet_convolutions_in_a_network():
    network = resnet((5, 8, 8), 3, widths=(4, 8), conv="wtconv", levels=2)
    kinds = [type(module) for module in network.modules()]
    assert kinds.count(WaveletConv2d) == 8 and network(torch.randn(2, 5, 8, 8)).shape == (2, 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"conv": "gabor"}, "conv is gabor; it is one of standard, harmonic, wtconv"),
        ({"harmonics": 3}, "harmonics needs conv=harmonic"),
        ({"conv": "harmonic", "levels": 2}, "levels needs conv=wtconv"),
        ({"conv": "harmonic", "harmonics": 6}, "harmonics is 6; 3x3 filters have 1 to 5"),
        ({"conv": "wtconv", "levels": 0}, "levels is 0"),
        ({"block": "wide"}, "block is wide; it is one of basic, bottleneck"),
    ],
)
def test_impossible_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        resnet((5, 8, 8), 10, **settings)


def test_bottlenecks_have_no_preactivation_and_four_times_their_width():
    assert resnet((5, 8, 8), 10, widths=(4, 8), block="bottleneck").classifier.in_features == 32
