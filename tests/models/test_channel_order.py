from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import hybrid.models
from hybrid.configuration.composition import compose
from hybrid.configuration.from_config import model_from
from hybrid.errors import UserError
from hybrid.models.channel_order import from_pyscatwave
from hybrid.scattering import pyscatwave_order
from hybrid.training.initial_weights import load_initial_weights

TORCH = ("model.frontend.J=2", "model.frontend.engine=torch")


class OnPyscatwave(nn.Module):
    """A front-end whose coefficients come in pyscatwave's order, colour by colour."""

    def __init__(self, frontend: nn.Module) -> None:
        super().__init__()
        self.frontend = frontend
        transform = frontend.transform
        self.order = torch.tensor(pyscatwave_order(transform.J, transform.L, transform.max_order))

    def forward(self, images):
        return self.frontend(images).unflatten(1, (-1, len(self.order)))[:, :, self.order].flatten(1, 2)


def build(*overrides: str) -> hybrid.models.HybridModel:
    cfg = compose(list(overrides))
    model = model_from(cfg.model, image_shape=(3, 16, 16), num_classes=5)
    if model.needs_statistics:
        model.fit_statistics([torch.rand(2, 3, 16, 16)])
    with torch.no_grad():
        for name, tensor in model.state_dict().items():  # statistics and biases too: everything tells channels apart
            if "var" in name:
                tensor.uniform_(0.5, 1.5)
            elif tensor.is_floating_point():
                tensor.normal_(std=tensor[0].numel() ** -0.5)
    return model.eval()


@pytest.mark.parametrize("head", ["resnet", "wide_resnet", "linear", "mlp", "cnn", "sle"])
@pytest.mark.parametrize("normalization", ["batch_norm", "batch_norm_affine", "statistics", "none"])
def test_a_network_of_pyscatwaves_coefficients_gives_the_same_logits(head, normalization, tmp_path):
    overrides = [f"model/head={head}", f"model/normalization={normalization}", *TORCH]
    overrides += ["model.head.k=1"] if head == "wide_resnet" else []
    theirs, ours = build(*overrides), build(*overrides)
    torch.save(theirs.state_dict(), tmp_path / "published.pt")
    load_initial_weights(ours, tmp_path / "published.pt", channels="pyscatwave")
    images = torch.randn(4, 3, 16, 16)
    theirs.frontend = OnPyscatwave(theirs.frontend)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), rtol=1e-4, atol=1e-4)
        load_initial_weights(ours, tmp_path / "published.pt")
        assert not torch.allclose(ours(images), theirs(images), rtol=1e-3), "the order would not matter"


def test_a_network_on_pixels_has_no_such_order(tmp_path):
    model = build("model=resnet18")
    torch.save(model.state_dict(), tmp_path / "w.pt")
    with pytest.raises(UserError, match="init_channels=pyscatwave: only scattering coefficients.*not a Identity"):
        load_initial_weights(model, tmp_path / "w.pt", channels="pyscatwave")


class Backwards(nn.Module):
    """Its layers are registered in another order than they run in."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(243, 5)
        self.first = nn.Conv2d(243, 243, 1)

    def forward(self, features):
        return self.last(self.first(features).mean((2, 3)))


class Flat(nn.Linear):
    """A layer that is the whole head."""

    def __init__(self):
        super().__init__(243 * 16, 5)

    def forward(self, features):
        return super().forward(features.flatten(1))


@pytest.mark.parametrize("head", [Backwards, Flat])
def test_what_a_head_begins_with_is_found_by_running_it(head):
    model = build("model=scat_linear", *TORCH)
    model.head = head().eval()
    images, theirs = torch.randn(4, 3, 16, 16), copy.deepcopy(model)
    model.load_state_dict(from_pyscatwave(model, model.state_dict()))
    theirs.frontend = OnPyscatwave(theirs.frontend)
    with torch.no_grad():
        torch.testing.assert_close(model(images), theirs(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "layers", [[nn.GroupNorm(1, 243), nn.Flatten(), nn.Linear(243 * 16, 5)], [nn.AdaptiveAvgPool2d(1), nn.Flatten()]]
)
def test_a_head_that_begins_otherwise_is_refused(layers):
    model = build("model=scat_linear", *TORCH)
    model.head = nn.Sequential(*layers)
    with pytest.raises(ValueError, match="the head begins with weights whose channels cannot be told"):
        from_pyscatwave(model, model.state_dict())


def test_a_first_layer_on_something_else_is_refused():
    model = build("model=scat_linear", *TORCH)
    model.head = nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(972, 5))
    with pytest.raises(ValueError, match="head.2.weight takes 972 inputs, not the 243 channels"):
        from_pyscatwave(model, model.state_dict())
