"""The stages from images to vectors, each against its definition."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from hybrid.classification.features import FeatureSettings, shrunk
from hybrid.configuration.composition import compose
from hybrid.configuration.from_config import data_from
from hybrid.errors import UserError
from hybrid.models.frontends import Identity, RotoTranslation, Scattering

PLAIN = {"order_0": True, "log": None, "average": False, "sizes": 1, "sizes_apart": False, "normalize": "none"}
CPU = torch.device("cpu")


def settings(**changes) -> FeatureSettings:
    return FeatureSettings(**PLAIN | changes)


def scattering(shape):
    return Scattering(shape, J=1, L=4, engine="torch")


@pytest.fixture(scope="module")
def data():
    """20 digits of 16 x 16 pixels, from 0 to 1."""
    overrides = ["data=digits", "data.size=16", "data.validation=0", "data.subset.n=20", "data.normalize=none"]
    cfg = compose(overrides, config_name="classify")
    return data_from(cfg.data, cfg.augmentation, seed=0)


def vectors(data, frontend=scattering, kept=None, **changes):
    chosen = settings(**changes)
    return chosen.vectors(data, chosen.transforms((1, 16, 16), frontend), kept=kept, device=CPU)


def maps(data):
    (batch,) = data.loader("train", batch_size=20).epoch(0)
    return scattering((1, 16, 16))(batch.images)


def test_stages(data):
    plain = maps(data)
    assert torch.equal(vectors(data)[:, 0], plain.flatten(1))
    assert torch.equal(vectors(data, order_0=False)[:, 0], plain[:, 1:].flatten(1))
    torch.testing.assert_close(vectors(data, average=True)[:, 0], plain.mean((-2, -1)))
    logarithms = torch.log(plain.clamp_min(0) + 1e-3).mean((-2, -1))
    torch.testing.assert_close(vectors(data, average=True, log=1e-3)[:, 0], logarithms)


def test_sizes_are_averaged_or_stay_apart(data):
    apart = vectors(data, average=True, sizes=3, sizes_apart=True, log=1e-4)
    assert apart.shape == (20, 3, 5)
    torch.testing.assert_close(apart[:, :1], vectors(data, average=True, log=1e-4))
    mean = vectors(data, average=True, sizes=3, log=1e-4)
    torch.testing.assert_close(mean, apart.mean(1, keepdim=True))
    (batch,) = data.loader("train", batch_size=20).epoch(0)
    small = scattering((1, 8, 8))(shrunk(batch.images, 2, (8, 8)))  # √2 · √2: half the size
    torch.testing.assert_close(apart[:, 2], torch.log(small.clamp_min(0) + 1e-4).mean((-2, -1)))


def test_a_wave_keeps_its_shape_when_it_is_shrunk():
    places = torch.arange(64) + 0.5
    wave = torch.cos(2 * math.pi * places / 32).expand(1, 2, 64, 64)
    for number in (1, 2, 3):
        side = round(64 / math.sqrt(2) ** number)
        std = 0.5 * math.sqrt(2**number - 1)
        there = (torch.arange(side) + 0.5) * 64 / side
        expected = math.exp(-((2 * math.pi / 32 * std) ** 2) / 2) * torch.cos(2 * math.pi * there / 32)
        small = shrunk(wave, number, (side, side))
        assert small.shape == (1, 2, side, side)
        torch.testing.assert_close(small[0, 1, side // 2, 3:-3], expected[3:-3], atol=0.01, rtol=0)


def test_kept_features_are_found_again(data, tmp_path):
    class Counting(nn.Module):
        seen = 0

        def __init__(self, shape):
            super().__init__()
            self.inner = scattering(shape)
            self.output_shape = self.inner.output_shape

        def forward(self, images):
            Counting.seen += len(images)
            return self.inner(images)

    kept = {"frontend": str(tmp_path)}
    first = vectors(data, Counting, kept=kept, average=True)
    assert Counting.seen == 20
    again = vectors(data, Counting, kept=kept, average=True)
    assert Counting.seen == 28 and torch.equal(first, again)  # eight are computed again, as a check
    other = vectors(data, Counting, kept=kept, average=True, log=1.0)
    assert Counting.seen == 48 and not torch.equal(first, other)
    torch.testing.assert_close(first, vectors(data, average=True))


def test_scales_come_from_training_vectors():
    train = torch.tensor([[3.0, 4.0, 0.0, 2.0], [0.0, 1.0, 1.0, 0.0]])
    scaled = {
        name: settings(normalize=name).scaler(2).fit(train.numpy()).transform(train.numpy())
        for name in ("paths", "range")
    }
    torch.testing.assert_close(torch.from_numpy(scaled["paths"]).view(2, 2, 2).norm(dim=2).max(0).values, torch.ones(2))
    assert scaled["range"].min() == -1 and scaled["range"].max() == 1
    assert settings().scaler(2) is None
    assert settings(normalize="paths", average=True).scaler(9).positions == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sizes": 2}, "features.sizes=2 needs features.average=true"),
        ({"sizes_apart": True}, "features.sizes_apart=true has no effect with features.sizes=1"),
        ({"log": 0.0}, "features.log=0 is not valid"),
        ({"sizes": 0}, "features.sizes=0 is not valid"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes, words):
    with pytest.raises(UserError, match=words):
        settings(**changes)


def test_front_ends_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match="order_0=false has no effect on the front-end Identity"):
        settings(order_0=False).transforms((1, 16, 16), Identity)
    several = settings(average=True, sizes=4)
    with pytest.raises(UserError, match=r"features.sizes=4 shrinks images to 6 x 6 pixels.*J=3 does not fit") as error:
        several.transforms((1, 16, 16), lambda shape: _wrapped(lambda: Scattering(shape, J=3, engine="torch")))
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"J=auto gives 9 channels, not 81: set model\.frontend\.J"):
        several.transforms((1, 32, 32), lambda shape: Scattering(shape, engine="torch"))


def _wrapped(make):
    """As `part_from` calls it: a ValueError is a UserError."""
    try:
        return make()
    except ValueError as error:
        raise UserError(str(error)) from error


def test_a_texture_has_the_same_vector_where_it_is_turned():
    torch.manual_seed(0)
    image = torch.rand(1, 1, 32, 32)
    turned = image.rot90(1, (-2, -1)).roll(1, -2)  # about pixel (0, 0)
    frontend = RotoTranslation((1, 32, 32), J=2, boundary="periodic")
    one, other = (settings(average=True)._of_maps(frontend(each)) for each in (image, turned))
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)
