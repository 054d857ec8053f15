"""The constant-width network: its taps, its non-linearities, what its layers begin as and how they act."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from hybrid.configuration.composition import compose
from hybrid.durations import RunLength
from hybrid.models import capture, nonlinearity_taps
from hybrid.models.regular_cnn import ExpansiveRoot, PartialReLU, RegularCNN
from hybrid.training.optimizer import parameter_groups
from hybrid.training.schedule import Step

BLOCKS = [f"head.groups.{group}.{block}" for group in range(3) for block in range(2)]
TAPS = ["head.stem.2", *(f"{block}.{position}" for block in BLOCKS for position in (2, 5))]


def only(model: nn.Module, kind: type[nn.Module]) -> list[nn.Module]:
    return [module for module in model.modules() if type(module) is kind]


@pytest.mark.parametrize("options", [[], ["model.head.alpha=0"], ["model.head.contractive=false"]])
def test_thirteen_taps_in_order_on_maps_of_32_16_and_8(make, options):
    model = make("regular_cnn", *options).eval()
    assert nonlinearity_taps(model) == TAPS
    with torch.no_grad(), capture(model, TAPS) as outputs:
        model(torch.randn(2, 3, 32, 32))
    assert [tuple(outputs[tap].shape[1:]) for tap in TAPS] == [(32, 32, 32)] * 5 + [(32, 16, 16)] * 4 + [(32, 8, 8)] * 4


@pytest.mark.parametrize(
    ("alpha", "width", "rectified"), [(0, 8, 0), (0.05, 32, 1), (0.9, 32, 28), (0.29, 100, 29), (1, 8, 8)]
)
def test_alpha_is_the_share_of_channels_with_a_relu(alpha, width, rectified):
    features = torch.randn(2, width, 3, 3)
    output = PartialReLU(width, alpha)(features)
    assert torch.equal(output[:, :rectified], features[:, :rectified].relu())
    assert torch.equal(output[:, rectified:], features[:, rectified:])


def test_alpha_reaches_twelve_layers_and_spares_the_first(make):
    model = make("regular_cnn", "model.head.alpha=0.25").train()
    with capture(model, TAPS) as outputs:
        model(torch.randn(4, 3, 32, 32))
    negative = [(outputs[tap] < 0).any(dim=0).flatten(1).any(dim=1) for tap in TAPS]
    assert not negative[0].any()
    for channels in negative[1:]:
        assert not channels[:8].any() and channels[8:].all()


def test_the_expansive_root_is_not_contractive():
    x = torch.tensor([-4.0, -1e-6, 0.0, 1e-6, 4.0], requires_grad=True)
    y = ExpansiveRoot()(x)
    root, tiny = math.sqrt(4 + 1e-5) + 0.1, math.sqrt(1.1e-5) + 0.1
    torch.testing.assert_close(y, torch.tensor([-root, -tiny, 0.0, tiny, root]))
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert gradient.isfinite().all() and 140 < gradient[1] < 158.2


def test_a_network_that_is_not_contractive_keeps_its_first_relu(make):
    head = make("regular_cnn", "model.head.contractive=false").head
    assert [type(head.get_submodule(tap.removeprefix("head."))) for tap in TAPS] == [nn.ReLU] + [ExpansiveRoot] * 12


def test_dropout_drops_two_fifths_after_each_block(make):
    model = make("regular_cnn", "experiment=regular_boundary").train()
    dropouts = [f"{block}.6" for block in BLOCKS]
    assert len(only(model, nn.Dropout)) == 6
    with torch.no_grad(), capture(model, [*TAPS, *dropouts]) as outputs:
        model(torch.randn(8, 3, 32, 32))
    for block in BLOCKS:
        before, after = outputs[f"{block}.5"], outputs[f"{block}.6"]
        alive = before > 0
        kept = after[alive] > 0
        assert abs(1 - kept.float().mean().item() - 0.4) < 0.03
        torch.testing.assert_close(after[alive][kept], before[alive][kept] / 0.6)


@pytest.mark.parametrize("width", [16, 64])
def test_initial_weights(width):
    head = RegularCNN((3, 32, 32), 10, width=width)
    std = math.sqrt(8 / (9 * width))
    convolutions = only(head, nn.Conv2d)
    assert len(convolutions) == 13 and all(layer.bias is None for layer in convolutions)
    inner = torch.cat([layer.weight.flatten() for layer in convolutions[1:]])
    for weights in (convolutions[0].weight.flatten(), inner):
        assert 1.9 * std < weights.abs().max() <= 2 * std
    # A normal distribution cut off at two standard deviations keeps 0.8796 of its own.
    assert inner.std().item() == pytest.approx(0.8796 * std, rel=0.02)
    assert abs(inner.mean().item()) < 0.02 * std
    bound = math.sqrt(3 / width)
    assert 0.9 * bound < head.classifier.weight.abs().max() <= bound
    assert head.classifier.weight.std().item() == pytest.approx(1 / math.sqrt(width), rel=0.15)
    assert not head.classifier.bias.any()


def test_batch_norm_has_no_parameters_and_the_published_constants(make):
    norms = only(make("regular_cnn"), nn.BatchNorm2d)
    assert len(norms) == 13
    assert {(norm.affine, norm.eps, norm.momentum) for norm in norms} == {(False, 1e-3, 0.01)}


def test_logits_are_linear_in_the_mean_of_the_last_map(make):
    model = make("regular_cnn").eval()
    with torch.no_grad(), capture(model, TAPS) as outputs:
        logits = model(torch.randn(2, 3, 32, 32))
        torch.testing.assert_close(model.head.classifier(outputs[TAPS[-1]].mean((2, 3))), logits)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 1.5}, "alpha is 1.5"),
        ({"alpha": 0.5, "contractive": False}, "alpha=0.5 has no effect"),
        ({"width": 0}, "width is 0"),
        ({"input_shape": (3, 2, 2)}, "3x3 or more, not 2x2"),
        ({"dropout": 1.0}, "dropout rate is 1.0"),
    ],
)
def test_mistakes_are_one_line(options, message):
    with pytest.raises(ValueError, match=message) as error:
        RegularCNN(**{"input_shape": (3, 32, 32), "num_classes": 10, **options})
    assert "\n" not in str(error.value)


def test_the_recipe_is_the_published_one(make):
    config = compose(["experiment=regular_boundary"])
    schedule = Step(**{key: value for key, value in config.schedule.items() if key != "_target_"},
                    length=RunLength(steps_per_epoch=391, total_steps=121_101))  # fmt: skip
    for step in (0, 9_999, 10_000, 57_123, 119_999, 120_000, 121_100):
        assert schedule(step).lr_factor == 0.5 ** (step // 10_000)
    assert (config.trainer.duration, config.trainer.batch_size) == ("121101 steps", 128)
    optimizer = {key: config.optimizer[key] for key in ("lr", "momentum", "nesterov", "weight_decay", "decay")}
    assert list(optimizer.values()) == [0.25, 0.9, False, 2e-4, "weights"]
    augmentation = config.augmentation
    assert (augmentation.pad, augmentation.pad_mode, augmentation.flip) == (2, "after_normalize", 0.5)
    assert config.data.validation == 0 and config.data.normalize.mean[0] == 0.4914
    decayed, spared = parameter_groups(make("regular_cnn"), lr=0.25, weight_decay=2e-4, decay=config.optimizer.decay)
    assert len(decayed["params"]) == 14 and [p.shape for p in spared["params"]] == [(10,)]
