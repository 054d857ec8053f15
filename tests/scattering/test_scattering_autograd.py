"""Gradients of the scattering transform."""

from __future__ import annotations

import torch

from hybrid.scattering import Scattering2D


def test_gradcheck():
    scattering = Scattering2D(2, (9, 8), 3)
    images = torch.rand(2, 9, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(scattering, images)
    assert torch.autograd.gradgradcheck(Scattering2D(1, (4, 5), 2), images[:1, :4, :5].detach().requires_grad_())


def test_gradient_of_a_constant_image_is_that_of_the_lowpass():
    """The modulus has gradient 0 at 0, so only the low-passed image depends on a zero image; and nothing is NaN."""
    scattering = Scattering2D(2, (16, 16), 4)
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
    scattering = Scattering2D(3, (24, 24), 4)
    images = torch.rand(3, 24, 24)
    recorded = scattering(images.clone().requires_grad_())
    torch.testing.assert_close(recorded.detach(), scattering(images), rtol=1e-6, atol=1e-7)
    assert recorded.requires_grad and not scattering(images).requires_grad


def test_vmap_and_functional_gradient():
    scattering = Scattering2D(2, (16, 16), 4)
    images = torch.rand(3, 2, 16, 16)
    torch.testing.assert_close(torch.vmap(scattering)(images), scattering(images))
    per_image = torch.vmap(torch.func.grad(lambda image: scattering(image).square().sum()))(images)
    whole = images.clone().requires_grad_()
    scattering(whole).square().sum().backward()
    torch.testing.assert_close(per_image, whole.grad, rtol=1e-4, atol=1e-5)
