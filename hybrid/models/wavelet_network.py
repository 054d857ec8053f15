"""Networks of wavelets: every depth has fixed filters over space, and learns how to mix channels.

`WaveletNetwork` is phase collapse (ICLR 2022), separation and concentration (ICLR 2021) and a learned ScatterNet, by its
settings. `Projected` is the classifier of the scattering tree, which the first two papers compare with.
"""

from __future__ import annotations

from typing import Annotated, Any

import torch
from torch import Tensor, nn

from hybrid.models.layers import USUAL_NORM, BatchNorm, check_positive
from hybrid.models.wavelet_block import BlockSettings, WaveletBlock
from hybrid.models.wavelet_layers import (
    Concentrate,
    Concentration,
    InitialMixture,
    Nonlinearity,
    Normalize,
    PixelNorm,
    Projection,
    Standardize,
    Weights,
    parseval_step,
)
from hybrid.models.wavelets import Bank, Engine
from hybrid.ranges import Range, Side, Width, Widths

Angles = Annotated[int, Range(1, 32)]
Factor = Annotated[float, Range(0, 1000, above=True)]


class _Mixed(nn.Module):
    """A head whose matrices may be kept near to tight frames: after each step, in place of weight decay."""

    learning_rate = 0.01  # as published
    prefers_channels_last = False
    parseval = False

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The matrices of Parseval steps have no weight decay."""
        return [{"params": self._frames(), "weight_decay": 0.0, "tag": "frames"}] if self.parseval else []

    def after_step(self) -> None:
        """A Parseval step of each of these matrices (`parseval_step`)."""
        for weight in self._frames() if self.parseval else ():
            if weight.requires_grad:
                parseval_step(weight)

    def _frames(self) -> list[nn.Parameter]:
        return [module.weight for module in self.modules() if isinstance(module, Projection | Concentration)]


class WaveletNetwork(_Mixed):
    """Blocks of wavelets, a non-linearity and a mixture of channels, and a linear layer: (N, C, H, W) -> (N, num_classes).

    `WaveletBlock` is one block. After the last one come batch norm, where the parts of a complex channel are two channels, and
    the linear layer. The blocks compute in float32, also under autocast.

    Args:
        input_shape: (C, H, W) of the images.
        num_classes: the number of logits.
        banks: the filters of each block, "octave", "half_octave" or "half_octave_subsampled".
        widths: the channels that each block gives.
        width: a factor on all of `widths`, and on `atoms`.
        L: the angles of the wavelets over half a turn.
        nonlinearity: of the blocks, "modulus", "phases" or "threshold".
        skip: whether the wavelet coefficients also go around it.
        projection: whether the weights are "complex" or "real".
        initial: their initial values, "orthonormal" or "uniform".
        normalize: after the mixture, "norm" or "relu".
        concentrate: "none", or the step of sparse coding after it, "threshold" or "relu".
        atoms: of each concentration; empty without one.
        parseval: Parseval steps in place of weight decay.
        norm: the settings of the last batch norm.
        bias: whether the linear layer has one.
        window: the last maps are averaged over windows of so many pixels a side, with stride 1.
        engine: how the wavelets are computed: `hybrid.models.wavelets`.

    Raises:
        ValueError: a value is out of range, has no effect, or the lists differ in length.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_classes: int,
        *,
        banks: tuple[Bank, ...] = ("half_octave", "half_octave_subsampled") * 4,
        widths: Widths = (64, 128, 256, 512, 512, 512, 512, 512),
        width: Factor = 1.0,
        L: Angles = 4,
        nonlinearity: Nonlinearity = "modulus",
        skip: bool = True,
        projection: Weights = "complex",
        initial: InitialMixture = "orthonormal",
        normalize: Normalize = "norm",
        concentrate: Concentrate = "none",
        atoms: Widths = (),
        parseval: bool = False,
        norm: BatchNorm = USUAL_NORM,
        bias: bool = True,
        window: Side = 1,
        engine: Engine = "auto",
    ) -> None:
        super().__init__()
        self._check(banks=banks, widths=widths, atoms=atoms, concentrate=concentrate)
        if parseval and projection == "complex":
            raise ValueError("parseval=true is for real matrices: projection=real")
        settings = BlockSettings(
            L=L, nonlinearity=nonlinearity, skip=skip, projection=projection, initial=initial, normalize=normalize,
            concentrate=concentrate, engine=engine,
        )  # fmt: skip
        self.parseval = parseval
        shape, blocks = tuple(input_shape), []
        for number, (bank, outputs) in enumerate(zip(banks, widths, strict=True)):
            scaled = [max(1, round(width * count)) for count in (outputs, *atoms[number : number + 1])]
            complex_input = settings.complex_maps and number > 0
            coded = {"atoms": scaled[1]} if atoms else {}
            blocks.append(
                WaveletBlock(shape, scaled[0], bank=bank, complex_input=complex_input, settings=settings, **coded)
            )
            shape = blocks[-1].output_shape
        self.blocks = nn.Sequential(*blocks)
        last = (shape[0] * (1 + settings.complex_maps), *shape[1:])
        self.norm, self.pool, self.classifier = _classifier(last, num_classes, norm=norm, bias=bias, window=window)

    def forward(self, features: Tensor) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):
            maps = self.blocks(_at_least_single(features))
            return self.classifier(self.pool(self.norm(maps)).flatten(1))

    @staticmethod
    def _check(*, banks: tuple[str, ...], widths: Widths, atoms: Widths, concentrate: str) -> None:
        check_positive(widths=widths, **({"atoms": atoms} if atoms else {}))
        if len(banks) != len(widths):
            raise ValueError(f"banks has {len(banks)} entries and widths {len(widths)}: each block needs one of both")
        if concentrate != "none" and len(atoms) != len(widths):
            raise ValueError(f"concentrate={concentrate} needs atoms for each of the {len(widths)} blocks")
        if concentrate == "none" and atoms:
            raise ValueError(f"atoms={list(atoms)} has no effect with concentrate=none; write atoms=[]")


