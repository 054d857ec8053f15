"""Saliency is the gradient of one output, through scattering too, and leaves the model as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hybrid.analysis import saliency
from hybrid.errors import UserError
from hybrid.scattering import Scattering2D, TorchScattering2D


def test_of_a_linear_model_it_is_the_largest_weight_over_the_channels():
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 6, 5))
    images, classes = torch.rand(2, 3, 4, 6), torch.tensor([4, 0])
    weights = model[1].weight.detach().view(5, 3, 4, 6)
    assert torch.allclose(saliency(model, images, classes), weights[classes].abs().amax(1))
    best = model(images).argmax(1)
    assert torch.allclose(saliency(model, images), weights[best].abs().amax(1))


@pytest.mark.parametrize("engine", [Scattering2D, TorchScattering2D])
def test_it_goes_through_the_scattering_whatever_the_engine(engine):
    torch.manual_seed(0)
    images = torch.rand(2, 1, 16, 16)
    model = nn.Sequential(engine(1, (16, 16), L=4, max_order=1), nn.Flatten(), nn.LazyLinear(3))
    model(images)
    found = saliency(model, images, torch.tensor([1, 2]))
    step = torch.zeros_like(images)
    step[0, 0, 5, 7] = 1e-2
    change = (model(images + step) - model(images - step))[0, 1].abs() / 2e-2
    assert found[0, 5, 7].item() == pytest.approx(change.item(), rel=0.02) and found.shape == (2, 16, 16)


def test_the_model_stays_as_it_was():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(), nn.Flatten(), nn.Linear(8, 2)).train()
    mean = model[1].running_mean.clone()
    images = torch.rand(3, 1, 4, 4)
    with torch.no_grad():
        assert torch.equal(saliency(model, images), saliency(model, images))  # no dropout
    assert model.training and torch.equal(model[1].running_mean, mean) and model[0].weight.grad is None
    assert images.grad is None and not images.requires_grad


def test_wrong_arguments_are_one_line():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(UserError, match="floating-point"):
        saliency(model, torch.zeros(1, 1, 2, 2, dtype=torch.uint8))
    with pytest.raises(UserError, match=r"one integer in 0\.\.1"):
        saliency(model, torch.zeros(1, 1, 2, 2), torch.tensor([2]))
