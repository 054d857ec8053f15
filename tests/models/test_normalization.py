"""Normalizations of the coefficients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from hybrid.models.normalization import (
    BatchNormalization,
    LogNormalization,
    NoNormalization,
    StatisticsNormalization,
)

SHAPE = (4, 3, 3)


def features(samples: int = 16) -> torch.Tensor:
    scales = torch.tensor([100.0, 1.0, 0.1, 0.01]).view(4, 1, 1)
    return torch.randn(samples, *SHAPE).abs() * scales


def standardised(x: torch.Tensor, eps: float = 1e-5) -> torch.Tensor:
    mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, correction=0)
    return (x - mean) / (variance + eps).sqrt()


def test_batch_normalization_has_no_parameters_and_standardises():
    norm = BatchNormalization(SHAPE, momentum=0.9)
    x = features()
    torch.testing.assert_close(norm(x), standardised(x))
    assert not list(norm.parameters())
    torch.testing.assert_close(norm.norm.running_mean, 0.9 * x.mean((0, 2, 3)))


def test_affine_batch_normalization_learns_two_numbers_per_channel():
    assert sum(p.numel() for p in BatchNormalization(SHAPE, affine=True).parameters()) == 8


def test_log_is_the_logarithm_where_coefficients_are_positive():
    x = features()
    torch.testing.assert_close(
        LogNormalization(SHAPE, log_eps=1e-3)(x), standardised((x + 1e-3).log()), rtol=1e-4, atol=1e-4
    )


def test_log_keeps_the_sign_and_is_continuous_at_zero():
    norm = LogNormalization((1, 1, 1)).eval()
    x = torch.tensor([-2.0, -1e-7, 0.0, 1e-7, 2.0]).view(5, 1, 1, 1)
    y = norm(x).flatten()
    assert (y.diff() > 0).all() and y[2] == 0 and y.abs()[1] < 1e-4
    assert y[0] == -y[4]


def test_statistics_are_those_of_the_whole_set_whatever_the_batches():
    x = features(20)
    norm = StatisticsNormalization(SHAPE)
    norm.fit(x.split([7, 12, 1]))
    values = x.numpy().astype(np.float64)
    mean, std = values.mean((0, 2, 3), keepdims=True), np.sqrt(values.var((0, 2, 3), keepdims=True) + 1e-5)
    np.testing.assert_allclose(norm(x).numpy(), (values - mean) / std, rtol=1e-4, atol=1e-5)
    norm.train()
    assert torch.equal(norm(x[:2]), norm(x)[:2])  # no batch statistics


def test_statistics_travel_in_the_state_dict():
    norm, other = StatisticsNormalization(SHAPE), StatisticsNormalization(SHAPE)
    norm.fit([features()])
    assert not other.fitted
    other.load_state_dict(norm.state_dict())
    x = features(3)
    assert other.fitted and torch.equal(norm(x), other(x))
    other.load_state_dict(StatisticsNormalization(SHAPE).state_dict())
    assert not other.fitted


def test_statistics_must_be_fitted_first_and_on_something():
    norm = StatisticsNormalization(SHAPE)
    with pytest.raises(RuntimeError, match="not fitted: call model.fit_statistics"):
        norm(features())
    with pytest.raises(ValueError, match="no training images"):
        norm.fit([])


def test_a_model_says_whether_it_needs_statistics(make):
    model = make("scat_linear", "model/normalization=statistics")
    images = torch.randn(8, 3, 32, 32)
    assert model.needs_statistics
    model.fit_statistics(images.split(4))
    assert not model.needs_statistics
    torch.testing.assert_close(
        model.normalization(model.frontend(images)), standardised(model.frontend(images)), rtol=1e-3, atol=1e-3
    )
    other = make("scat_linear", "model/normalization=statistics")
    other.load_state_dict(model.state_dict())
    assert not other.needs_statistics


def test_other_models_do_not(make):
    model = make("scat_linear")
    assert not model.needs_statistics
    with pytest.raises(ValueError, match="has no statistics to fit"):
        model.fit_statistics([torch.zeros(1, 3, 32, 32)])


def test_none_is_nothing():
    x = features()
    assert NoNormalization(SHAPE)(x) is x


@pytest.mark.parametrize("constructor", [LogNormalization, StatisticsNormalization, BatchNormalization])
def test_eps_is_positive(constructor):
    name = "log_eps" if constructor is LogNormalization else "eps"
    with pytest.raises(ValueError, match="eps is -1.0"):
        constructor(SHAPE, **{name: -1.0})


def test_all_are_modules_without_parameters_by_default():
    for constructor in (BatchNormalization, LogNormalization, StatisticsNormalization, NoNormalization):
        module = constructor(SHAPE)
        assert isinstance(module, nn.Module) and not list(module.parameters())
