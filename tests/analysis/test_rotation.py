"""How far averages over positions move when images are turned."""

import pytest
import torch

from hybrid.analysis.rotation import ANGLES, measure_rotation
from hybrid.errors import UserError
from hybrid.scattering import RotoTranslationScattering2D, TorchScattering2D


@pytest.fixture(scope="module")
def images():
    """Gratings of 8 directions, which vanish towards the borders."""
    places = torch.arange(24) - 11.5
    turns = torch.linspace(0, torch.pi, 9)[:8, None, None]
    waves = torch.cos((turns.cos() * places[:, None] + turns.sin() * places) * 1.2)
    window = torch.exp(-(places[:, None] ** 2 + places**2) / 40)
    return (waves * window)[:, None]


def test_roto_translation_moves_least(images):
    plain = TorchScattering2D(2, (24, 24), 4)
    turning = RotoTranslationScattering2D(2, (24, 24), 4, engine="torch")

    def vectors(pictures):
        means = {name: each(pictures)[:, 0, 1:].mean((-2, -1)) for name, each in (("T", plain), ("R", turning))}
        return {"pixels": pictures.flatten(1), **means}

    found = measure_rotation(vectors, images, together=["pixels"], standardize=False)
    assert list(found) == ["pixels", "T", "R"] and found["T"].changes.shape == (len(ANGLES), 8)
    assert found["R"].angles.tolist() == list(ANGLES)
    at_90 = {name: each.changes[-1].median().item() for name, each in found.items()}
    assert at_90["R"] < 0.35 * at_90["T"] and at_90["T"] > 0.5


def test_the_unit_is_the_distance_of_two_images(images):
    def vectors(pictures):
        return {"mean": pictures.mean((1, 2, 3))[:, None], "black": torch.zeros(len(pictures), 2)}

    found = measure_rotation(lambda x: vectors(x + torch.arange(8).view(-1, 1, 1, 1)), images, angles=[90])
    assert list(found) == ["mean"]  # where all are alike there is no distance
    assert found["mean"].changes.max() < 1e-3
    with pytest.raises(UserError, match="it needs at least two"):
        measure_rotation(vectors, images[:1])
