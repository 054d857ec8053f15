"""The checks of the mathematics: against published values, against the transform itself, against cases with known answers."""

from __future__ import annotations

import math

import pytest
import torch
from verification.deformation_checks import image_constants, wave_packet_constants
from verification.scattering_checks import littlewood_paley, padded, propagate, sampled_expansion

from hybrid.errors import UserError
from hybrid.scattering import TorchScattering2D


def textures(count, size=32):
    """Images with energy at all frequencies, falling as natural images' does."""
    generator = torch.Generator().manual_seed(1)
    radius = torch.fft.fftfreq(size)[:, None].hypot(torch.fft.rfftfreq(size)[None, :]).clamp_min(1 / size)
    noise = torch.fft.rfft2(torch.randn(count, size, size, generator=generator))
    images = torch.fft.irfft2(noise / radius, s=(size, size)).double()
    return 0.5 + images / images.abs().amax((1, 2), keepdim=True) / 2


@pytest.mark.parametrize(
    ("J", "side", "largest", "disc", "inner"),
    [(2, 40, 1.0001, 0.3305, 0.5843), (3, 120, 1.020, 0.330, 0.582), (4, 128, 1.047, 0.334, 0.582)],
)
def test_littlewood_paley_of_kymatios_bank(J, side, largest, disc, inner):
    """Values computed once from kymatio's own filters."""
    bank = littlewood_paley(J, (side, side))
    assert bank.maximum == pytest.approx(largest, abs=2e-3)
    assert bank.minimum == pytest.approx(0.123, abs=1e-3)
    assert bank.minimum_within(math.pi) == pytest.approx(disc, abs=1e-3)
    assert bank.minimum_within(0.75 * math.pi) == pytest.approx(inner, abs=1e-3)
    assert bank.total[0, 0] == pytest.approx(1.00006, abs=1e-5)


def test_profile_covers_the_grid():
    bank = littlewood_paley(3, (48, 64))
    radius, low, high = bank.profile(10)
    assert (low <= high).all() and (radius[1:] > radius[:-1]).all() and radius[-1] < math.sqrt(2) * math.pi
    assert low.min() == pytest.approx(bank.minimum)
    assert high.max() == pytest.approx(bank.total.ravel()[1:].max())


def test_a_wave_at_the_largest_frequency_shows_that_the_bound_is_reached_and_above_1():
    bank = littlewood_paley(4, (64, 64))
    row, column = divmod(int(bank.total.argmax()), 64)
    positions = torch.arange(64, dtype=torch.float64) * 2 * math.pi / 64
    wave = torch.cos(row * positions[:, None] + column * positions[None, :])
    result = propagate(torch.stack([wave, 0 * wave]), 4)
    frame, scattering = result.expansion()
    assert frame.item() == pytest.approx(math.sqrt(bank.maximum), rel=1e-9) and frame.item() > 1.01
    assert scattering.item() <= bank.maximum**1.5


def test_propagation_is_the_transform_before_sampling():
    """Averaged over all shifts of the image, a sample of the transform's maps has the mean square of the whole map."""
    columns = textures(2, 40)[:, :, :1].expand(2, 40, 40)
    shifted = torch.stack([columns.roll(shift, 1) for shift in range(40)], 1)
    scattering = TorchScattering2D(2, (32, 32), pre_pad=True)
    orders = [sum(path.order <= order for path in scattering.paths) for order in (0, 1)]
    result = propagate(columns, 2)
    for order, part in enumerate(scattering(shifted).tensor_split(orders, 2)):
        expected = torch.einsum("nsphw,msphw->nm", part, part) / (40 * 64)
        torch.testing.assert_close(result.orders[order], expected, rtol=2e-3, atol=1e-6)


def test_energies_add_up_and_fall_with_the_order():
    shares = {}
    for J in (1, 2, 3):
        images = padded(textures(4), J)
        result = propagate(images, J, 4)
        shares[J] = result.energies()
        assert sum(shares[J].values()) == pytest.approx(1)
        torch.testing.assert_close(result.waves[0], images.square().mean((1, 2)))
        torch.testing.assert_close(result.inputs.diagonal(), images.square().mean((1, 2)))
    assert all(values["S1"] > values["S2"] > values["beyond"] >= 0 for values in list(shares.values())[1:])
    assert shares[1]["S2"] == 0 and shares[1]["S0"] > shares[2]["S0"] > shares[3]["S0"]


