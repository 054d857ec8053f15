"""Gradients of the scattering transform."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import forward_ad

from hybrid.scattering import Scattering2D, TorchScattering2D


def test_gradcheck():
    scattering = TorchScattering2D(2, (9, 8), 3)
    images = torch.rand(2, 9, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(scattering, images)
    assert torch.autograd.gradgradcheck(TorchScattering2D(1, (4, 5), 2), images[:1, :4, :5].detach().requires_grad_())


def test_gradient_of_a_constant_image_is_that_of_the_lowpass():
    """The modulus has gradient 0 at 0, so only the low-passed image depends on a zero image; and nothing is NaN."""
    scattering = TorchScattering2D(2, (16, 16), 4)
    for value in (0.0, 0.7):
        image = torch.full((1, 16, 16), value, requires_grad=True)
        scattering(image).sum().backward()
        assert torch.isfinite(image.grad).all()
    image = torch.zeros(1, 16, 16, requires_grad=True)
    everything = torch.autograd.grad(scattering(image).sum(), image)[0]
    lowpass = torch.autograd.grad(scattering(image)[:, :1].sum(), image)[0]
    torch.testing.assert_close(everything, lowpass)
    assert lowpass.min() > 0


def test_values_are_the_same_with_and_without_gradients():
    scattering = TorchScattering2D(3, (24, 24), 4)
    images = torch.rand(3, 24, 24)
    recorded = scattering(images.clone().requires_grad_())
    torch.testing.assert_close(recorded.detach(), scattering(images), rtol=1e-6, atol=1e-7)
    assert recorded.requires_grad and not scattering(images).requires_grad


@pytest.mark.parametrize(("J", "max_order"), [(1, 2), (2, 1), (3, 2)])
@pytest.mark.parametrize(("maps", "pieces"), [(2 * 4, [(2, 4), (2, 4), (1, 4)]), (3, [(1, 3)] * 5)])
def test_the_gradient_in_pieces_is_that_of_the_plain_operations(monkeypatch, J, max_order, maps, pieces):
    scattering = TorchScattering2D(J, (16, 20), 4, max_order)
    images = torch.rand(5, 16, 20, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(5, *scattering.output_shape, dtype=torch.float64)
    plain = torch.autograd.grad(
        scattering.engine.coefficients(images, scattering.engine.filters(images.dtype), 4), images, weights
    )[0]
    seen, gradient = [], scattering.engine.gradient

    def spy(piece, filters, part, angles, *, of_filters):
        seen.append((len(piece), angles))
        return gradient(piece, filters, part, angles, of_filters=of_filters)

    height, width = scattering.padded_shape
    per_angle = height * width * 2 * 8 * (2 if J > 1 and max_order == 2 else 1)
    monkeypatch.setattr("hybrid.scattering.torch_engine._CPU_PIECE", maps * per_angle)
    monkeypatch.setattr(scattering.engine, "gradient", spy)
    torch.testing.assert_close(torch.autograd.grad(scattering(images), images, weights)[0], plain, rtol=1e-10, atol=0)
    assert seen == pieces


def test_vmap_and_functional_gradient():
    scattering = TorchScattering2D(2, (16, 16), 4)
    images = torch.rand(3, 2, 16, 16)
    torch.testing.assert_close(torch.vmap(scattering)(images), scattering(images))
    per_image = torch.vmap(torch.func.grad(lambda image: scattering(image).square().sum()))(images)
    whole = images.clone().requires_grad_()
    scattering(whole).square().sum().backward()
    torch.testing.assert_close(per_image, whole.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("recorded", [False, True])
def test_forward_mode(dtype, recorded):
    """The default engine, which compiles code where it can, carries tangents, too."""
    scattering, generator = Scattering2D(2, (16, 16), 4), torch.Generator().manual_seed(0)
    images, tangents = (torch.rand(3, 16, 16, dtype=torch.float64, generator=generator) for _ in range(2))
    with forward_ad.dual_level():
        given = images.to(dtype, copy=True).requires_grad_(recorded)
        found = forward_ad.unpack_dual(scattering(forward_ad.make_dual(given, tangents.to(dtype)))).tangent
    slope = (scattering(images + 1e-5 * tangents) - scattering(images - 1e-5 * tangents)) / 2e-5
    assert (found - slope).norm() <= 1e-6 * slope.norm()
