"""Largest singular values against the whole Jacobian: linear maps, networks, the scattering, taps of models."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from hybrid.analysis.jacobian import jacobian_norm
from hybrid.configuration.composition import compose
from hybrid.configuration.from_config import model_from
from hybrid.errors import UserError
from hybrid.models import capture, nonlinearity_taps
from hybrid.scattering import TorchScattering2D
from hybrid.taps import NONLINEARITIES


def whole(function, inputs):
    """(N,) from torch.linalg.svdvals of every sample's Jacobian, formed column by column of the output."""
    norms = []
    for sample in inputs:
        jacobian = torch.autograd.functional.jacobian(lambda x: function(x[None])[0], sample, vectorize=True)
        norms.append(torch.linalg.svdvals(jacobian.reshape(-1, sample.numel()))[0])
    return torch.stack(norms).double()


def tap(model, name):
    def layer(images):
        with capture(model, [name], detach=False) as outputs:
            model(images)
            return outputs[name]

    return layer


@pytest.mark.parametrize("shape", [(7, 5), (5, 7), (1, 6), (6, 1)])
def test_a_linear_map_is_exact(shape):
    matrix = torch.randn(shape, dtype=torch.float64)
    result = jacobian_norm(lambda x: x @ matrix.T, torch.randn(3, shape[1], dtype=torch.float64), tolerance=1e-8)
    expected = torch.linalg.svdvals(matrix)[0].expand(3)
    torch.testing.assert_close(result.values, expected, rtol=1e-12, atol=0)
    assert result.converged.all() and (result.iterations <= shape[1]).all()


def test_each_sample_has_its_own_norm():
    scale = torch.tensor([0.0, 1e-12, 1.0, 30.0, 1e9], dtype=torch.float64)
    inputs = scale[:, None] * torch.tensor([1.0, 0.5, 0.25], dtype=torch.float64)
    result = jacobian_norm(lambda x: x.square(), inputs)  # a diagonal Jacobian, 2x
    torch.testing.assert_close(result.values, 2 * scale, rtol=1e-9, atol=0)
    assert result.converged.all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_relu_network(dtype):
    network = nn.Sequential(nn.Linear(20, 40), nn.ReLU(), nn.Linear(40, 30), nn.ReLU(inplace=True), nn.Linear(30, 25))
    network.to(dtype)
    inputs = torch.randn(6, 20, dtype=dtype)
    result = jacobian_norm(network, inputs, tolerance=1e-4)
    torch.testing.assert_close(result.values, whole(network, inputs), rtol=1e-5, atol=0)
    assert result.converged.all() and (result.residuals <= 1e-4).all()
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("kind", NONLINEARITIES)
def test_every_nonlinearity_has_its_derivative(kind):
    network = nn.Sequential(nn.Linear(6, 9), kind(), nn.Linear(9, 6)).double().eval()
    inputs = torch.randn(4, 6, dtype=torch.float64)
    result = jacobian_norm(network, inputs, tolerance=1e-6)
    torch.testing.assert_close(result.values, whole(network, inputs), rtol=1e-6, atol=0)


@pytest.mark.parametrize("kind", ["noise", "zero", "half"])
def test_the_scattering_at_8x8(kind):
    """Also where the modulus is zero, everywhere or in part: its derivative there is 0, as for the gradients of training."""
    scattering = TorchScattering2D(2, (8, 8)).double()
    images = torch.randn(2, 1, 8, 8, dtype=torch.float64)
    if kind == "zero":
        images = torch.zeros_like(images)
    if kind == "half":
        images[1] = 0
    result = jacobian_norm(lambda x: 4 * scattering(x), images, tolerance=1e-4)
    torch.testing.assert_close(result.values, whole(lambda x: 4 * scattering(x), images), rtol=1e-6, atol=0)
    assert result.converged.all() and (result.values > 0.1).all()


def test_compensated_scattering_does_not_stretch_padded_images():
    scattering = TorchScattering2D(2, (8, 8), pre_pad=True).double()
    images = torch.randn(3, *scattering.padded_shape, dtype=torch.float64)
    assert (jacobian_norm(lambda x: 4 * scattering(x), images).values <= 1.0001).all()


def test_taps_of_a_hybrid_model():
    config = compose(["model=scat_resnet", "model.head.widths=[4,6]"]).model
    model = model_from(config, image_shape=(1, 8, 8), num_classes=3)
    model(torch.randn(20, 1, 8, 8))  # statistics for the batch normalizations
    model.eval()
    images = torch.randn(2, 1, 8, 8)
    names = nonlinearity_taps(model)
    for name in ("frontend", "normalization", names[0], names[-1]):
        result = jacobian_norm(tap(model, name), images, tolerance=1e-3)
        torch.testing.assert_close(result.values, whole(tap(model, name), images), rtol=1e-3, atol=0)
    torch.testing.assert_close(jacobian_norm(model, images).values, whole(model, images), rtol=1e-3, atol=0)


