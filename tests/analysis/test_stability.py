"""Stability: against direct computation, against representations whose answer is known, and its refusals."""

from __future__ import annotations

import math

import pytest
import torch

from hybrid.analysis.perturbations import perturb
from hybrid.analysis.stability import measure_stability
from hybrid.errors import UserError
from hybrid.scattering import TorchScattering2D


def represent(images):
    return {
        "pixels": images,
        "double": 2 * images,
        "sums": images.sum((1, 2, 3)),
        "spectrum": torch.fft.fft2(images).abs(),
    }


@pytest.mark.parametrize("kind", ["translate", "deform", "noise"])
def test_distances_are_those_of_the_definition(kind):
    images = torch.rand(5, 2, 16, 16)
    result = measure_stability(represent, images, kind=kind, strengths=(0, 0.1, 0.3), seed=7)
    changed = perturb(images, kind, 0.3, generator=torch.Generator().manual_seed(7))
    for name, values in represent(changed).items():
        reference = represent(images)[name]
        expected = [(values[n] - reference[n]).norm() / reference[n].norm() for n in range(5)]
        torch.testing.assert_close(result.relative[name][2].float(), torch.stack(expected), rtol=1e-4, atol=1e-6)
        assert (result.distances[name][0] == 0).all()
    torch.testing.assert_close(result.input_distances, result.distances["pixels"])
    torch.testing.assert_close(result.input_norms, result.norms["pixels"])


def test_summaries():
    images = torch.rand(9, 1, 16, 16)
    result = measure_stability(represent, images, kind="rotate", strengths=(0, 10))
    relative = result.relative["spectrum"]
    torch.testing.assert_close(result.mean()["spectrum"], relative.mean(1))
    quantiles = result.quantiles((0, 0.5, 1))["spectrum"]
    torch.testing.assert_close(quantiles, torch.stack([relative.amin(1), relative.median(1).values, relative.amax(1)]))
    torch.testing.assert_close(result.relative["double"], result.relative["pixels"])
    expansion = result.expansion()
    assert expansion["double"][0].isnan().all() and torch.allclose(expansion["double"][1], torch.tensor(2.0).double())
    assert (expansion["spectrum"][1] <= 16 + 1e-5).all()  # the Fourier transform here multiplies norms by 16


def test_the_fourier_modulus_ignores_circular_shifts_and_stays_under_its_norm():
    """An image whose reflection is its periodic continuation: a cosine on the half-sample grid of the reflection."""
    positions = torch.arange(17, dtype=torch.float64) * math.pi / 16
    image = (torch.cos(2 * positions)[:, None] + torch.cos(4 * positions)[None, :])[None, None]
    result = measure_stability(
        lambda images: {"modulus": torch.fft.fft2(images[..., :16, :16]).abs(), "pixels": images},
        image, kind="translate", strengths=(4,),
    )  # fmt: skip
    assert result.relative["modulus"].max() < 1e-6 < 0.5 < result.relative["pixels"].max()


def test_batches_and_types_do_not_matter_where_nothing_is_random():
    images = torch.rand(7, 1, 12, 12)
    whole = measure_stability(represent, images, kind="scale", strengths=(0.1, 0.2))
    parts = measure_stability(represent, images, kind="scale", strengths=(0.1, 0.2), batch_size=3)
    exact = measure_stability(represent, images.double(), kind="scale", strengths=(0.1, 0.2))
    for name, values in whole.distances.items():
        assert values.shape == (2, 7) and values.dtype == torch.float64
        torch.testing.assert_close(parts.distances[name], values)
        torch.testing.assert_close(exact.distances[name], values, rtol=1e-4, atol=1e-6)


def test_every_batch_has_random_choices_of_its_own_and_the_global_generator_is_left_alone():
    images = torch.rand(1, 1, 12, 12).repeat(8, 1, 1, 1)
    state = torch.get_rng_state()
    result = measure_stability(represent, images, kind="deform", strengths=(0.2,), batch_size=4)
    assert torch.equal(torch.get_rng_state(), state)
    assert len(result.distances["pixels"].unique()) == 8


