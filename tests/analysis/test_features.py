"""Observed values are those of the layers, pooled rows are small, and the model does not notice."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
import torch
from torch import nn

from hybrid.analysis.features import Projection, Standardizer, collect, pooled
from hybrid.analysis.layers import Layer, layers_of
from hybrid.analysis.observation import observe
from hybrid.configuration.composition import compose
from hybrid.configuration.from_config import model_from
from hybrid.errors import UserError
from hybrid.models import capture, nonlinearity_taps

SHAPE = (3, 16, 16)


def model_of(name: str, *overrides: str) -> nn.Module:
    return model_from(compose([f"model={name}", *overrides]).model, image_shape=SHAPE, num_classes=5)


@pytest.fixture(scope="module")
def hybrid() -> nn.Module:
    model = model_of("scat_resnet", "model.head.widths=[4,8]", "model.head.dropout=0.5").train()
    model(torch.randn(8, *SHAPE))  # batch norm has seen something
    return model


class InPlace(nn.Module):
    image_shape = (1, 2, 2)

    def __init__(self):
        super().__init__()
        self.scale, self.relu = nn.BatchNorm2d(1), nn.ReLU(inplace=True)

    def forward(self, x):
        return self.relu(self.scale(x)).flatten(1).add_(1)


def test_values_are_those_of_a_forward_in_evaluation_mode(hybrid):
    images, layers = torch.randn(4, *SHAPE), layers_of(hybrid)
    values = observe(hybrid, images, layers)
    assert list(values) == [layer.name for layer in layers]
    hybrid.eval()
    with torch.no_grad(), capture(hybrid, nonlinearity_taps(hybrid)) as outputs:
        logits = hybrid(images)
        coefficients = 4 * hybrid.frontend.transform(images)  # J=2, before the normalization
    hybrid.train()
    for tap, output in outputs.items():
        assert torch.equal(values[tap], output)
    assert torch.equal(values["pixels"], images) and torch.equal(values["logits"], logits)
    assert torch.equal(values["S0"], coefficients[:, :, 0])
    assert torch.equal(values["S1"], coefficients[:, :, 1:17].flatten(1, 2))
    assert torch.equal(values["S2"], coefficients[:, :, 17:].flatten(1, 2))
    assert torch.equal(values["scattering"], coefficients.flatten(1, 2))
    assert not any(value.requires_grad for value in values.values())


def test_compensated_energy_of_a_constant_image_is_its_own(hybrid):
    images, layers = torch.full((1, *SHAPE), 0.7), layers_of(hybrid, taps=["pixels", "S0", "scattering"])
    values = observe(hybrid, images, layers)
    assert values["S0"].norm().item() == pytest.approx(images.norm().item(), rel=1e-4)
    raw = observe(hybrid, images, layers, compensate_energy=False)
    torch.testing.assert_close(raw["scattering"] * 4, values["scattering"])
    assert torch.equal(raw["pixels"], values["pixels"])


def test_the_model_and_the_random_numbers_are_left_alone(hybrid):
    before = {key: value.clone() for key, value in hybrid.state_dict().items()}
    state, hooks = torch.get_rng_state(), sum(len(module._forward_hooks) for module in hybrid.modules())
    collect(hybrid, [(torch.randn(4, *SHAPE, generator=torch.Generator()), torch.arange(4))], layers_of(hybrid))
    assert all(torch.equal(before[key], value) for key, value in hybrid.state_dict().items())
    assert all(module.training for module in hybrid.modules())
    assert torch.equal(torch.get_rng_state(), state)
    assert sum(len(module._forward_hooks) for module in hybrid.modules()) == hooks == 0


def test_work_in_place_does_not_show():
    model = InPlace()
    images = torch.tensor([[-2.0, -1.0, 1.0, 2.0]]).reshape(1, 1, 2, 2)
    layers = layers_of(model, taps=["scale", "relu", "logits"])
    values = observe(model, images, layers)
    torch.testing.assert_close(values["scale"], images, rtol=1e-4, atol=0)
    torch.testing.assert_close(values["relu"], images.relu(), rtol=1e-4, atol=0)
    torch.testing.assert_close(values["logits"], images.relu().flatten(1) + 1, rtol=1e-4, atol=0)
    features = collect(model, [(images, torch.zeros(1, dtype=torch.int64))], layers, pooling="flatten")
    torch.testing.assert_close(features.values["scale"], images.flatten(1), rtol=1e-4, atol=0)


def test_each_call_of_a_module_has_its_own_values():
    model = nn.Sequential(nn.Flatten(), relu := nn.ReLU(), nn.Linear(4, 4), relu)
    images = torch.randn(3, 1, 2, 2)
    values = observe(model, images, layers_of(model, image_shape=(1, 2, 2)))
    assert list(values) == ["pixels", "1", "1#2", "logits"]
    assert torch.equal(values["1"], images.flatten(1).relu()) and torch.equal(values["1#2"], values["logits"])


def test_a_differentiable_observation_has_the_derivatives():
    model = model_of("scat_resnet", "model.head.widths=[4,8]").double()
    layers = layers_of(model, taps=["S1", "head.stem.2", "logits"])
    images, direction = torch.randn(2, 2, *SHAPE, dtype=torch.float64)
    step = 1e-6

    def forward(x):
        return observe(model, x, layers, differentiable=True)

    with torch.no_grad():
        ahead, behind = forward(images + step * direction), forward(images - step * direction)
    _, tangents = torch.func.jvp(forward, (images,), (direction,))
    for name in ahead:
        slope = (ahead[name] - behind[name]) / (2 * step)
        torch.testing.assert_close(tangents[name], slope, rtol=1e-4, atol=1e-5 * slope.abs().max().item())
    leaf = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(forward(leaf)["S1"].sum(), leaf)
    torch.testing.assert_close((gradient * direction).sum(), tangents["S1"].sum())


def test_pooled():
    maps = torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(pooled(maps), maps.flatten(2).mean(2))
    assert torch.equal(pooled(maps, "flatten"), maps.reshape(2, 60))
    assert torch.equal(pooled(maps[:, :, 0, 0]), maps[:, :, 0, 0])
    ones = torch.ones(1, 1, 300, 300, dtype=torch.float16)
    assert pooled(ones).dtype == torch.float32 and pooled(ones).item() == 1.0
    with pytest.raises(ValueError, match=r"\(N, D\)"):
        pooled(torch.zeros(3))
    with pytest.raises(UserError, match="unknown pooling: mean.*average, flatten"):
        pooled(maps, "mean")


def test_many_pixels_are_projected_and_few_are_not(hybrid):
    images, labels = torch.randn(6, *SHAPE, generator=torch.Generator().manual_seed(0)), torch.arange(6)
    layers, batch = layers_of(hybrid, taps=["pixels", "logits"]), [(images, labels)]
    whole = collect(hybrid, batch, layers, project=Projection(images[0].numel()))
    assert whole.vectors == {"pixels": "flattened", "logits": "flattened"}
    assert torch.equal(whole.values["pixels"], images.flatten(1))
    few = collect(hybrid, batch, layers, project=Projection(50))
    assert few.vectors["pixels"] == "projected" and few.values["pixels"].shape == (6, 50)
    assert torch.equal(few.values["pixels"], Projection(50)(images.flatten(1)))  # of the whole and of a part
    assert torch.equal(few.values["logits"], whole.values["logits"])


def test_a_projection_keeps_distances_as_closely_as_it_says():
    points = torch.randn(200, 5000, generator=torch.Generator().manual_seed(0))
    ratios = (torch.pdist(Projection(1024)(points)) / torch.pdist(points)).square()
    assert ratios.mean() == pytest.approx(1, abs=0.02) and ratios.std() == pytest.approx((2 / 1024) ** 0.5, rel=0.2)
    assert not torch.equal(Projection(64, seed=1)(points), Projection(64)(points))
    assert Projection(5000)(points) is points


def test_one_scale_for_all_coordinates_keeps_the_proportions_of_distances():
    points = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 5, 0, 20]) + 3
    scaled = Standardizer.fit(points, together=True)
    assert scaled.constant == 1 and scaled(points).var(0, correction=0).mean() == pytest.approx(1, rel=1e-5)
    ratios = torch.pdist(scaled(points)) / torch.pdist(points)
    assert ratios.std() < 1e-6


@pytest.mark.parametrize("pooling", ["average", "flatten"])
def test_collected_rows_are_those_of_one_large_batch(hybrid, pooling):
    images, labels, layers = torch.randn(10, *SHAPE), torch.arange(10) % 5, layers_of(hybrid)
    runs = []
    handle = hybrid.register_forward_hook(lambda *_: runs.append(1))
    extra = torch.zeros(10)  # targets and the like, which a loader gives as well
    batches = zip(images.split(4), labels.split(4), extra.split(4), strict=True)
    features = collect(hybrid, batches, layers, pooling=pooling)
    handle.remove()
    assert len(runs) == 3  # one forward per batch, whatever the number of layers
    assert torch.equal(features.labels, labels) and (features.pooling, features.compensate_energy) == (pooling, True)
    for name, value in observe(hybrid, images, layers).items():
        rows, averaged = features.values[name], pooling == "average" and value.ndim > 2 and name != "pixels"
        assert features.vectors[name] == ("averaged" if averaged else "flattened")
        torch.testing.assert_close(rows, pooled(value, "average" if averaged else "flatten"), rtol=1e-4, atol=1e-5)
        assert rows.dtype == torch.float32 and rows.untyped_storage().nbytes() == rows.numel() * 4
    assert list(features.values) == [layer.name for layer in layers]


def test_no_map_outlives_its_pooling():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2))
    model(torch.zeros(1, *SHAPE))
    layers = layers_of(model, image_shape=SHAPE)
    maps: list[weakref.ref] = []

    def first_layer_is_gone(_module, _inputs, output):
        assert maps[0]() is None or output.shape != (2, 4, 12, 12)
        maps.clear()

    model[1].register_forward_hook(lambda _module, _inputs, output: maps.append(weakref.ref(output)))
    model[3].register_forward_hook(first_layer_is_gone)
    collect(model, [(torch.randn(2, *SHAPE), torch.arange(2))] * 2, layers)
    assert not maps


def test_an_image_that_is_not_finite_is_told_with_its_layer(hybrid):
    images = torch.zeros(5, *SHAPE)
    images[3, 0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="pixels: features must be finite: 1 of 5 samples"):
        collect(hybrid, [(images, torch.arange(5))], layers_of(hybrid))


@pytest.mark.parametrize(
    ("labels", "message"),
    [(torch.arange(3), "3 labels do not fit 2 samples"), (torch.zeros(2), "labels must be integers.*float32")],
)
def test_labels_that_do_not_fit(hybrid, labels, message):
    with pytest.raises(ValueError, match=message):
        collect(hybrid, [(torch.zeros(2, *SHAPE), labels)], layers_of(hybrid))


def test_no_images_and_layers_of_another_model(hybrid):
    with pytest.raises(UserError, match="no images"):
        collect(hybrid, [], layers_of(hybrid))
    images = torch.zeros(2, *SHAPE)
    with pytest.raises(UserError, match="unknown module in the model: head.stem.3"):
        observe(hybrid, images, [Layer("head.stem.3", "module", 0)])
    with pytest.raises(ValueError, match="head.stem.2#2 did not run"):
        observe(hybrid, images, [Layer("head.stem.2#2", "nonlinearity", 0)])
    with pytest.raises(UserError, match="no scattering"):
        observe(model_of("regular_cnn"), images, [Layer("S1", "scattering", 0, 1)])


class Strange(nn.Module):
    """A submodule gives a tuple, or folds the channels into the batch."""

    def __init__(self, kind: str):
        super().__init__()
        self.part = nn.Identity()
        self.part.register_forward_hook(lambda *call: (call[2], call[2]) if kind == "tuple" else call[2].flatten(0, 1))

    def forward(self, x):
        self.part(x)
        return x.flatten(1)


@pytest.mark.parametrize("kind", ["tuple", "folded"])
def test_a_layer_without_a_row_per_image_is_refused(kind):
    with pytest.raises(ValueError, match="layer part does not give one tensor with a row for each of the 2"):
        observe(Strange(kind), torch.zeros(2, 3, 2, 2), [Layer("part", "module", 0)])
    with pytest.raises(UserError, match="unknown layer of the model: part"):
        layers_of(Strange(kind), taps=["part"], image_shape=(3, 2, 2))


def test_standardizer_is_scikit_learns():
    from sklearn.preprocessing import StandardScaler

    train, test = torch.randn(5000, 6) * torch.logspace(-3, 3, 6) + 5, torch.randn(7, 6)
    before = train.clone()
    standardizer, reference = Standardizer.fit(train), StandardScaler().fit(train.double().numpy())
    np.testing.assert_allclose(standardizer.scale.numpy(), reference.scale_, rtol=1e-10)
    np.testing.assert_allclose(
        standardizer(test).numpy(), reference.transform(test.double().numpy()), rtol=1e-5, atol=1e-5
    )
    assert standardizer(test).dtype == torch.float32 and torch.equal(train, before)
    scaled = standardizer(train).double()
    assert scaled.mean(0).abs().max() < 1e-6 and (scaled.square().mean(0) - 1).abs().max() < 1e-5


def test_constant_coordinates_are_centred_and_counted():
    train = torch.randn(100, 4)
    train[:, 1], train[:, 2] = 0.1, 0.0
    train[:, 3] = 1e4 * (1 + 1e-7 * (torch.arange(100) % 2))  # the last bit of a float32
    standardizer = Standardizer.fit(train)
    assert standardizer.constant == 3 and torch.equal(standardizer.scale[1:], torch.ones(3, dtype=torch.float64))
    assert standardizer(train)[:, 1:3].abs().max() < 1e-7 and standardizer(train)[:, 3].abs().max() < 1e-2
    assert standardizer(train + 1)[:, 2].tolist() == [1.0] * 100


def test_large_means_do_not_cancel_the_deviation():
    train = 1000 + 0.01 * torch.randn(20_000, 1, dtype=torch.float64)
    rounded = train.float()  # to multiples of 6e-5
    assert Standardizer.fit(rounded).scale.item() == pytest.approx(0.01, rel=0.02)
    assert Standardizer.fit(rounded)(rounded).std().item() == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize("features", [torch.zeros(0, 3), torch.zeros(4), torch.full((3, 2), torch.inf)])
def test_what_no_standardizer_is_fitted_to(features):
    with pytest.raises(ValueError, match=r"standardizer"):
        Standardizer.fit(features)


def test_a_standardizer_refuses_another_width():
    with pytest.raises(ValueError, match="fitted to D=3"):
        Standardizer.fit(torch.randn(4, 3))(torch.randn(4, 2))