def test_taps_of_a_residual_network_with_in_place_units():
    model = resnet18(num_classes=4, norm_layer=lambda width: nn.GroupNorm(1, width)).eval()
    for name in ("relu", "layer1.0.relu", "layer1.0.relu#2", "layer3.1.relu#2"):
        images = torch.randn(2, 3, 8, 8)
        result = jacobian_norm(tap(model, name), images, tolerance=1e-3)
        torch.testing.assert_close(result.values, whole(tap(model, name), images), rtol=2e-3, atol=0)


def test_fused_attention_is_differentiated():
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True).double().eval()
    inputs = torch.randn(2, 3, 8, dtype=torch.float64)
    result = jacobian_norm(layer, inputs, tolerance=1e-6)
    torch.testing.assert_close(result.values, whole(layer, inputs), rtol=1e-6, atol=0)


def test_a_sample_does_not_depend_on_the_others_nor_on_chance():
    network = nn.Sequential(nn.Linear(30, 30), nn.Tanh(), nn.Linear(30, 30)).double()
    inputs = torch.randn(5, 30, dtype=torch.float64)
    inputs[3] *= 50  # this one needs other numbers of iterations than the rest
    state = torch.get_rng_state()
    together = jacobian_norm(network, inputs)
    assert torch.equal(torch.get_rng_state(), state)
    for index in range(5):
        alone = jacobian_norm(network, inputs[index : index + 1])
        assert alone.iterations[0] == together.iterations[index]
        torch.testing.assert_close(alone.values[0], together.values[index], rtol=1e-12, atol=0)
    again = jacobian_norm(network, inputs, generator=torch.Generator().manual_seed(0))
    other = jacobian_norm(network, inputs, generator=torch.Generator().manual_seed(1))
    assert torch.equal(again.values, together.values) and not torch.equal(other.values, together.values)


def test_too_few_iterations_are_flagged_and_estimate_from_below():
    diagonal = torch.linspace(1, 2, 400, dtype=torch.float64)
    inputs = torch.randn(2, 400, dtype=torch.float64)
    few = jacobian_norm(lambda x: diagonal * x, inputs, iterations=3, tolerance=1e-3)
    assert not few.converged.any() and (few.values < 2).all() and (few.iterations == 3).all()
    errors = [
        (2 - jacobian_norm(lambda x: diagonal * x, inputs, iterations=n, tolerance=1e-9).values[0]) for n in (3, 10, 40)
    ]
    assert errors[0] > errors[1] > errors[2] > 0 and errors[2] < 5e-4


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_works_where_gradients_are_off_and_leaves_its_input_alone(mode):
    with mode():
        inputs = torch.randn(2, 6)
        copy = inputs.clone()
        result = jacobian_norm(lambda x: x.mul_(3), inputs)
    assert torch.equal(inputs, copy) and not inputs.requires_grad
    assert result.values.tolist() == pytest.approx([3, 3], rel=1e-6)


def test_samples_that_depend_on_each_other_are_refused():
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU())
    images = torch.randn(4, 1, 6, 6)
    with pytest.raises(UserError, match="evaluation mode"):
        jacobian_norm(model, images)
    assert jacobian_norm(model.eval(), images).converged.all()


@pytest.mark.parametrize(
    ("function", "inputs", "message"),
    [
        (lambda x: x, torch.zeros(2, 3, dtype=torch.int64), "float32 or float64"),
        (lambda x: x, torch.zeros(2, 3).half(), "got float16"),
        (lambda x: x, torch.zeros(0, 3), r"none empty, got float32 \(0, 3\)"),
        (lambda x: x, torch.full((2, 3), torch.nan), "inputs must be finite"),
        (lambda x: x.log(), torch.zeros(2, 3), "outputs must be finite"),
        (lambda x: x.sqrt(), torch.tensor([[1.0, 4.0], [0.0, 1.0]]), "not finite at 1 of 2"),
        (lambda x: x.detach(), torch.ones(2, 3), "detach=False"),
        (lambda x: torch.ones(2, 3, requires_grad=True) * 2, torch.ones(2, 3), "do not depend on its inputs"),
        (lambda x: x.sum(), torch.ones(2, 3), "one output for each of 2"),
    ],
)
def test_mistakes_are_one_clear_line(function, inputs, message):
    with pytest.raises(UserError, match=message):
        jacobian_norm(function, inputs)


@pytest.mark.parametrize("settings", [{"iterations": 0}, {"tolerance": 0.0}, {"tolerance": float("nan")}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(UserError, match="at least 1 and tolerance above 0"):
        jacobian_norm(lambda x: x, torch.ones(2, 3), **settings)
