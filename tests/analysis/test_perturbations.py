"""Perturbations have the size that they say, move things where they say, and leave their inputs alone."""

from __future__ import annotations

import math

import pytest
import torch

from hybrid.analysis.perturbations import PERTURBATIONS, perturb, random_deformation
from hybrid.analysis.settings import KINDS
from hybrid.analysis.warping import Deformation, warp
from hybrid.errors import UserError

GEOMETRIC = [name for name, kind in PERTURBATIONS.items() if kind.deformation]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def blob(row, column, size=32):
    positions = torch.arange(size, dtype=torch.float64)
    return torch.exp(-((positions[:, None] - row) ** 2 + (positions[None, :] - column) ** 2) / 8)[None, None]


def centre(image):
    """(row, column) of the centre of mass."""
    positions = torch.arange(image.shape[-1], dtype=image.dtype)
    weights = image[0, 0] / image.sum()
    return (weights.sum(1) @ positions).item(), (weights.sum(0) @ positions).item()


def test_the_settings_know_every_kind():
    """They name them by themselves, as they are checked without torch."""
    assert tuple(PERTURBATIONS) == KINDS


@pytest.mark.parametrize("kind", PERTURBATIONS)
def test_strength_zero_is_the_identity_and_others_are_not(kind):
    images = torch.rand(3, 2, 12, 17)
    before = images.clone()
    assert torch.equal(perturb(images, kind, 0.0, generator=seeded()), before)
    changed = perturb(images, kind, PERTURBATIONS[kind].strengths[1], generator=seeded())
    assert changed.shape == before.shape and changed.dtype == before.dtype and changed.isfinite().all()
    assert not torch.allclose(changed, before, atol=1e-3)
    assert torch.equal(images, before)


@pytest.mark.parametrize("kind", PERTURBATIONS)
def test_the_seed_decides_and_global_generators_are_left_alone(kind):
    images = torch.rand(8, 1, 16, 16)
    state = torch.get_rng_state()
    one, again = (perturb(images, kind, 0.4, generator=seeded(3)) for _ in range(2))
    other = perturb(images, kind, 0.4, generator=seeded(4))
    assert torch.equal(one, again) and torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one, other) == (kind in ("scale", "brightness"))


def test_whole_pixels_move_without_interpolation_and_the_border_is_mirrored():
    images = torch.rand(16, 1, 8, 8, dtype=torch.float64)
    moved = perturb(images, "translate", 2, generator=seeded())
    mirrored = torch.nn.functional.pad(images, (2, 2, 2, 2), mode="reflect")
    corners = [(0, 2), (4, 2), (2, 0), (2, 4)]  # of 8x8 windows: down, up, right, left
    windows = torch.stack([mirrored[:, :, top : top + 8, left : left + 8] for top, left in corners])
    errors = (windows - moved).abs().amax((2, 3, 4))
    assert (errors.amin(0) < 1e-12).all() and len(errors.argmin(0).unique()) == 4


def test_interpolation_is_exact_for_parabolas():
    rows, columns = torch.meshgrid(*[torch.arange(12, dtype=torch.float64)] * 2, indexing="ij")
    tau = (torch.rand(1, 2, 1, 1, dtype=torch.float64) - 0.5).expand(1, 2, 12, 12)

    def surface(u, v):
        return 3 + u - 2 * v + 0.3 * u * u - 0.1 * u * v + 0.2 * v * v

    moved = warp(surface(rows, columns)[None, None], Deformation(tau, torch.zeros(1)))[0, 0]
    torch.testing.assert_close(moved[2:-2, 2:-2], surface(rows - tau[0, 0], columns - tau[0, 1])[2:-2, 2:-2])


def test_fractions_of_a_pixel_move_the_centre_by_that_much():
    moved = perturb(blob(16, 16), "translate", 2.5, generator=seeded())
    assert math.dist(centre(moved), (16, 16)) == pytest.approx(2.5, abs=1e-3)


def test_rotation_turns_about_the_centre():
    for seed in range(4):
        row, column = centre(perturb(blob(15.5, 20.5), "rotate", 30, generator=seeded(seed)))
        assert math.hypot(row - 15.5, column - 15.5) == pytest.approx(5, abs=0.01)
        assert abs(math.degrees(math.atan2(row - 15.5, column - 15.5))) == pytest.approx(30, abs=0.05)