class Projected(_Mixed):
    """A learned mixture of channels, its norm, batch norm and a linear layer: (N, C, H, W) -> logits (N, num_classes).

    On scattering coefficients it is the scattering tree, the baseline of the networks of wavelets. It computes in float32, also
    under autocast.

    Args:
        input_shape: (C, H, W) of the features.
        num_classes: the number of logits.
        width: the channels of the mixture.
        initial: its initial values, "orthonormal" or "uniform".
        parseval: Parseval steps in place of weight decay.
        norm: the settings of the last batch norm.
        bias: whether the linear layer has one.
        window: the last maps are averaged over windows of so many pixels a side, with stride 1.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_classes: int,
        *,
        width: Width = 128,
        initial: InitialMixture = "orthonormal",
        parseval: bool = True,
        norm: BatchNorm = USUAL_NORM,
        bias: bool = True,
        window: Side = 1,
    ) -> None:
        super().__init__()
        check_positive(width=width)
        channels, *size = input_shape
        self.parseval = parseval
        self.standardize = Standardize(0, channels)
        self.projection = Projection(0, channels, width, complex_output=False, initial=initial)
        self.normalize = PixelNorm()
        last = (width, size[0], size[1])
        self.norm, self.pool, self.classifier = _classifier(last, num_classes, norm=norm, bias=bias, window=window)

    def forward(self, features: Tensor) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):
            features = _at_least_single(features)
            statistics = self.standardize(features)
            mixed = self.normalize(self.projection(statistics, features, of_batch=self.standardize.of_batch))
            return self.classifier(self.pool(self.norm(mixed)).flatten(1))


def _at_least_single(features: Tensor) -> Tensor:
    return features if features.dtype == torch.float64 else features.float()


def _classifier(
    shape: tuple[int, int, int], classes: int, *, norm: BatchNorm, bias: bool, window: int
) -> tuple[nn.Module, nn.Module, nn.Module]:
    """Batch norm, averages over windows, and the linear layer on what is left of maps (C, H, W)."""
    channels, *sides = shape
    if not 1 <= window <= min(sides):
        raise ValueError(f"window is {window}; the last map of {sides[0]}x{sides[1]} takes 1 to {min(sides)}")
    pool = nn.AvgPool2d(window, stride=1) if window > 1 else nn.Identity()
    left = [side - window + 1 for side in sides]
    return norm.over_maps(channels), pool, nn.Linear(channels * left[0] * left[1], classes, bias=bias)
