"""Other convolutions for the residual heads: harmonic ones, whose filters are sums of cosines, and wavelet ones.

Ulicny, Krylov and Dahyot, "Harmonic Convolutional Networks based on Discrete Cosine Transform" (Pattern Recognition 2022),
and Finder et al., "Wavelet Convolutions for Large Receptive Fields" (ECCV 2024).
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hybrid.ranges import Range

Convolution = Literal["standard", "harmonic", "wtconv"]
Harmonics = Annotated[int, Range(1, 5)]
Levels = Annotated[int, Range(1, 10)]
_SIDE = 3
ALL_HARMONICS = 2 * _SIDE - 1


def cosines(side: int, harmonics: int) -> Tensor:
    """The two-dimensional DCT-II atoms of a side x side filter whose orders i + j are below `harmonics`: (n, side, side).

    The absolute values of each atom add up to 1.
    """
    places = torch.arange(side, dtype=torch.float64) + 0.5
    lines = torch.stack([torch.cos(math.pi * order * places / side) for order in range(side)])
    orders = [(i, j) for i in range(side) for j in range(side) if i + j < harmonics]
    atoms = torch.stack([torch.outer(lines[i], lines[j]) for i, j in orders])
    return (atoms / atoms.abs().sum((1, 2), keepdim=True)).float()


class HarmonicConv2d(nn.Conv2d):
    """A 3x3 convolution whose filters are learned sums of cosines: (N, inputs, H, W) -> (N, outputs, H / stride, W / stride).

    Its weight (outputs, inputs, n) holds the factors of the n atoms of `cosines`: 9 for harmonics=5, 6 for 3, 3 for 2. The
    filters are made anew in each pass, so that it costs what an ordinary convolution costs.
    """

    atoms: Tensor

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, bias: bool = False, harmonics: int) -> None:
        super().__init__(inputs, outputs, _SIDE, stride=stride, padding=_SIDE // 2, bias=bias)
        self.register_buffer("atoms", cosines(_SIDE, harmonics), persistent=False)
        self.weight = nn.Parameter(torch.empty(outputs, inputs, len(self.atoms)))
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, input: Tensor) -> Tensor:
        filters = torch.einsum("oin,nyx->oiyx", self.weight, self.atoms.to(self.weight.dtype))
        return self._conv_forward(input, filters, self.bias)


class HarmonicStem(nn.Module):
    """The harmonic convolution of a first layer: each channel by each cosine, batch norm without scale and shift, a 1x1
    convolution. (N, inputs, H, W) -> (N, outputs, H / stride, W / stride).

    The batch norm brings the bands to one scale; without it, harmonic networks lose against ordinary ones.
    """

    atoms: Tensor

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, bias: bool = False, harmonics: int) -> None:
        super().__init__()
        self.register_buffer("atoms", cosines(_SIDE, harmonics).repeat(inputs, 1, 1)[:, None], persistent=False)
        self.inputs, self.stride = inputs, stride
        self.norm = nn.BatchNorm2d(len(self.atoms), affine=False)
        self.mix = nn.Conv2d(len(self.atoms), outputs, 1, bias=bias)
        nn.init.kaiming_normal_(self.mix.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        bands = F.conv2d(x, self.atoms.to(x.dtype), stride=self.stride, padding=_SIDE // 2, groups=self.inputs)
        return self.mix(self.norm(bands))


def haar(x: Tensor) -> Tensor:
    """The orthonormal Haar transform of maps with even sides: (N, C, H, W) -> (N, C, 4, H / 2, W / 2), the mean first."""
    a, b, c, d = x[..., ::2, ::2], x[..., ::2, 1::2], x[..., 1::2, ::2], x[..., 1::2, 1::2]
    return torch.stack([a + b + c + d, a + b - c - d, a - b + c - d, a - b - c + d], 2) / 2


def inverse_haar(bands: Tensor) -> Tensor:
    """The maps with these bands: (N, C, 4, h, w) -> (N, C, 2 h, 2 w)."""
    n, channels, _, height, width = bands.shape
    mean, rows, columns, both = bands.unbind(2)
    corners = [mean + rows + columns + both, mean + rows - columns - both]
    corners += [mean - rows + columns - both, mean - rows - columns + both]
    blocks = torch.stack(corners, 2).reshape(n, channels * 4, height, width) / 2
    return F.pixel_shuffle(blocks, 2)


class WaveletConv2d(nn.Module):
    """WTConv: a depthwise convolution of the maps and of their Haar bands, whose receptive field doubles with each level.

    (N, channels, H, W) -> (N, channels, H / stride, W / stride), rounded up. It has channels (kernel² + 2) parameters, and
    4 channels (kernel² + 1) more for each level. Sides that are no multiples of 2^levels are padded with zeros.

    Raises:
        ValueError: in a pass, for a map with a side below 2^levels.
    """

    def __init__(self, channels: int, *, kernel: int = 5, levels: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.base = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        self.scale = nn.Parameter(torch.ones(channels, 1, 1))
        bands = 4 * channels
        self.levels = nn.ModuleList(
            nn.Conv2d(bands, bands, kernel, padding=kernel // 2, groups=bands, bias=False) for _ in range(levels)
        )
        # 0.1 as published: at the start, the layer is nearly the depthwise convolution alone
        self.scales = nn.ParameterList(nn.Parameter(torch.full((bands, 1, 1), 0.1)) for _ in range(levels))

    def forward(self, x: Tensor) -> Tensor:
        size = 2 ** len(self.levels)
        if min(x.shape[-2:]) < size:
            raise ValueError(f"a map of {x.shape[-2]}x{x.shape[-1]} has no {len(self.levels)} levels of wavelets")
        right, below = -x.shape[-1] % size, -x.shape[-2] % size
        mean, filtered = F.pad(x, (0, right, 0, below)), []
        for convolution, scale in zip(self.levels, self.scales, strict=True):
            bands = haar(mean)
            mean = bands[:, :, 0]
            filtered.append((convolution(bands.flatten(1, 2)) * scale).unflatten(1, (-1, 4)))
        deeper = torch.zeros_like(mean)
        for bands in reversed(filtered):
            deeper = inverse_haar(torch.cat([bands[:, :, :1] + deeper[:, :, None], bands[:, :, 1:]], 2))
        whole = self.base(x) * self.scale + deeper[..., : x.shape[-2], : x.shape[-1]]
        return whole[..., :: self.stride, :: self.stride]


def replace(network: nn.Module, conv: Convolution, *, harmonics: int, levels: int) -> None:
    """Put other convolutions into a network, in place of those with 3x3 filters. The first one is its stem.

    "harmonic" takes `HarmonicConv2d`, and `HarmonicStem` as the stem. "wtconv" takes a `WaveletConv2d` and a 1x1 convolution,
    and leaves the stem.

    Raises:
        ValueError: another name, a number out of range, or one without effect.
    """
    if conv not in get_args(Convolution):
        raise ValueError(f"conv is {conv}; it is one of {', '.join(get_args(Convolution))}")
    if not 1 <= harmonics <= ALL_HARMONICS:
        raise ValueError(f"harmonics is {harmonics}; 3x3 filters have 1 to {ALL_HARMONICS}")
    if levels < 1:
        raise ValueError(f"levels is {levels}; it is a whole number from 1")
    if (harmonics != ALL_HARMONICS and conv != "harmonic") or (levels != 1 and conv != "wtconv"):
        raise ValueError("harmonics needs conv=harmonic, and levels needs conv=wtconv: it has no effect otherwise")
    if conv == "standard":
        return
    names = [name for name, part in network.named_modules() if isinstance(part, nn.Conv2d) and _is_square(part)]
    for number, name in enumerate(names):
        parent, _, own = name.rpartition(".")
        old = network.get_submodule(name)
        if conv == "harmonic":
            kind = HarmonicConv2d if number else HarmonicStem
            new: nn.Module = kind(
                old.in_channels, old.out_channels, stride=old.stride[0], bias=old.bias is not None, harmonics=harmonics
            )
        elif number:
            new = nn.Sequential(
                WaveletConv2d(old.in_channels, levels=levels, stride=old.stride[0]),
                nn.Conv2d(old.in_channels, old.out_channels, 1, bias=old.bias is not None),
            )
            nn.init.kaiming_normal_(new[1].weight, mode="fan_out", nonlinearity="relu")
        else:
            continue
        setattr(network.get_submodule(parent), own, new)


def _is_square(part: nn.Conv2d) -> bool:
    return part.kernel_size == (_SIDE, _SIDE)