def test_an_image_keeps_its_field_for_all_strengths():
    result = measure_stability(represent, torch.rand(4, 1, 16, 16), kind="deform", strengths=(0.1, 0.2, 0.4))
    torch.testing.assert_close(result.displacement[1:], result.displacement[:-1] * 2, rtol=1e-5, atol=0)
    torch.testing.assert_close(result.gradient[:, 0], torch.tensor([0.1, 0.2, 0.4]).double())


def test_bounds_follow_their_formulas():
    images = torch.rand(2, 1, 9, 9)
    shifts = measure_stability(represent, images, kind="translate", strengths=(0, 2, 4))
    torch.testing.assert_close(shifts.bound(3), torch.tensor([0, 2 / 8, 4 / 8]).double())
    turns = measure_stability(represent, images, kind="rotate", strengths=(30,))
    turn = 2 * math.sin(math.radians(15))
    assert turns.bound(2).item() == pytest.approx(turn + turn * math.hypot(4, 4) / 4, rel=1e-5)
    deformed = measure_stability(represent, images, kind="deform", strengths=(0.2,))
    assert deformed.gradient.tolist() == [pytest.approx([0.2, 0.2])]
    for kind in ("noise", "brightness"):
        result = measure_stability(represent, images, kind=kind)
        assert result.bound(3) is None and result.gradient is None


def test_scattering_moves_less_than_pixels_and_noise_is_not_amplified():
    positions = torch.arange(32.0)
    images = torch.stack([torch.sin(positions[:, None] * a + positions[None, :] * b) for a, b in [(1, 0.4), (0.3, 2)]])[
        :, None
    ]
    scattering = TorchScattering2D(3, (32, 32))

    def both(batch):
        return {"pixels": batch, "scattering": 8 * scattering(batch)}

    for kind, strength in (("translate", 1), ("deform", 0.1), ("rotate", 3)):
        relative = measure_stability(both, images, kind=kind, strengths=(strength,)).relative
        assert (relative["scattering"] < 0.5 * relative["pixels"]).all(), kind
    assert (measure_stability(both, images, kind="noise", strengths=(0.1,)).expansion()["scattering"] < 1).all()


def test_images_without_a_relative_change_are_left_out():
    images = torch.rand(3, 1, 8, 8)
    images[1] = 0
    result = measure_stability(represent, images, kind="brightness", strengths=(0.1,))
    assert {name: int((norms == 0).sum()) for name, norms in result.norms.items()} == dict.fromkeys(
        represent(images), 1
    )
    relative = result.relative["pixels"]
    assert relative[0, 1].isnan() and result.mean()["pixels"].item() == pytest.approx(relative[0, [0, 2]].mean().item())
    assert result.quantiles()["pixels"].isfinite().all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "shear"}, "unknown kind of perturbation: shear"),
        ({"strengths": ()}, "at least one strength"),
        ({"strengths": (math.inf,)}, "finite"),
        ({"kind": "deform", "strengths": (2,)}, "below 1"),
        ({"batch_size": 0}, "batch_size"),
        ({"images": torch.rand(1, 8, 8)}, "(N, C, H, W)"),
        ({"represent": lambda images: {}}, "no layers"),
        ({"represent": lambda images: {"conv1": images[:1]}}, "conv1 must be (2, ...)"),
        ({"represent": lambda images: {"conv1": images / 0}}, "conv1 has values that are not finite"),
    ],
)
def test_mistakes_are_told(settings, message):
    settings = {"represent": represent, "images": torch.rand(2, 1, 8, 8), "kind": "rotate", **settings}
    with pytest.raises(UserError) as error:
        measure_stability(settings.pop("represent"), settings.pop("images"), **settings)
    assert message in str(error.value)


def test_layers_must_stay_the_same():
    calls = []

    def changing(images):
        calls.append(None)
        return {f"layer{len(calls)}": images}

    with pytest.raises(UserError, match="must be the same"):
        measure_stability(changing, torch.rand(2, 1, 8, 8), kind="rotate", strengths=(1,))
