"""Properties of the filter bank."""

from __future__ import annotations

import numpy as np
import pytest

from hybrid.scattering.filters import lowpass_matrix, morlet_bank, wavelet


@pytest.mark.parametrize(("J", "size", "largest"), [(2, 40, 1.0001), (3, 120, 1.0187), (4, 128, 1.047)])
def test_littlewood_paley_sum(J, size, largest):
    """The frame bounds of this bank: how far it is from preserving energy (it is not a tight frame)."""
    bank = morlet_bank(J, (size, size))
    energy = np.outer(*bank.phi[0]) ** 2
    for j in range(J):
        for spectrum in bank.psi[j, 0]:
            mirrored = np.roll(spectrum[::-1, ::-1], 1, axis=(0, 1))
            energy += (spectrum**2 + mirrored**2) / 2
    assert energy.max() == pytest.approx(largest, abs=1e-3)
    assert energy.min() == pytest.approx(0.123, abs=1e-3)


def test_wavelets_have_zero_mean_and_the_lowpass_gain_one():
    bank = morlet_bank(3, (48, 56), 6)
    assert all(abs(spectra[:, 0, 0]).max() < 1e-15 for (_, level), spectra in bank.psi.items() if level == 0)
    rows, columns = bank.phi[0]
    assert rows[0] * columns[0] == pytest.approx(1, abs=4e-5)  # 1.00003: the norm's value of pi


def test_levels_and_shapes():
    bank = morlet_bank(3, (48, 56), 6)
    assert set(bank.psi) == {(0, 0), (1, 0), (2, 0), (2, 1)}
    assert bank.psi[2, 1].shape == (6, 24, 28)
    assert [len(rows) for rows, _ in bank.phi] == [48, 24, 12]


def test_a_coarser_filter_keeps_only_the_negative_nyquist_frequency():
    full, half = morlet_bank(3, (48, 48), 8).psi[2, 0], morlet_bank(3, (48, 48), 8).psi[2, 1]
    kept = np.r_[0:12, 36:48]
    np.testing.assert_array_equal(half, full[:, kept][:, :, kept])


def test_the_two_precisions_differ_by_rounding_only():
    single, double = wavelet((48, 48), 2, 1, dtype=np.float32), wavelet((48, 48), 2, 1)
    assert single.dtype == np.float32 and double.dtype == np.float64
    assert 0 < abs(single - double).max() < 5e-7


def test_lowpass_matrix_is_filtering_sampling_and_cutting():
    rng = np.random.default_rng(0)
    spectrum = morlet_bank(2, (40, 40)).phi[0][0]
    signal = rng.standard_normal(40)
    expected = np.fft.ifft(np.fft.fft(signal) * spectrum).real[::4][1:-1]
    np.testing.assert_allclose(lowpass_matrix(spectrum, 4) @ signal, expected, atol=1e-14)
