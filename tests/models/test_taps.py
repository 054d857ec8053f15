"""Taps: which non-linearities there are, in which order, and what they give."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hybrid.errors import UserError
from hybrid.models import capture, nonlinearity_taps
from hybrid.taps import run_blank, undisturbed


def test_taps_stand_in_depth_order_and_each_runs_once(make):
    model = make("scat_wrn", "model.head.k=1")
    taps = nonlinearity_taps(model)
    blocks = [f"head.stages.{s}.{b}.relu{r}" for s in (0, 1) for b in (0, 1) for r in (1, 2)]
    assert taps == ["head.stem.2", *blocks]
    assert model.training


def test_captured_outputs_are_those_of_the_layers(make):
    model = make("scat_resnet", "model.head.widths=[4,8]").eval()
    images = torch.randn(2, 3, 32, 32)
    names = [*nonlinearity_taps(model), "frontend", "head.stem.1"]
    with capture(model, names) as outputs:
        model(torch.randn(5, 3, 32, 32))
        model(images)
        assert set(outputs) == set(names)
        assert all(len(output) == 2 and not output.requires_grad for output in outputs.values())
    assert torch.equal(outputs["frontend"], model.frontend(images))
    assert torch.equal(outputs["head.stem.2"], outputs["head.stem.1"].relu())
    last = model.head.classifier(outputs["head.stages.1.1.relu2"].mean((2, 3)))
    torch.testing.assert_close(last, model(images))
    model(torch.randn(3, 3, 32, 32))
    assert len(outputs["frontend"]) == 2  # the hooks are gone


def test_outputs_keep_their_graph_where_asked(make):
    model = make("scat_resnet", "model.head.widths=[4,8]").eval()
    images = torch.randn(2, 3, 32, 32, requires_grad=True)
    with capture(model, ["frontend", "head.stem.2"], detach=False) as outputs:
        model(images)
        (gradient,) = torch.autograd.grad(outputs["head.stem.2"].sum(), images)
    (expected,) = torch.autograd.grad(model.head.stem(model.normalization(model.frontend(images))).sum(), images)
    assert gradient.abs().max() > 0
    torch.testing.assert_close(gradient, expected)


class Reused(nn.Module):
    def __init__(self):
        super().__init__()
        self.second, self.relu = nn.Tanh(), nn.ReLU()

    def forward(self, x):
        return self.relu(self.second(self.relu(x)) - 0.5)


def test_a_module_that_runs_twice_has_two_taps():
    model = Reused()
    assert nonlinearity_taps(model, (1, 2, 2)) == ["relu", "second", "relu#2"]
    x = torch.randn(3, 1, 2, 2)
    with capture(model, ["relu#2", "relu"]) as outputs:
        model(x)
    assert torch.equal(outputs["relu"], x.relu())
    assert torch.equal(outputs["relu#2"], (x.relu().tanh() - 0.5).relu())


def test_a_users_nonlinearity_can_say_that_it_is_one():
    class Cube(nn.Module):
        is_nonlinearity = True

        def forward(self, x):
            return x**3

    assert nonlinearity_taps(nn.Sequential(nn.Flatten(), Cube()), (1, 2, 2)) == ["1"]


def test_an_unknown_name_is_refused(make):
    with (
        pytest.raises(UserError, match="head.clasifier.*Did you mean head.classifier"),
        capture(make("scat_linear"), ["head.clasifier"]),
    ):
        pass


class Counting(nn.Module):
    """Writes to a buffer in evaluation mode, too, and draws random numbers."""

    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        self.seen += len(x)
        return x + torch.rand(x.shape)


def test_modes_buffers_and_random_numbers_come_back():
    model = nn.Sequential(nn.Dropout(), Counting(), nn.BatchNorm1d(4)).train()
    model[2].eval()
    state = torch.get_rng_state()
    assert run_blank(model, (4,), count=3).shape == (3, 4)
    assert model[1].seen == 0 and torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in model] == [True, True, False] and model.training


def test_modes_come_back_after_an_error():
    model = nn.Sequential(nn.Dropout(), nn.ReLU()).train()
    with pytest.raises(KeyError), undisturbed(model):
        assert not model[0].training
        raise KeyError
    assert model.training and model[0].training
