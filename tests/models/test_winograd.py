from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import hybrid.models.winograd as winograd
from hybrid.configuration import build_record
from hybrid.configuration.composition import compose
from hybrid.data import Batch
from hybrid.models.winograd import Winograd
from hybrid.training.arithmetic import Arithmetic
from hybrid.training.evaluation import evaluate
from hybrid.training.settings import TrainerSettings
from hybrid.training.step import Meter, train_step

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def calls(monkeypatch):
    """The shapes of the images that were convolved by Winograd's algorithm."""
    monkeypatch.setattr(winograd, "_FEWEST_CHANNELS", 24)  # small numbers, for the sake of time
    seen = []
    forward = winograd._forward

    def counted(images, weight):
        seen.append(tuple(images.shape))
        return forward(images, weight)

    monkeypatch.setattr(winograd, "_forward", counted)
    return seen


def example(count=16, channels=24, outputs=32, height=16, width=16, *, layout=torch.channels_last):
    images = torch.randn(count, channels, height, width).to(memory_format=layout).requires_grad_()
    weight = (torch.randn(outputs, channels, 3, 3) / 15).to(memory_format=layout).requires_grad_()
    return images, weight


def distance(ours, exact):
    return ((ours.double() - exact).norm() / exact.norm()).item()


def both(images, weight, bias=None):
    """Output and gradients by Winograd's algorithm, and in float64 by the library: pairs."""
    inputs = [tensor for tensor in (images, weight, bias) if tensor is not None]
    with Winograd():
        ours = F.conv2d(images, weight, bias, padding=1)
    exact_inputs = [tensor.detach().double().requires_grad_() for tensor in inputs]
    exact = F.conv2d(*exact_inputs, padding=1)
    gradient = torch.randn(exact.shape)
    gradients = torch.autograd.grad(ours, inputs, gradient)
    exact_gradients = torch.autograd.grad(exact, exact_inputs, gradient.double())
    return list(zip((ours, *gradients), (exact, *exact_gradients), strict=True))


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize(
    ("count", "height", "width"),
    [(64, 8, 8), (16, 16, 16), (16, 14, 15), (65, 7, 7), (22, 13, 12), (2, 48, 44), (256, 4, 4)],
)
def test_output_and_gradients_are_the_librarys(calls, count, height, width, layout):
    images, weight = example(count, height=height, width=width, layout=layout)
    for ours, exact in both(images, weight, torch.randn(32, requires_grad=True)):
        assert ours.shape == exact.shape
        assert distance(ours, exact) < 4e-6
    assert calls == [(count, 24, height, width)]


def test_a_batch_is_cut_into_parts_that_fit_the_cache(monkeypatch):
    monkeypatch.setattr(winograd, "_BUFFER", 3 * 36 * 16 * 32)
    assert len(list(winograd._parts(17, (4, 4), 32))) == 6
    for ours, exact in both(*example(17)):
        assert distance(ours, exact) < 4e-6


def test_gradients_that_nobody_wants_are_not_computed():
    images, weight = example()
    for inputs in ([images], [weight]):
        for tensor in (images, weight):
            tensor.requires_grad_(any(tensor is one for one in inputs))
        with Winograd():
            output = F.conv2d(images, weight, padding=1)
        [gradient] = torch.autograd.grad(output.sum(), inputs)
        assert gradient.shape == inputs[0].shape


def test_second_derivatives_are_the_librarys():
    images, weight = example()

    def second(convolve):
        output = convolve(images, weight, padding=1)
        [first] = torch.autograd.grad((output**2).sum(), images, create_graph=True)
        return torch.autograd.grad((first**2).sum(), weight)[0]

    with Winograd():
        ours = second(F.conv2d)
    torch.testing.assert_close(ours, second(F.conv2d), rtol=1e-4, atol=1e-4 * ours.abs().max().item())


class Inside(nn.Module):
    """A convolution in the middle of a network, as heads have it."""

    def __init__(self, channels=24, **settings):
        super().__init__()
        self.convolution = nn.Conv2d(channels, 24, **{"kernel_size": 3, "padding": 1} | settings)

    def forward(self, images):
        return self.convolution(images).mean((2, 3))


@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": 1, "padding": 0},
        {"kernel_size": 5, "padding": 1},
        {"stride": 2},
        {"padding": 0},
        {"padding": "same"},
        {"dilation": 2},
        {"groups": 2},
        {"channels": 23},
    ],
    ids=str,
)
def test_other_convolutions_are_the_librarys(calls, settings):
    layer = Inside(**settings)
    images = torch.randn(16, layer.convolution.in_channels, 16, 16)
    with Winograd():
        ours = layer(images)
    assert torch.equal(ours, layer(images))
    assert not calls


