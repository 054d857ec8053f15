"""One block of a network of wavelets: fixed filters over space, a non-linearity, and a learned mixture of channels.

    maps ─▶ Wavelets ─▶ z ─▶ non-linearity ─▶ Standardize and Projection (1x1) ─▶ PixelNorm ─▶ (Concentration) ─▶ maps

Sources: "Separation and Concentration in Deep Networks" (ICLR 2021) and "Phase Collapse in Neural Networks" (ICLR 2022), with
their released code. Its layers are those of `hybrid.models.wavelet_layers`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import Tensor, nn

from hybrid.errors import unknown_name
from hybrid.models.wavelet_layers import (
    Concentrate,
    Concentration,
    InitialMixture,
    Modulus,
    Nonlinearity,
    Normalize,
    Phases,
    PixelNorm,
    Projection,
    SoftThreshold,
    Standardize,
    Weights,
)
from hybrid.models.wavelets import Bank, Engine, Wavelets


@dataclass(frozen=True, kw_only=True)
class BlockSettings:
    """What all blocks of a network have in common; `WaveletBlock` says what each means."""

    L: int = 4
    nonlinearity: Nonlinearity = "modulus"
    skip: bool = True
    projection: Weights = "complex"
    initial: InitialMixture = "orthonormal"
    normalize: Normalize = "norm"
    concentrate: Concentrate = "none"
    engine: Engine = "auto"

    def __post_init__(self) -> None:
        """Raises ValueError for a word that is none, and for a setting that would have no effect."""
        for name, valid in _WORDS.items():
            if getattr(self, name) not in get_args(valid):
                raise unknown_name(str(getattr(self, name)), get_args(valid), what=name)
        if self.nonlinearity == "phases" and self.skip:
            raise ValueError("skip=true has no effect with nonlinearity=phases, which loses nothing; leave it false")
        if self.nonlinearity == "threshold" and not self.complex_maps:
            raise ValueError("nonlinearity=threshold gives complex maps, and normalize=relu takes real ones")
        if not self.complex_maps and (self.skip or self.projection == "complex"):
            raise ValueError("nonlinearity=phases and normalize=relu have real maps: write skip=false projection=real")
        if self.complex_maps and self.concentrate != "none":
            raise ValueError("concentrate takes real maps: nonlinearity=phases or normalize=relu, or concentrate=none")

    @property
    def complex_maps(self) -> bool:
        """Whether the blocks give complex maps."""
        return self.nonlinearity != "phases" and self.normalize != "relu"


_WORDS: dict[str, Any] = {
    "nonlinearity": Nonlinearity,
    "projection": Weights,
    "initial": InitialMixture,
    "normalize": Normalize,
    "concentrate": Concentrate,
    "engine": Engine,
}


class WaveletBlock(nn.Module):
    """Wavelets, a non-linearity and a learned mixture of channels: maps (N, C, H, W) -> (N, D, h, w).

    z are the maps' low-passes and wavelet coefficients. With skip the mixture takes z and ρ(z), 2C(1 + L) channels; without it
    the low-passes as they are and ρ of the wavelet coefficients, C(1 + L), or C(1 + 4L) with the phases.

    Args:
        input_shape: (C, H, W), where C counts the complex channels of complex maps.
        width: the channels of the result, complex ones where settings.complex_maps.
        bank: the filters (`hybrid.models.wavelets`).
        complex_input: whether the maps are complex.
        atoms: of the concentration, where there is one.
        settings: L; nonlinearity: ρ, "modulus", "phases" or "threshold"; skip; projection: "complex" or "real" weights;
            initial: their initial values, "orthonormal" or "uniform" within ±1/√inputs; normalize: "norm" (`PixelNorm`) or
            "relu", batch norm and a ReLU; concentrate: "none", "threshold" or "relu" (`Concentration`); engine: of the wavelets.

    Attributes:
        output_shape: (channels, h, w) of the result, as `input_shape` counts them.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        width: int,
        *,
        bank: Bank,
        complex_input: bool,
        atoms: int = 0,
        settings: BlockSettings,
    ) -> None:
        super().__init__()
        channels, chosen = input_shape[0], settings
        self.settings, self.filters = chosen, 1 + chosen.L
        self.wavelets = Wavelets(input_shape, bank=bank, L=chosen.L, complex_input=complex_input, engine=chosen.engine)
        bent = channels * (self.filters if chosen.skip else chosen.L)
        kept = channels * (self.filters if chosen.skip else 1)
        self.nonlinearity = _nonlinearity(chosen.nonlinearity, bent)
        of_complex, of_real = _counts(chosen, kept, bent)
        self.norm = Standardize(of_complex, of_real)
        mixture: dict[str, Any] = {"weights": chosen.projection, "initial": chosen.initial}
        self.projection = Projection(of_complex, of_real, width, complex_output=chosen.complex_maps, **mixture)
        norm = [nn.BatchNorm2d(width), nn.ReLU()] if chosen.normalize == "relu" else [PixelNorm()]
        self.normalize = nn.Sequential(*norm)
        coded = chosen.concentrate != "none"
        self.concentration = Concentration(width, atoms, form=chosen.concentrate) if coded else nn.Identity()
        self.output_shape = (width, *self.wavelets.output_shape[1:])

    def forward(self, maps: Tensor) -> Tensor:
        mixed = self._parts(self.wavelets(maps))
        return self.concentration(
            self.normalize(self.projection(self.norm(*mixed), *mixed, of_batch=self.norm.of_batch))
        )

    def _parts(self, coefficients: Tensor) -> list[Tensor]:
        """The complex maps and the real maps that are mixed."""
        kept = bent = coefficients
        if not self.settings.skip:
            by_filter = coefficients.unflatten(1, (-1, self.filters, 2))
            kept, bent = by_filter[:, :, 0].flatten(1, 2), by_filter[:, :, 1:].flatten(1, 3)
        bent = self.nonlinearity(bent)
        if self.settings.nonlinearity == "threshold":
            return [torch.cat([kept, bent], 1)]
        return [kept, bent] if self.settings.complex_maps else [torch.cat([kept[:, ::2], bent], 1)]


def _counts(settings: BlockSettings, kept: int, bent: int) -> tuple[int, int]:
    """How many complex and how many real channels are mixed."""
    if settings.nonlinearity == "threshold":
        return kept + bent, 0
    bent *= 4 if settings.nonlinearity == "phases" else 1
    return (kept, bent) if settings.complex_maps else (0, kept + bent)


def _nonlinearity(name: Nonlinearity, channels: int) -> nn.Module:
    if name == "threshold":
        return SoftThreshold(channels)
    return Modulus() if name == "modulus" else Phases()