def test_no_order_is_forgotten():
    """With a low-pass over the whole image and order 2 passed on, little but the bank's attenuation is lost."""
    images = padded(textures(3), 3)
    result = propagate(images, 3)
    spectra = torch.fft.fft2(images - images.mean((1, 2), keepdim=True)).abs().square()
    total = torch.from_numpy(littlewood_paley(3, (48, 48)).total)
    attenuated = 1 - ((spectra * total).sum((1, 2)) / spectra.sum((1, 2))).mean().item()
    lost = result.energies()["lost"]
    assert attenuated < lost < attenuated + 0.1


@pytest.mark.parametrize("J", [2, 3])
def test_non_expansive_up_to_the_constant_of_the_bank(J):
    images = textures(6)
    images = torch.cat([images, images[:1] + 1e-3 * torch.randn(1, 32, 32, dtype=torch.float64)])
    extended = padded(images, J)
    bank = littlewood_paley(J, tuple(extended.shape[-2:]))
    frame, scattering = propagate(extended, J, 8).expansion()
    assert len(frame) == len(scattering) == 7 * 6 // 2
    assert (frame**2 <= bank.maximum).all() and (frame**2 >= bank.minimum).all()
    assert (scattering <= bank.maximum**1.5).all() and scattering.max() > 0.1
    in_padding, on_image = sampled_expansion(TorchScattering2D(J, (32, 32)), images)
    assert (in_padding < 1.05).all() and (on_image > in_padding).all()


def test_sampled_expansion_is_the_definition():
    images, scattering = textures(2), TorchScattering2D(2, (32, 32))
    (in_padding,), (on_image,) = sampled_expansion(scattering, images)
    distance = 4 * (scattering(images[0]) - scattering(images[1])).norm()
    torch.testing.assert_close(on_image, distance / (images[0] - images[1]).norm())
    extended = torch.nn.functional.pad(images[:, None], (4, 4, 4, 4), mode="reflect")
    torch.testing.assert_close(in_padding, distance / (extended[0] - extended[1]).norm())


def test_fourier_modulus_and_pixels_are_unstable_where_scattering_is_not():
    constants = wave_packet_constants(3, [math.pi / 16, math.pi / 8, math.pi / 4, math.pi / 2], size=64, width=8)
    fourier, pixels, scattering = (getattr(constants, name).mean(1) for name in ("fourier", "pixels", "scattering"))
    expected = torch.tensor([math.sqrt(2 + (8 * f) ** 2 / 2) for f in constants.frequencies]).double()
    torch.testing.assert_close(pixels, expected, rtol=0.15, atol=0)  # small dilations: ε ‖u·∇x‖
    assert (fourier[1:] > 1.5 * fourier[:-1]).all()
    assert scattering.max() < 1.5 * scattering.min() and scattering[-1] < 0.25 * fourier[-1]


def test_constants_of_images_by_octave():
    constants = image_constants(textures(3), 3, L=4)
    assert constants.frequencies == pytest.approx([0.75 * math.pi / 2**k for k in (3, 2, 1, 0)])
    for values in (constants.scattering, constants.fourier, constants.pixels):
        assert values.shape == (4, 3) and values.isfinite().all()
    scattering, fourier, pixels = (getattr(constants, name).mean(1) for name in ("scattering", "fourier", "pixels"))
    assert fourier[-1] > 2 * fourier[0] and pixels[-1] > 4 * pixels[0] and scattering[-1] < 0.5 * fourier[-1]
    small, smaller = (image_constants(textures(3), 3, L=4, gradient=gradient) for gradient in (0.01, 0.005))
    torch.testing.assert_close(small.scattering, smaller.scattering, rtol=0.02, atol=0)  # no error of interpolation


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: propagate(torch.rand(2, 30, 32), 2), "multiples of 4"),
        (lambda: propagate(torch.full((2, 32, 32), torch.nan), 2), "finite"),
        (lambda: propagate(torch.ones(2, 8, 8), 1).expansion(), "two images that differ"),
        (lambda: propagate(torch.ones(2, 8, 8), 1).energies(), "not constant"),
        (lambda: sampled_expansion(TorchScattering2D(1, (8, 8)), torch.ones(2, 8, 8)), "two images that differ"),
        (lambda: image_constants(torch.zeros(1, 16, 16), 2), "not zero in any band"),
        (lambda: wave_packet_constants(2, [1.0], size=64, width=9), "width"),
        (lambda: wave_packet_constants(2, [1.0], size=64, width=8, dilation=1), "dilation"),
    ],
)
def test_mistakes_are_told(call, message):
    with pytest.raises(UserError, match=message):
        call()
