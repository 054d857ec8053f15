"""Networks of wavelets: their settings, their constraints, what training and analysis see of them."""

from __future__ import annotations

import pytest
import torch

from hybrid.analysis.layers import layers_of
from hybrid.configuration.composition import compose
from hybrid.errors import UserError
from hybrid.models import parts
from hybrid.models.wavelet_network import Projected, WaveletNetwork
from hybrid.training.optimizer import optimizer_from

FRAMES = {"banks": ("octave",), "widths": (4,), "nonlinearity": "phases", "skip": False, "projection": "real"}
SMALL = ["model.head.banks=[half_octave,half_octave_subsampled]", "model.head.widths=[64,64]"]


def test_evaluation_depends_on_one_image_alone_and_is_the_same_in_float64(make):
    model = make("phase_collapse_real", shape=(1, 16, 16)).eval()
    images = torch.rand(5, 1, 16, 16)
    with torch.no_grad():
        together = model(images)
        torch.testing.assert_close(model(images[2:3]), together[2:3], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(model.double()(images.double()).float(), together, rtol=1e-3, atol=1e-4)


def test_the_analysis_sees_every_block_before_and_after_its_nonlinearity(make):
    model = make("separation_concentration", shape=(1, 8, 8))
    names = [layer.name for layer in layers_of(model)]
    blocks = [f"head.blocks.{n}.{of}" for n in range(4) for of in ("nonlinearity", "concentration.rho")]
    assert names == ["pixels", *blocks, "logits"]
    [layer] = layers_of(model, taps=["head.blocks.1.wavelets"])
    assert layer.kind == "module" and layer.channels == 1


def test_an_image_of_one_colour_and_any_size(make):
    for shape in ((1, 8, 8), (3, 20, 13)):
        model = make("phase_collapse", *SMALL, "model.head.width=0.1", shape=shape, classes=3)
        assert model(torch.randn(2, *shape)).shape == (2, 3)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"banks": ("octave",)}, "banks has 1 entries and widths 8"),
        ({"parseval": True}, "projection=real"),
        ({"atoms": (4,) * 8}, "no effect with concentrate=none"),
        ({**FRAMES, "concentrate": "relu"}, "needs atoms for each of the 1 blocks"),
        ({**FRAMES, "window": 9}, "window is 9; the last map of 4x4 takes 1 to 4"),
        ({"L": 2}, "L is 2; the bank half_octave_subsampled"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        WaveletNetwork((1, 8, 8), 3, **settings)


def test_an_unknown_bank_is_one_line(make):
    with pytest.raises(UserError, match=r"model.head.banks"):
        make("learned_scatternet", "model.head.banks=[octave,octav,octave]")


@pytest.mark.parametrize("kind", [WaveletNetwork, Projected])
def test_parseval_steps_follow_each_update_in_place_of_weight_decay(kind):
    settings = {**FRAMES, "concentrate": "relu", "atoms": (6,)} if kind is WaveletNetwork else {"width": 4}
    head = kind((2, 8, 8), 3, parseval=True, **settings)
    model = torch.nn.Sequential(head)
    frames = head.parameter_groups()[0]["params"]
    assert len(frames) == (2 if kind is WaveletNetwork else 1)
    section = compose(
        ["optimizer=sgd", "optimizer.lr=0.1", "optimizer.weight_decay=0.5", "optimizer.momentum=0"]
    ).optimizer
    optimizer = optimizer_from(section, model)
    with torch.no_grad():
        frames[0].mul_(1.1)
    before = frames[0].clone()
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    singular = torch.linalg.svdvals(frames[0])
    wanted = 1.1 * (1 + 5e-4 - 5e-4 * 1.21)
    torch.testing.assert_close(singular, torch.full_like(singular, wanted), rtol=0, atol=1e-5)
    assert not torch.equal(before, frames[0])
    frames[0].requires_grad_(False)  # frozen: no step may move it
    before = frames[0].clone()
    optimizer.step()
    assert torch.equal(before, frames[0])


def test_the_tree_of_imagenet_averages_over_windows():
    with torch.device("meta"):
        head = Projected((1251, 14, 14), 1000, width=256, window=5)
    assert sum(parameter.numel() for parameter in head.parameters()) == 25_921_768
    assert Projected((3, 6, 5), 2, width=4, window=3)(torch.randn(2, 3, 6, 5)).shape == (2, 2)


def test_a_network_without_parseval_steps_asks_for_nothing():
    model = torch.nn.Sequential(WaveletNetwork((1, 8, 8), 3, banks=("octave",), widths=(4,)))
    assert parts.parameter_groups(model) == []
