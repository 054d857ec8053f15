"""The layers of a model: which there are, under which names, in which order, and that looking leaves no trace."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hybrid.analysis.layers import Layer, layers_of, scattering_of
from hybrid.analysis.observation import observe
from hybrid.configuration.composition import compose
from hybrid.configuration.from_config import model_from
from hybrid.errors import UserError
from hybrid.models import nonlinearity_taps
from hybrid.scattering import TorchScattering2D


def model_of(name: str, *overrides: str) -> nn.Module:
    return model_from(compose([f"model={name}", *overrides]).model, image_shape=(3, 16, 16), num_classes=5)


class Reused(nn.Module):
    """Runs its activation twice, completes `second` before `first`, and has a module that does not run."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.idle = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(2, 2, 1), nn.Linear(2, 2)
        self.act = nn.ReLU()
        self.tail = nn.Sequential(nn.Flatten(), nn.Linear(48, 4))
        self.image_shape = (2, 4, 4)

    def forward(self, x):
        x = F.dropout(self.first(self.act(self.second(x))), 0.5)  # draws random numbers in evaluation mode, too
        return self.tail(self.act(x))


class Filtered(nn.Module):
    """A user's own model: a convolution before the scattering, one colour at a time."""

    def __init__(self):
        super().__init__()
        self.sharpen, self.wavelets, self.logits = (
            nn.Conv2d(3, 1, 1),
            TorchScattering2D(1, (8, 8), L=4),
            nn.Linear(5 * 16, 2),
        )

    def forward(self, x):
        return self.logits(self.wavelets(self.sharpen(x)[:, 0]).flatten(1))


def test_a_hybrid_model_from_the_pixels_to_the_logits():
    model = model_of("scat_wrn", "model.head.k=1")
    layers = layers_of(model)
    taps = nonlinearity_taps(model)
    assert [layer.name for layer in layers] == ["pixels", "S0", "S1", "S2", "scattering", *taps, "logits"]
    assert len(taps) == 9 and [layer.depth for layer in layers] == list(range(15))
    assert [layer.order for layer in layers[:6]] == [None, 0, 1, 2, None, None]
    kinds = ["pixels"] + ["scattering"] * 4 + ["nonlinearity"] * 9 + ["logits"]
    assert [layer.kind for layer in layers] == kinds


def test_order_1_has_no_s2_and_pixels_no_scattering():
    first = [layer.name for layer in layers_of(model_of("scat_linear", "model.frontend.max_order=1"))]
    assert first == ["pixels", "S0", "S1", "scattering", "logits"]
    one_scale = [layer.name for layer in layers_of(model_of("scat_linear", "model.frontend.J=1"))]  # no second order
    assert one_scale == first
    assert [layer.kind for layer in layers_of(model_of("regular_cnn"))] == ["pixels"] + ["nonlinearity"] * 13 + [
        "logits"
    ]


def test_a_torchvision_network():
    resnet18 = pytest.importorskip("torchvision").models.resnet18
    layers = layers_of(resnet18(num_classes=10), image_shape=(3, 32, 32))
    names = [layer.name for layer in layers]
    assert names[:4] == ["pixels", "relu", "layer1.0.relu", "layer1.0.relu#2"] and names[-1] == "logits"
    assert len(names) == 1 + 17 + 1


def test_named_submodules_stand_in_depth_order():
    layers = layers_of(Reused(), taps=["logits", "tail", "act#2", "first", "second", "act", "pixels"])
    assert [layer.name for layer in layers] == ["pixels", "second", "act", "first", "act#2", "tail", "logits"]
    assert layers[1] == Layer("second", "module", 1) and layers[2].kind == "nonlinearity"


def test_a_users_model_with_a_scattering_inside():
    model = Filtered()
    assert scattering_of(model) == ("wavelets", model.wavelets)
    layers = layers_of(model, taps=["S1", "sharpen", "scattering", "logits"], image_shape=(3, 8, 8))
    assert [layer.name for layer in layers] == ["sharpen", "S1", "scattering", "logits"]
    assert layers[-1].kind == "logits"  # the word wins over the submodule of that name


def test_pixels_and_logits_are_the_models_input_and_output_whatever_its_modules_are_called():
    model = nn.Sequential(OrderedDict(pixels=nn.Conv2d(1, 1, 1), logits=nn.ReLU(), last=nn.Flatten()))
    layers = layers_of(model, taps=["logits", "last", "pixels"], image_shape=(1, 2, 2))
    assert [(layer.name, layer.kind) for layer in layers] == [
        ("pixels", "pixels"),
        ("last", "module"),
        ("logits", "logits"),
    ]
    images = torch.randn(3, 1, 2, 2)
    values = observe(model, images, layers)
    assert torch.equal(values["pixels"], images) and torch.equal(values["logits"], model(images))


@pytest.mark.parametrize(
    ("tap", "words"),
    [
        ("frist", ["Did you mean first?", "act#2", "pixels", "tail.1", "logits"]),
        ("idle", ["unknown layer", "second"]),
        ("act#3", ["unknown layer", "act#2"]),
        ("S1", ["unknown layer"]),
    ],
)
def test_an_unknown_layer_is_refused_with_the_valid_ones(tap, words):
    with pytest.raises(UserError) as error:
        layers_of(Reused(), taps=["pixels", tap])
    assert tap in str(error.value) and "\n" not in str(error.value)
    assert all(word in str(error.value) for word in words)
    assert ", idle" not in str(error.value)


def test_other_mistakes():
    with pytest.raises(UserError, match="give image_shape"):
        layers_of(Filtered())
    with pytest.raises(UserError, match="taps is empty"):
        layers_of(Reused(), taps=[])


def test_looking_leaves_the_model_and_the_random_numbers_alone():
    model = Reused().train()
    model.tail.eval()
    state = torch.get_rng_state()
    layers_of(model)
    assert model.training and model.act.training and not model.tail.training and not model.tail[0].training
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(module._forward_hooks for module in model.modules())


def test_a_compiled_model_has_the_same_layers():
    model = model_of("scat_resnet", "model.head.widths=[4,8]")
    assert layers_of(torch.compile(model, backend="eager")) == layers_of(model)
