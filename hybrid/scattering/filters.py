"""The Morlet filter bank of Bruna & Mallat (2013), with the constants of kymatio 0.3, in NumPy.

Everything is given in the Fourier domain, where these filters are real. kymatio has one bank, whose wavelets it builds in
single precision: they are off by up to 2e-7 of their maximum. Here there are two, chosen by dtype. float64 is correct to
about 1e-15. float32 makes kymatio's roundings at the two places where they are systematic, the angle's sine and cosine and the
sum over copies, because they are not always harmless: in the lowest frequencies of J=5 on 32x32 pixels a channel moves by
2.5e-6, four times more than by rounding in the transform itself, and being equal to kymatio comes first there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

# Periodisation sums this many copies of a filter on each side, and the norm uses this value of pi: both are part of the
# definition that kymatio, pyscatwave and ScatNet share (pi's value makes the low-pass gain 1.00003 rather than 1).
_COPIES = 2
PI_OF_THE_NORM = 3.1415
# Terms below exp(-90) = 1e-39 cannot change a sum of order 1e-3 or more in float64.
_NEGLIGIBLE_EXPONENT = 90.0


@dataclass(frozen=True)
class MorletBank:
    """The filters of one J, L and padded size, at every resolution where the transform applies them.

    psi[j, level]: (L, H / 2^level, W / 2^level) spectra of the wavelets of scale j for maps sampled every 2^level pixels.
    The levels are 0 and, for order 2, every j1 < j.
    phi[level]: the spectra (rows, columns), of length H / 2^level and W / 2^level, whose outer product is the low-pass.
    """

    psi: dict[tuple[int, int], np.ndarray]
    phi: tuple[tuple[np.ndarray, np.ndarray], ...]


def morlet_bank(J: int, shape: tuple[int, int], L: int = 8, *, dtype: type[np.floating] = np.float64) -> MorletBank:
    """Build the bank for images padded to `shape` = (H, W), each a multiple of 2^J.

    dtype: np.float64, or np.float32 for wavelets rounded like kymatio's; `phi` is float64 either way.
    """
    psi = {}
    for j in range(J):
        spectra = np.stack([wavelet(shape, j, theta, L, dtype=dtype) for theta in range(L)])
        for level in range(max(j, 1)):
            psi[j, level] = coarsen(coarsen(spectra, level, axis=-2), level, axis=-1)
    return MorletBank(psi, lowpass_spectra(J, shape))


def lowpass_spectra(J: int, shape: tuple[int, int]) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Return the `phi` of a MorletBank."""
    rows, columns = (_gaussian(size, 0.8 * 2 ** (J - 1)) for size in shape)
    return tuple((coarsen(rows, level), coarsen(columns, level)) for level in range(J))


def angle(theta: int, L: int = 8) -> float:
    """Direction of the wave vector of angle index `theta`, in radians from the vertical (row) axis towards columns."""
    return (int(L - L / 2 - 1) - theta) * math.pi / L


def centre_frequency(j: int) -> float:
    """Length of the wave vector of scale j, in radians per pixel."""
    return 0.75 * math.pi / 2**j


def wavelet(
    shape: tuple[int, int], j: int, theta: int, L: int = 8, *, dtype: type[np.floating] = np.float64
) -> np.ndarray:
    """The (H, W) spectrum of one Morlet wavelet: a Gabor function minus the multiple of its envelope that makes its mean zero.

    Its envelope has standard deviation 0.8·2^j pixels along the wave vector and L/4 times that across it.
    """
    sigma, slant = 0.8 * 2**j, 4 / L
    wave = gabor(shape, sigma, slant, angle(theta, L), centre_frequency(j), dtype)
    envelope = gabor(shape, sigma, slant, angle(theta, L), 0.0, dtype)
    morlet = wave - wave.sum() / envelope.sum() * envelope
    return np.fft.fft2(morlet).real  # the imaginary part is rounding: morlet(-u) is the conjugate of morlet(u)


def coarsen(spectrum: np.ndarray, level: int, *, axis: int = -1) -> np.ndarray:
    """A filter for maps sampled every 2^level: only the frequencies of that grid are kept along `axis`.

    Of its two Nyquist frequencies only the negative one stays, as in kymatio, where an asymmetric mask does it.
    """
    size = spectrum.shape[axis]
    half = size // 2 ** (level + 1)
    kept = np.arange(size) if level == 0 else np.r_[0:half, size - half : size]
    return np.take(spectrum, kept, axis=axis)


def gabor(
    shape: tuple[int, int],
    sigma: float,
    slant: float,
    alpha: float,
    frequency: float,
    dtype: type[np.floating] = np.float64,
) -> np.ndarray:
    """A Gaussian times a plane wave, summed over copies shifted by whole images, which makes it periodic: (H, W) complex.

    sigma: standard deviation in pixels along the wave vector; across it, it is sigma / slant. alpha: its direction in radians
    (`angle`). frequency: in radians per pixel. The sum of the Gaussian is 1 but for rounding and sampling.
    """
    height, width = shape
    reach = math.sqrt(2 * _NEGLIGIBLE_EXPONENT) * sigma / min(1.0, slant)
    cosine, sine = float(dtype(math.cos(alpha))), float(dtype(math.sin(alpha)))  # of the envelope only, as in kymatio
    total = np.zeros(shape, np.result_type(dtype, np.complex64))
    for row_shift in near_copies(height, reach):
        for column_shift in near_copies(width, reach):
            r = (np.arange(height) + row_shift * height)[:, None]
            c = (np.arange(width) + column_shift * width)[None, :]
            envelope = np.exp(-((r * cosine + c * sine) ** 2 + (slant * (c * cosine - r * sine)) ** 2) / (2 * sigma**2))
            wave = np.exp(1j * frequency * (r * math.cos(alpha) + c * math.sin(alpha)))
            total += envelope * wave
    total /= 2 * PI_OF_THE_NORM * sigma**2 / slant
    return total


def near_copies(size: int, reach: float = math.inf) -> list[int]:
    """The shifts -2 … 2 whose samples shift·size … shift·size + size - 1 come within `reach` of the origin."""
    shifts = range(-_COPIES, _COPIES + 1)
    return [shift for shift in shifts if max(shift * size, -(shift * size + size - 1), 0) <= reach]


def _gaussian(size: int, sigma: float) -> np.ndarray:
    """One factor of the low-pass: its Gaussian is round, so it is a product over rows and columns."""
    shifts = np.arange(-_COPIES, _COPIES + 1)[:, None] * size
    samples = np.exp(-((np.arange(size) + shifts) ** 2) / (2 * sigma**2)).sum(axis=0)
    return np.fft.fft(samples / math.sqrt(2 * PI_OF_THE_NORM * sigma**2)).real


def lowpass_matrix(spectrum: np.ndarray, step: int, *, dropped: int = 1) -> np.ndarray:
    """Filter with one factor of the low-pass, keep every `step`-th sample, drop the first and last ones: as one matrix.

    spectrum: (n,), even. dropped: how many samples at each end. Returns (n / step - 2 · dropped, n): row i holds the filter
    centred on sample step·(i + dropped).
    """
    size = len(spectrum)
    kernel = np.fft.ifft(spectrum).real
    centres = step * np.arange(dropped, size // step - dropped)
    return kernel[(centres[:, None] - np.arange(size)[None, :]) % size]