@pytest.mark.parametrize("images", [(15, 24, 16, 16), (128, 24, 6, 6), (0, 24, 16, 16), (24, 16, 16)], ids=str)
def test_small_batches_and_awkward_maps_are_the_librarys(calls, images):
    layer, images = nn.Conv2d(24, 24, 3, padding=1), torch.randn(images)
    with Winograd():
        ours = layer(images)
    assert torch.equal(ours, layer(images))
    assert not calls


def test_other_types_and_modes_are_the_librarys(calls):
    layer, images = nn.Conv2d(24, 24, 3, padding=1), torch.randn(16, 24, 16, 16)
    with Winograd(), torch.autocast("cpu", torch.bfloat16):
        assert layer(images).dtype == torch.bfloat16
    with Winograd():
        assert layer.double()(images.double()).dtype == torch.float64
        layer.float()
        torch.testing.assert_close(torch.func.vmap(layer)(images[None])[0], layer(images), rtol=1e-3, atol=1e-5)
        torch.func.jvp(layer, (images,), (images,))
    assert len(calls) == 1  # the one beside vmap


def test_not_a_number_spreads():
    images, weight = example()
    with torch.no_grad():
        images[3, 5, 7, 7] = torch.nan
    with Winograd():
        output = F.conv2d(images, weight, padding=1)
    assert output[3, :, 6:9, 6:9].isnan().all()
    assert not output[:3].isnan().any()
    assert not output[4:].isnan().any()


@pytest.mark.parametrize(("winograd", "precision"), [(True, "fp32"), (False, "fp32"), (True, "bf16")])
def test_the_settings_decide(calls, winograd, precision):
    settings = build_record(TrainerSettings, compose([]).trainer, path="trainer")
    settings = dataclasses.replace(settings, winograd=winograd, precision=precision)
    model, labels = Inside(), torch.arange(16)
    batch = Batch(torch.randn(16, 24, 16, 16), labels, labels, torch.arange(16))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    train_step(
        model, optimizer, torch.amp.GradScaler("cpu", enabled=False), batch, Meter(CPU), settings=settings, step=1
    )
    assert bool(calls) == (winograd and precision == "fp32")


def test_evaluation_convolves_as_training_does(calls):
    labels = torch.arange(16) % 2
    batch = Batch(torch.randn(16, 24, 16, 16), labels, labels, torch.arange(16))
    model = Inside()
    ours = evaluate(model, [batch], num_classes=24, arithmetic=Arithmetic(winograd=True))
    assert len(calls) == 1
    assert ours.loss == pytest.approx(evaluate(model, [batch], num_classes=24).loss, rel=1e-4)
    assert len(calls) == 1


def test_what_is_compiled_convolves_as_the_library_does():
    settings = build_record(TrainerSettings, compose(["trainer.compile=true"]).trainer, path="trainer")
    assert settings.arithmetic == Arithmetic("fp32", winograd=False)


def test_the_matrices_are_those_of_the_identity():
    """Of every tile and filter of a basis the products sum up to the convolution, to single precision."""
    outputs, filters, inputs = (matrix.double().numpy() for matrix in winograd._matrices())
    for p in range(9):
        for q in range(36):
            tile, taps = np.eye(36)[q].reshape(6, 6), np.eye(9)[p].reshape(3, 3)
            exact = [[(tile[i : i + 3, j : j + 3] * taps).sum() for j in range(4)] for i in range(4)]
            ours = outputs @ ((filters @ taps.ravel()) * (inputs @ tile.ravel()))
            np.testing.assert_allclose(ours.reshape(4, 4), exact, atol=1e-5)


def test_the_output_may_be_changed_in_place_and_has_the_librarys_layout():
    for layout in (torch.channels_last, torch.contiguous_format):
        for height in (16, 14):
            images, weight = example(16, height=height, layout=layout)
            with Winograd():
                output = F.conv2d(images, weight, padding=1)
                assert output.stride() == F.conv2d(images.double(), weight.double(), padding=1).stride()
                output += 1
                torch.relu_(output)
            output.sum().backward()
            assert weight.grad is not None and output._base is None


def test_a_forward_tangent_goes_through_the_library(calls):
    images, weight = example()
    with Winograd(), torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(images.detach(), torch.randn_like(images))
        F.conv2d(dual, weight.detach(), padding=1)
    assert not calls


def test_the_default_type_does_not_matter():
    winograd._matrices.cache_clear()
    torch.set_default_dtype(torch.float64)
    try:
        assert all(matrix.dtype == torch.float32 for matrix in winograd._matrices())
    finally:
        torch.set_default_dtype(torch.float32)