def test_growth_enlarges_about_the_centre():
    grown = perturb(blob(15.5, 19.5), "scale", 0.25, generator=seeded())
    assert centre(grown) == pytest.approx((15.5, 20.5), abs=5e-3)
    assert (grown.sum() / blob(15.5, 19.5).sum()).item() == pytest.approx(1.25**2, rel=2e-3)


@pytest.mark.parametrize("kind", GEOMETRIC)
def test_the_gradient_is_that_of_the_field(kind):
    """Against differences of τ between neighbours, on a grid fine enough for them."""
    strength = PERTURBATIONS[kind].strengths[3]
    field = PERTURBATIONS[kind].deformation(5, (96, 160), strength, seeded())
    down, right = field.tau.double().diff(dim=-2)[..., :-1], field.tau.double().diff(dim=-1)[..., :-1, :]
    norms = torch.linalg.matrix_norm(torch.stack([down, right], -1).movedim(1, -2), 2)
    torch.testing.assert_close(norms.amax((1, 2)), field.gradient.double(), rtol=0.02, atol=1e-4)
    largest = field.tau.double().norm(dim=1).amax((1, 2))
    torch.testing.assert_close(field.displacement.double(), largest)


def test_random_fields_are_smooth_different_and_do_not_fold():
    field = random_deformation(6, (32, 32), 0.9, seeded())
    assert (field.gradient == torch.tensor(0.9)).all()
    assert (field.tau.flatten(1).unsqueeze(0) - field.tau.flatten(1).unsqueeze(1)).norm(dim=2).sort().values[
        :, 1
    ].min() > 1
    power = torch.fft.fft2(field.tau).abs().square()
    order = torch.fft.fftfreq(32) * 32
    high = order[:, None].hypot(order[None, :]) > 2.01
    assert power[..., high].sum() < 1e-6 * power.sum()
    positions = torch.arange(32.0)
    assert ((positions[:, None] - field.tau[:, 0]).diff(dim=1) > 0).all()  # rows stay in order


def test_oversampling_makes_interpolation_exact_for_fine_waves():
    """A wave of 8/3 pixels, moved by half a pixel, against the formula."""
    positions = torch.arange(32, dtype=torch.float64)
    wave, exact = (torch.cos(0.75 * math.pi * (positions - shift)).expand(1, 1, 32, 32) for shift in (0, 0.5))
    field = Deformation(torch.tensor([0.0, 0.5]).view(1, 2, 1, 1).expand(1, 2, 32, 32), torch.zeros(1))

    def error(oversampling):
        moved = warp(wave, field, oversampling=oversampling)
        return ((moved - exact)[..., 4:-4].norm() / exact[..., 4:-4].norm()).item()

    assert 0.3 < error(1) < 0.6 and error(4) < 0.01


def test_noise_and_brightness_have_their_size():
    images = torch.rand(4, 3, 64, 64)
    noise = perturb(images, "noise", 0.1, generator=seeded()) - images
    assert noise.std().item() == pytest.approx(0.1, rel=0.02) and abs(noise.mean().item()) < 1e-3
    torch.testing.assert_close(perturb(images, "brightness", 0.2, generator=seeded()), images + 0.2)


@pytest.mark.parametrize(
    ("kind", "strength", "images", "message"),
    [
        ("blur", 1, torch.rand(1, 1, 8, 8), "Valid: brightness, deform, noise, rotate, scale, translate"),
        ("rotate", math.nan, torch.rand(1, 1, 8, 8), "finite"),
        ("deform", 1.0, torch.rand(1, 1, 8, 8), "below 1"),
        ("deform", -0.1, torch.rand(1, 1, 8, 8), "at least 0"),
        ("scale", -1, torch.rand(1, 1, 8, 8), "above -1"),
        ("noise", -0.1, torch.rand(1, 1, 8, 8), "at least 0"),
        ("rotate", 1, torch.rand(1, 8, 8), "(N, C, H, W)"),
        ("rotate", 1, torch.ones(1, 1, 8, 8, dtype=torch.uint8), "floating-point"),
        ("rotate", 1, torch.rand(0, 1, 8, 8), "an image"),
        ("rotate", 1, torch.rand(1, 1, 8, 1), "2x2"),
    ],
)
def test_mistakes_are_told(kind, strength, images, message):
    with pytest.raises(UserError) as error:
        perturb(images, kind, strength, generator=seeded())
    assert message in str(error.value)
