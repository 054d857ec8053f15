"""The banks of the networks of wavelets: their golden values, and matrices beside Fourier transforms."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch

from hybrid.errors import UserError
from hybrid.models.wavelets import Bank, Wavelets, filters_of, frame_bounds, spectra

# bank, L: energies of the first two wavelets and of the low-pass (the mean of the squared spectrum), the largest value of the
# first wavelet's spectrum on 64x64 frequencies and its place in radians, the sum of the low-pass; frame bounds
GOLDEN = [
    ("octave", 4, (0.10962, 0.10729, 0.12524), 0.9712, (1.669, 1.669), 1.0, (0.132, 1.0)),
    ("octave", 8, (0.05523, 0.05527, 0.12524), 0.9701, (0.884, 2.160), 1.0, (0.123, 1.0)),
    ("half_octave", 4, (0.10962, 0.10729, 0.29275), 0.9712, (1.669, 1.669), 1.0072, (0.161, 1.015)),
    ("half_octave", 8, (0.05523, 0.05527, 0.29275), 0.9701, (0.884, 2.160), 1.0072, (0.152, 1.015)),
    ("half_octave_subsampled", 4, (0.07881, 0.07859, 0.29275), 0.9912, (1.571, 1.571), 1.0072, (0.047, 1.015)),
    ("half_octave_subsampled", 8, (0.03527, 0.03527, 0.29275), 0.9896, (0.884, 2.062), 1.0072, (0.046, 1.015)),
]  # fmt: skip


@pytest.mark.parametrize(("bank", "L", "energies", "peak", "place", "lowpass", "bounds"), GOLDEN)
def test_golden_values(bank, L, energies, peak, place, lowpass, bounds):
    found = spectra(bank, L, (64, 64))
    near = {"rtol": 2e-4, "atol": 0}  # the norm of the filters takes π for 3.1415, as kymatio's
    np.testing.assert_allclose((found**2).mean((1, 2))[[1, 2, 0]], energies, **near)
    where = np.unravel_index(found[1].argmax(), (64, 64))
    assert found[1].max() == pytest.approx(peak, rel=2e-4)
    assert [round(index * 2 * np.pi / 64, 3) for index in where] == list(place)
    assert found[0, 0, 0] == pytest.approx(lowpass, rel=1e-4)
    assert frame_bounds(bank, L, (64, 64)) == pytest.approx(bounds, abs=6e-4)
    assert abs(found[1:, 0, 0]).max() < 1e-12  # wavelets have mean 0
    assert found[1:].min() == pytest.approx(-0.097, abs=0.06)


@pytest.mark.parametrize("L", [4, 8])
@pytest.mark.parametrize("bank", get_args(Bank))
@pytest.mark.parametrize("shape", [(2, 32, 32), (2, 8, 8), (2, 4, 4), (1, 2, 2), (1, 7, 5), (1, 28, 20), (1, 1, 1)])
def test_matrices_give_what_fourier_transforms_give(shape, bank, L):
    for complex_input in (False, True):
        made = {
            engine: Wavelets(shape, bank=bank, L=L, complex_input=complex_input, engine=engine)
            for engine in ("matrix", "fft")
        }
        maps = torch.randn(2, shape[0] * (1 + complex_input), *shape[1:], generator=torch.Generator().manual_seed(0))
        found = {engine: wavelets(maps) for engine, wavelets in made.items()}
        assert found["matrix"].shape == (2, 2 * made["fft"].output_shape[0], *made["fft"].output_shape[1:])
        near = 1e-4 if min(shape) == 1 else 3e-6  # so many copies of so small a grid are not summed
        torch.testing.assert_close(found["matrix"], found["fft"], rtol=0, atol=near)


def test_channels_are_outside_and_filters_inside_and_a_strided_side_is_half():
    wavelets = Wavelets((2, 8, 6), bank="octave", L=4, complex_input=False)
    maps = torch.zeros(1, 2, 8, 6)
    maps[:, 1] = torch.randn(8, 6)
    found = wavelets(maps).unflatten(1, (2, 5, 2))
    assert wavelets.output_shape == (10, 4, 3)
    assert found[:, 0].abs().max() == 0 and found[:, 1, 0, 1].abs().max() < 1e-6  # the low-pass of real maps is real
    constant = wavelets(torch.ones(1, 2, 8, 6)).unflatten(1, (2, 5, 2))
    torch.testing.assert_close(constant[:, :, 0, 0], torch.ones(1, 2, 4, 3), rtol=0, atol=1e-4)
    assert constant[:, :, 1:].abs().max() < 1e-5


def test_a_quarter_turn_of_the_image_turns_the_angles():
    wavelets = Wavelets((1, 8, 8), bank="half_octave", L=4, complex_input=False)
    image = torch.randn(1, 1, 8, 8)
    sizes = wavelets(image).unflatten(1, (5, 2)).square().sum(2)
    turned = wavelets(image.rot90(1, (2, 3))).unflatten(1, (5, 2)).square().sum(2).rot90(-1, (2, 3))
    torch.testing.assert_close(turned[:, [0, 3, 4, 1, 2]], sizes, rtol=1e-4, atol=1e-5)


def test_what_there_is_not_is_refused():
    with pytest.raises(ValueError, match="L is 2; the bank half_octave_subsampled takes whole numbers from 3"):
        filters_of("half_octave_subsampled", 2)
    with pytest.raises(UserError, match="octav.*Did you mean octave"):
        filters_of("octav", 4)
    with pytest.raises(UserError, match="engine of the wavelets"):
        Wavelets((1, 8, 8), bank="octave", L=4, complex_input=False, engine="gpu")
