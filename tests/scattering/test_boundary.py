"""How images go on beyond their border: by reflection, periodically, or not at all."""

import pytest
import torch

from hybrid.export.dft_scattering import DftScattering
from hybrid.scattering import LearnedScattering2D, Scattering2D, ScatteringError, TorchScattering2D
from hybrid.scattering.filters import morlet_bank
from hybrid.scattering.spectral import reflect_pad

SHAPE = (16, 24)


@pytest.fixture(scope="module")
def images():
    return torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_periodic_is_circular_convolution(images):
    coefficients = Scattering2D(2, SHAPE, 4, boundary="periodic")(images)
    bank = morlet_bank(2, SHAPE, 4)
    rows, columns = map(torch.from_numpy, bank.phi[0])
    first = torch.fft.ifft2(torch.fft.fft2(images) * torch.from_numpy(bank.psi[0, 0][1])).abs()
    averages = torch.fft.ifft2(torch.fft.fft2(first) * torch.outer(rows, columns)).real
    assert coefficients.shape == (2, 25, 4, 6)
    torch.testing.assert_close(coefficients[:, 2], averages[:, ::4, ::4], rtol=0, atol=1e-15)


def test_periodic_maps_move_with_the_image(images):
    scattering = Scattering2D(2, SHAPE, 4, boundary="periodic")
    moved = scattering(images.roll((4, 8), (1, 2)))
    torch.testing.assert_close(moved, scattering(images).roll((1, 2), (2, 3)), rtol=0, atol=1e-15)


def test_none_takes_images_that_are_padded(images):
    reflected, none = TorchScattering2D(2, SHAPE, 4), TorchScattering2D(2, SHAPE, 4, boundary="none")
    padded = reflect_pad(images, reflected.settings.margins)
    assert torch.equal(none(padded), reflected(images))
    assert none.settings == TorchScattering2D(2, SHAPE, 4, pre_pad=True).settings and none.boundary == "none"


@pytest.mark.parametrize("boundary", ["reflect", "periodic", "none"])
def test_every_kind_of_transform_takes_it(images, boundary):
    fixed = TorchScattering2D(2, SHAPE, 4, boundary=boundary)
    batch = torch.rand(2, *fixed.settings.input_shape)
    learned = LearnedScattering2D(2, SHAPE, 4, boundary=boundary, engine="torch")
    for other in (learned, DftScattering(2, SHAPE, 4, boundary=boundary)):
        torch.testing.assert_close(other(batch), fixed(batch), rtol=1e-4, atol=1e-6)
    assert ("boundary" in repr(fixed)) == (boundary != "reflect")


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"boundary": "zero"}, "unknown boundary 'zero'; valid: reflect, periodic, none"),
        ({"boundary": "periodic", "shape": (20, 24), "J": 3}, "2^J=8 divides, got 20x24"),
        ({"boundary": "periodic", "pre_pad": True}, "pre_pad=True has no effect with boundary='periodic'"),
        ({"boundary": "periodic", "engine": "kymatio"}, "engine='kymatio' knows no boundary='periodic'"),
    ],
)
def test_what_does_not_fit_is_one_line(settings, message):
    with pytest.raises(ScatteringError) as caught:
        Scattering2D(**{"J": 2, "shape": SHAPE, **settings})
    assert message in str(caught.value) and "\n" not in str(caught.value)
