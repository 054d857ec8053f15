"""The wavelets along the angle, and their convolutions as real matrices.

A function of the angle has 2L samples in a whole turn, of which L are independent: those of a real image's moduli repeat after
half a turn, and those of wavelets that turn with the angle are then conjugated. So each convolution is a matrix of these L
samples, with real and imaginary parts as separate rows and columns.

Source: Sifre & Mallat, "Rotation, Scaling and Deformation Invariant Scattering for Texture Discrimination", CVPR 2013.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

_COPIES = (
    4  # turns on each side that the periodic sum takes; the widest Gaussian, of k = 0, has a standard deviation of 0.87
)


class AngularBank(NamedTuple):
    """psi: (K, N) spectra of the wavelets along the angle, scale by scale; phi: (N,) of the low-pass. They are real."""

    psi: np.ndarray
    phi: np.ndarray


def angular_bank(samples: int, K: int) -> AngularBank:
    """K Morlet wavelets and a low-pass on `samples` angles of a whole period, in NumPy's order of frequencies.

    Wavelet k has its centre at (3π/4)·2^-k and the standard deviation (2/√3)·2^k in samples; the low-pass half of that of
    wavelet K - 1. The wavelets together are multiplied by √(2 / max_ω Σ_k ψ̂_k(ω)²).
    """
    omega = 2 * math.pi * np.arange(samples) / samples
    widths = [2 / math.sqrt(3) * 2.0**k for k in range(K)]
    psi = np.stack([_wavelet(omega, 0.75 * math.pi / 2**k, widths[k]) for k in range(K)])
    psi *= math.sqrt(2 / np.square(psi).sum(0).max())
    return AngularBank(psi, _gaussian(omega, 0.0, widths[-1] / 2))


def _wavelet(omega: np.ndarray, centre: float, width: float) -> np.ndarray:
    zero = np.zeros(1)
    share = _gaussian(zero, centre, width) / _gaussian(zero, 0.0, width)  # so that its mean is zero
    return _gaussian(omega, centre, width) - share * _gaussian(omega, 0.0, width)


def _gaussian(omega: np.ndarray, centre: float, width: float) -> np.ndarray:
    copies = 2 * math.pi * np.arange(-_COPIES, _COPIES + 1)[:, None]
    return np.exp(-(((omega + copies - centre) * width) ** 2) / 2).sum(0)


class AngularMatrices(NamedTuple):
    """Convolutions along the angle: `matrix @ samples` gives the real parts, then the imaginary parts.

    of_moduli: (2·K·L, L), of real samples that repeat after half a turn, by each wavelet: rows (part, k, angle).
    of_waves: (2·(L + 2·K·L), 2·L), of complex samples, columns (part, angle): rows (part, L angles of the low-pass and then,
    of each wavelet, 2L angles).
    """

    of_moduli: np.ndarray
    of_waves: np.ndarray


def angular_matrices(L: int, K: int, *, joint: bool) -> AngularMatrices:
    """The matrices of the joint transform, whose waves are conjugated after half a turn, or of the separable one.

    In the separable one the waves repeat after half a turn, so its period has L samples. Its second L angles are those of the
    wavelet's conjugate, which has the negative frequencies; the joint one meets these by itself.
    """
    bank = angular_bank(2 * L if joint else L, K)
    phi, *psi = (_of_halves(kernel, L, joint=joint) for kernel in np.fft.ifft([bank.phi, *bank.psi]))
    phi = [matrix[:L] for matrix in phi]
    moduli = [even[:L] for even, _ in psi]
    real = [np.concatenate([even.real, -odd.imag], 1) for even, odd in (phi, *psi)]
    imaginary = [np.concatenate([even.imag, odd.real], 1) for even, odd in (phi, *psi)]
    of_moduli = np.concatenate([*(matrix.real for matrix in moduli), *(matrix.imag for matrix in moduli)])
    return AngularMatrices(of_moduli, np.concatenate([*real, *imaginary]))


def _of_halves(kernel: np.ndarray, L: int, *, joint: bool) -> tuple[np.ndarray, np.ndarray]:
    """Two complex (2L, L) matrices: of the real parts of L samples, and of the imaginary parts, for which i is left out."""
    if not joint:
        both = np.concatenate([_circulant(kernel), _circulant(kernel.conj())])
        return both, both
    whole = _circulant(kernel)
    return whole[:, :L] + whole[:, L:], whole[:, :L] - whole[:, L:]


def _circulant(kernel: np.ndarray) -> np.ndarray:
    """(N,) -> (N, N): the circular convolution with it as a matrix."""
    places = np.arange(len(kernel))
    return kernel[(places[:, None] - places[None, :]) % len(kernel)]
