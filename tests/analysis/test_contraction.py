"""Ratios of distances under maps whose contraction is known, and class distances against SciPy."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from scipy.spatial.distance import cdist, pdist

from hybrid.analysis.contraction import class_distances, contraction_ratios
from hybrid.analysis.pairs import distances_of, sample_pairs
from hybrid.errors import UserError
from hybrid.scattering import TorchScattering2D
from hybrid.scattering.filters import morlet_bank


@pytest.fixture
def labels():
    return torch.arange(40) % 4


@pytest.fixture
def pairs(labels):
    return sample_pairs(labels, 300, generator=torch.Generator().manual_seed(1))


def contraction_ratios_of(inputs, outputs, pairs):
    return contraction_ratios(distances_of(inputs, pairs), distances_of(outputs, pairs), pairs.same_class)


def test_a_scaling_scales_every_ratio(pairs):
    inputs = torch.randn(40, 3, 5)
    ratios = contraction_ratios_of(inputs, 3 * inputs, pairs)
    assert len(ratios.same) == len(ratios.different) == 150
    torch.testing.assert_close(
        torch.cat([ratios.same, ratios.different]), torch.full((300,), 3.0).double(), rtol=1e-6, atol=0
    )
    assert ratios.summary()["all"].expanded == 1


def test_a_non_expansive_map_expands_no_pair(pairs):
    inputs = torch.randn(40, 64)
    for outputs in (inputs.relu(), inputs.abs(), inputs, inputs[:, :10], F.avg_pool1d(inputs, 4)):
        summary = contraction_ratios_of(inputs, outputs, pairs).summary()
        assert summary["same"].expanded == summary["different"].expanded == 0
    rotation = torch.linalg.qr(torch.randn(64, 64)).Q  # an isometry in float32: 1 but for rounding, still no expansion
    ratios = contraction_ratios_of(inputs, inputs @ rotation, pairs)
    assert (ratios.same != 1).any()
    assert ratios.summary()["all"].expanded == 0
    assert ratios.summary()["all"].mean == pytest.approx(1, abs=1e-6)


def test_groups_and_their_numbers():
    before = torch.tensor([1.0, 2.0, 0.0, 4.0, 1.0, 0.0])
    after = torch.tensor([0.5, 3.0, 0.0, 1.0, 1.0, 7.0])
    same = torch.tensor([True, True, True, False, False, False])
    ratios = contraction_ratios(before, after, same)
    assert ratios.same.tolist() == [0.5, 1.5] and ratios.different.tolist() == [0.25, 1.0]
    assert ratios.zero_input == 2
    summary = ratios.summary((0.0, 0.5, 1.0))
    assert summary["same"].expanded == 0.5 and summary["different"].expanded == 0
    assert summary["all"].expanded == 0.25 and summary["all"].count == 4
    assert summary["different"].quantiles == {0.0: 0.25, 0.5: 0.625, 1.0: 1.0}
    assert summary["all"].mean == pytest.approx(3.25 / 4)


def test_quantiles_are_torchs():
    ratios = contraction_ratios(torch.ones(101), torch.rand(101), torch.ones(101, dtype=torch.bool))
    levels = (0.03, 0.5, 0.777, 0.95)
    expected = torch.quantile(ratios.same, torch.tensor(levels, dtype=torch.float64))
    summary = ratios.summary(levels)
    assert list(summary["same"].quantiles.values()) == pytest.approx(expected.tolist(), rel=1e-12)
    assert summary["different"].count == 0 and math.isnan(summary["different"].mean)


@pytest.mark.parametrize("J", [2, 3])
def test_compensated_scattering_is_non_expansive_up_to_the_bank(J, pairs):
    """Images of 24x24 zero-padded to the padded size: the transform may grow a distance by at most max A^(3/2).

    A is the Littlewood-Paley sum; the bank is applied three times, wavelets twice and the low-pass (Mallat 2012, section 2).
    """
    scattering = TorchScattering2D(J, (24, 24), pre_pad=True).double()
    side = scattering.padded_shape[0]
    left = (side - 24) // 2
    bound = littlewood_paley_maximum(J, side) ** 1.5
    assert bound < 1.05
    noise = torch.rand(40, 24, 24, dtype=torch.float64)
    smooth = F.interpolate(torch.rand(40, 1, 3, 3, dtype=torch.float64), (24, 24), mode="bilinear")[:, 0]
    for images, least in ((noise, 0), (smooth, 0.7)):
        images = F.pad(images, (left, side - 24 - left, left, side - 24 - left))
        raw = scattering(images)
        ratios = contraction_ratios_of(images, 2**J * raw, pairs)
        assert least < max(ratios.same.max(), ratios.different.max()) <= bound
        assert max(contraction_ratios_of(images, raw, pairs).different) < 1.05 / 2**J


def littlewood_paley_maximum(J, side):
    bank = morlet_bank(J, (side, side))
    rows, columns = (torch.from_numpy(factor).square() for factor in bank.phi[0])
    total = torch.outer(rows, columns)
    for j in range(J):
        power = torch.from_numpy(bank.psi[j, 0]).square().sum(0)
        total = total + (power + power.flip(0, 1).roll((1, 1), (0, 1))) / 2  # at -ω
    return float(total.max())


@pytest.mark.parametrize("memory_bytes", [2**30, 2000])
def test_class_distances_are_those_of_scipy(memory_bytes):
    labels = torch.randint(3, (700,)) * 2 - 1  # classes above and below one tile of rows
    labels[:400] = 3
    features = torch.randn(700, 2, 3) + labels[:, None, None] + 50
    result = class_distances(features, labels, memory_bytes=memory_bytes)
    groups = [features[labels == label].double().flatten(1).numpy() for label in (-1, 1, 3)]
    within = [pdist(group) for group in groups]
    between = [cdist(groups[a], groups[b]) for a, b in ((0, 1), (0, 2), (1, 2))]
    assert result.classes.tolist() == [-1, 1, 3] and result.counts.tolist() == [len(group) for group in groups]
    torch.testing.assert_close(result.within, torch.tensor([d.mean() for d in within]), rtol=1e-12, atol=0)
    assert result.mean_within == pytest.approx(sum(d.sum() for d in within) / sum(d.size for d in within), rel=1e-12)
    mean_between = sum(d.sum() for d in between) / sum(d.size for d in between)
    assert result.mean_between == pytest.approx(mean_between, rel=1e-12)
    assert result.ratio == result.mean_within / result.mean_between
    released = [cdist(group, group).sum() / (len(group) ** 2 / 2) for group in groups]
    torch.testing.assert_close(result.released, torch.tensor(released), rtol=1e-12, atol=0)


def test_collapsed_classes_far_apart_keep_their_digits():
    centres = torch.tensor([[1e4, 0.0], [0.0, 1e4]]).double()
    labels = torch.arange(600) % 2
    features = centres[labels] + 1e-6 * torch.randn(600, 2).double()
    result = class_distances(features, labels)
    expected = [pdist(features[labels == label].numpy()).mean() for label in (0, 1)]
    assert result.within.tolist() == pytest.approx(expected, rel=1e-5)


def test_order_names_shift_and_rotation_of_the_features_change_nothing():
    labels, features = torch.arange(60) % 3, torch.randn(60, 8).double()
    result = class_distances(features, labels)
    order = torch.randperm(60)
    rotation = torch.linalg.qr(torch.randn(8, 8).double()).Q
    moved = class_distances((features @ rotation + 7)[order], 10 * labels[order])
    torch.testing.assert_close(moved.within, result.within, rtol=1e-12, atol=0)
    assert moved.ratio == pytest.approx(result.ratio, rel=1e-12)
    far = class_distances(features + 1e6, labels)
    assert far.mean_between == pytest.approx(class_distances((features + 1e6) - 1e6, labels).mean_between, rel=1e-11)
    assert class_distances(5 * features, labels).mean_between == pytest.approx(5 * result.mean_between, rel=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: class_distances(torch.randn(3, 2), torch.tensor([4, 4, 9])), "class 9 has one sample"),
        (lambda: class_distances(torch.randn(3, 2), torch.tensor([4, 4, 4])), "need two classes, got 1"),
        (lambda: class_distances(torch.full((4, 2), 0.1), torch.tensor([0, 0, 1, 1])), "all features are equal"),
        (lambda: class_distances(torch.full((4, 2), torch.nan), torch.tensor([0, 0, 1, 1])), "must be finite"),
        (lambda: class_distances(torch.randn(4, 2), torch.tensor([0, 0, 1])), "3 labels do not fit 4 samples"),
        (lambda: contraction_ratios(torch.zeros(2), torch.ones(2), torch.ones(2).bool()), "inputs are constant"),
        (lambda: contraction_ratios(torch.ones(2), torch.ones(3), torch.ones(2).bool()), r"\(2,\), \(3,\), \(2,\)"),
        (lambda: contraction_ratios(torch.ones(2), -torch.ones(2), torch.ones(2).bool()), "output distances must be"),
        (lambda: contraction_ratios(torch.ones(2), torch.ones(2), torch.ones(2)), "same_class must be bool"),
    ],
)
def test_mistakes_are_one_clear_line(call, message):
    with pytest.raises(UserError, match=message):
        call()
