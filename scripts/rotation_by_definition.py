"""Roto-translation scattering as its definition says, in plain torch: for tests, and to compare the speed with.

Every map of a whole turn is computed, one filter at a time, by complex Fourier transforms in space and along the angle.
Source: Sifre & Mallat, "Rotation, Scaling and Deformation Invariant Scattering for Texture Discrimination", CVPR 2013.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hybrid.scattering.filters import lowpass_spectra, morlet_bank
from hybrid.scattering.geometry import Settings
from hybrid.scattering.rotation.angular import angular_bank
from hybrid.scattering.spectral import reflect_pad


class RotationByDefinition:
    """(B, H, W) images -> (B, P, h, w), in the path order of `RotoTranslationScattering2D` with averaged angles.

    sampled: each map is sampled at the rate of its own scale, by slicing; else every map keeps the image's grid until the end.
    """

    def __init__(
        self,
        settings: Settings,
        K: int = 3,
        *,
        joint: bool = True,
        sampled: bool = True,
        device: str = "cpu",
        dtype: torch.dtype = torch.float64,
    ) -> None:
        self.settings, self.K, self.joint, self.sampled = settings, K, joint, sampled
        bank, J = morlet_bank(settings.J, settings.padded, settings.L), settings.J
        levels = range(J) if sampled else range(1)
        place = {"device": device, "dtype": dtype}
        self.psi = {
            (j, level): self._whole_turn(self._cut(bank.psi[j, level], level)).to(**place)
            for j in range(J)
            for level in levels
            if (j, level) in bank.psi
        }
        phi = [torch.outer(*map(torch.from_numpy, pair)) for pair in lowpass_spectra(J, settings.padded)]
        self.phi = [self._cut(phi[level].numpy(), level).to(**place) for level in levels]
        along = angular_bank(2 * settings.L if joint else settings.L, K)
        self.along = [torch.from_numpy(spectrum).to(**place) for spectrum in (along.phi, *along.psi)]

    def __call__(self, images: Tensor) -> Tensor:
        J, L = self.settings.J, self.settings.L
        padded = reflect_pad(images, self.settings.margins) if self.settings.boundary == "reflect" else images
        first, second = [self._average(padded, 0)], []
        for j1 in range(J):
            half = [self._sample(self._convolve(padded, self.psi[j1, 0][t]).abs(), j1) for t in range(L)]
            first.append(self._average(sum(half) / L, j1))
            second += self._along_angle([self._convolve(u, self.phi[self._level(j1)]).real for u in half], j1)
            for j2 in range(j1 + 1, J):
                for theta2 in range(L):
                    second += self._second_order(half, j1, j2, theta2)
        return torch.stack(first + second, 1)

    def _along_angle(self, smooth: list[Tensor], level: int) -> list[Tensor]:
        """The paths with φ, from U1 ⋆ φ of L angles, which repeat after half a turn."""
        turn = torch.stack(smooth * 2 if self.joint else smooth)
        return [self._average(self._circular(turn, psi).abs().mean(0), level) for psi in self.along[1:]]

    def _second_order(self, half: list[Tensor], j1: int, j2: int, theta2: int) -> list[Tensor]:
        """The paths (j1, j2, θ2, k2) of every k2."""
        L, psi = self.settings.L, self.psi[j2, self._level(j1)]
        if self.joint:
            waves = [self._convolve(half[t % L], psi[(t + theta2) % (2 * L)]) for t in range(2 * L)]
        else:
            waves = [self._convolve(u, psi[theta2]) for u in half]
        turn = torch.stack([self._sample(wave, j2, j1) for wave in waves])
        moduli = [self._circular(turn, spectrum).abs().mean(0) for spectrum in self.along]
        if not self.joint:  # the negative frequencies, which the joint transform meets in the second half of the turn
            opposite = [self._circular(turn.conj(), spectrum).abs().mean(0) for spectrum in self.along]
            moduli = [(there + back) / 2 for there, back in zip(moduli, opposite, strict=True)]
        return [self._average(maps, j2) for maps in moduli]

    def _circular(self, turn: Tensor, spectrum: Tensor) -> Tensor:
        """The convolution along the first axis."""
        return torch.fft.ifft(torch.fft.fft(turn, dim=0) * spectrum.view(-1, *[1] * (turn.ndim - 1)), dim=0)

    def _convolve(self, maps: Tensor, spectrum: Tensor) -> Tensor:
        return torch.fft.ifft2(torch.fft.fft2(maps) * spectrum)

    def _average(self, maps: Tensor, level: int) -> Tensor:
        """Maps ⋆ φ, sampled every 2^J pixels, without the padding."""
        smooth, drop = self._convolve(maps, self.phi[self._level(level)]).real, self.settings.dropped
        step = 2 ** (self.settings.J - self._level(level))
        rows, columns = (size // step - drop for size in smooth.shape[-2:])
        return smooth[..., ::step, ::step][..., drop:rows, drop:columns]

    def _sample(self, maps: Tensor, scale: int, level: int = 0) -> Tensor:
        step = 2 ** (scale - level) if self.sampled else 1
        return maps[..., ::step, ::step]

    def _level(self, level: int) -> int:
        return level if self.sampled else 0

    def _cut(self, spectra: np.ndarray, level: int) -> Tensor:
        """Without both Nyquist lines, where maps are sampled more coarsely than the image."""
        result = torch.from_numpy(spectra).clone()
        if level:
            result[..., result.shape[-2] // 2, :] = 0
            result[..., result.shape[-1] // 2] = 0
        return result

    def _whole_turn(self, half: Tensor) -> Tensor:
        """(L, h, w) -> (2L, h, w): a wavelet half a turn further has the spectrum at the opposite frequency."""
        rows, columns = (-torch.arange(size) % size for size in half.shape[-2:])
        return torch.cat([half, half[:, rows][:, :, columns]])
