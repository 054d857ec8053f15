"""The wavelets along the angle: ScatNet's values, and the matrices of their convolutions."""

import numpy as np
import pytest

from hybrid.scattering.rotation.angular import angular_bank, angular_matrices

# Before the factor: of 16 samples and K=3, and of 8 samples and K=2.
SIXTEEN = {
    "phi": [1, 0.6628, 0.1930, 0.0247, 0.0014, 0, 0],
    0: [0, 0.0542, 0.1766, 0.3866, 0.6581, 0.9004, 0.9994, 0.9021, 0.6628, 0.3963, 0.1924, 0.0746, 0.0200, -0.0031]
    + [-0.0136, -0.0156],
    1: [0, 0.1767, 0.6581, 0.9994, 0.6628, 0.1930, 0.0247, 0.0014, 0],
    2: [0, 0.6581, 0.6628, 0.0247, 0],
}
EIGHT = {
    "phi": [1, 0.6628, 0.1930, 0.0247, 0.0028, 0.0247, 0.1930, 0.6628],
    0: [0, 0.1766, 0.6581, 0.9994, 0.6628, 0.1924, 0.0200, -0.0136],
    1: [0, 0.6581, 0.6628, 0.0247, 0, 0, 0, -0.0047],
}


@pytest.mark.parametrize("samples, K, table", [(16, 3, SIXTEEN), (8, 2, EIGHT)], ids=["sixteen", "eight"])
def test_the_bank_has_the_values_of_scatnet(samples, K, table):
    bank = angular_bank(samples, K)
    factor = np.sqrt(np.square(bank.psi).sum(0).max() / 2)
    assert factor == pytest.approx(1)
    if samples == 16:
        assert bank.psi[0][6] / table[0][6] == pytest.approx(np.sqrt(2 / 1.148864), abs=2e-5)
    before = bank.psi / (bank.psi[0][6 * samples // 16] / table[0][6 * samples // 16])
    for name, row in table.items():
        values = bank.phi if name == "phi" else before[name]
        np.testing.assert_allclose(values[: len(row)], row, atol=1.1e-4)


@pytest.mark.parametrize("joint", [True, False], ids=["joint", "separable"])
@pytest.mark.parametrize("L, K", [(8, 3), (6, 2), (2, 1)])
def test_matrices_are_the_convolutions(L, K, joint):
    random = np.random.default_rng(0)
    half = random.normal(size=L) + 1j * random.normal(size=L)
    whole = np.concatenate([half, half.conj()]) if joint else half
    bank, matrices = angular_bank(len(whole), K), angular_matrices(L, K, joint=joint)
    real, imaginary = np.split(matrices.of_waves @ np.concatenate([half.real, half.imag]), 2)
    waves = [np.fft.ifft(np.fft.fft(whole) * spectrum) for spectrum in (bank.phi, *bank.psi)]
    if not joint:  # then those of the negative frequencies, which are the conjugates' of the conjugate
        waves = [
            np.concatenate([w, np.fft.ifft(np.fft.fft(whole.conj()) * s).conj()])
            for w, s in zip(waves, (bank.phi, *bank.psi), strict=True)
        ]
    expected = np.concatenate([waves[0][:L], *waves[1:]])
    np.testing.assert_allclose(real + 1j * imaginary, expected, atol=1e-14)

    moduli = np.concatenate([half.real, half.real]) if joint else half.real
    real, imaginary = np.split(matrices.of_moduli @ half.real, 2)
    expected = [np.fft.ifft(np.fft.fft(moduli) * spectrum)[:L] for spectrum in bank.psi]
    np.testing.assert_allclose(real + 1j * imaginary, np.concatenate(expected), atol=1e-14)
