"""Random pairs: different, balanced as far as the labels allow, uniform, and their distances exact."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import chisquare

from hybrid.analysis.pairs import distances_of, pair_distances, sample_pairs
from hybrid.errors import UserError


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def as_set(pairs):
    return {frozenset(pair) for pair in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)}


@pytest.mark.parametrize("count", [1, 7, 400, 1000])
def test_pairs_are_different_and_half_of_one_class(count):
    labels = torch.randint(5, (100,), generator=seeded())
    pairs = sample_pairs(labels, count, generator=seeded(1))
    assert len(pairs) == len(as_set(pairs)) == count
    assert all(len(pair) == 2 for pair in as_set(pairs))
    assert torch.equal(pairs.same_class, labels[pairs.first] == labels[pairs.second])
    assert int(pairs.same_class.sum()) == count // 2


def test_all_pairs_are_returned_once_where_there_are_no_more():
    labels = torch.tensor([7, -1, 7, 7, 2])
    pairs = sample_pairs(labels, 1000, generator=seeded())
    assert len(pairs) == len(as_set(pairs)) == 10
    assert int(pairs.same_class.sum()) == 3


@pytest.mark.parametrize(
    ("labels", "count", "same"),
    [
        ([0, 0, 1, 2, 3, 4], 8, 1),  # one same-class pair exists
        ([0, 1, 2, 3], 4, 0),
        ([5, 5, 5, 5], 4, 4),
        ([0, 0, 0, 0, 0, 1], 10, 5),  # 5 pairs of different classes, 10 of one
        ([0, 0, 0, 0, 0, 1], 12, 7),
    ],
)
def test_what_one_kind_lacks_the_other_gives(labels, count, same):
    pairs = sample_pairs(torch.tensor(labels), count, generator=seeded())
    assert len(as_set(pairs)) == count and int(pairs.same_class.sum()) == same


@pytest.mark.parametrize(("same", "count"), [(True, 4), (False, 4), (True, 12), (False, 32)])  # few and most of them
def test_pairs_are_drawn_uniformly(same, count):
    labels = torch.tensor([0, 1, 0, 2, 1, 0, 2, 2, 0])  # 6 + 1 + 3 pairs of one class, 26 of two
    generator, counts = seeded(), {}
    for _ in range(600):
        pairs = sample_pairs(labels, count, generator=generator)
        for first, second, kind in zip(pairs.first.tolist(), pairs.second.tolist(), pairs.same_class, strict=True):
            if bool(kind) is same:
                counts[frozenset((first, second))] = counts.get(frozenset((first, second)), 0) + 1
    assert len(counts) == (10 if same else 26)
    assert chisquare(list(counts.values())).pvalue > 1e-3


def test_many_samples_need_no_list_of_all_pairs():
    labels = torch.arange(1_000_000) % 1000  # 5e11 pairs
    pairs = sample_pairs(labels, 2000, generator=seeded())
    assert len(as_set(pairs)) == 2000 and int(pairs.same_class.sum()) == 1000
    assert torch.equal(pairs.same_class, labels[pairs.first] == labels[pairs.second])
    assert 0.4 < pairs.first.double().mean() / 1e6 < 0.6


def test_a_seed_gives_the_same_pairs_and_the_global_generator_is_left_alone():
    labels = torch.randint(3, (50,))
    state = torch.get_rng_state()
    first, second, other = (sample_pairs(labels, 40, generator=seeded(seed)) for seed in (3, 3, 4))
    assert torch.equal(first.first, second.first) and torch.equal(first.second, second.second)
    assert not torch.equal(first.first, other.first)
    assert torch.equal(torch.get_rng_state(), state)


def test_distances_are_those_of_the_differences():
    features = torch.randn(20, 3, 4)
    pairs = sample_pairs(torch.arange(20) % 4, 60, generator=seeded())
    expected = (features[pairs.first] - features[pairs.second]).double().flatten(1).norm(dim=1)
    torch.testing.assert_close(distances_of(features, pairs), expected, rtol=1e-6, atol=0)
    streamed = [pair_distances(features[a], features[b]) for a, b, _ in pairs.batches(7)]
    assert torch.equal(torch.cat(streamed), distances_of(features, pairs))
    assert torch.equal(distances_of(features, pairs, memory_bytes=1), distances_of(features, pairs))


def test_near_pairs_far_from_the_origin_keep_their_digits():
    first = torch.full((1, 1000), 1000.0)
    second = first + 2**-10
    expected = torch.tensor([2**-10 * 1000**0.5], dtype=torch.float64)
    torch.testing.assert_close(pair_distances(first, second), expected, rtol=1e-12, atol=0)
    half = torch.tensor([[60000.0, 0.0]], dtype=torch.float16)
    assert pair_distances(half, -half).item() == 120000  # above the largest number of half precision


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sample_pairs(torch.zeros(4), 2, generator=seeded()), "labels must be integers"),
        (lambda: sample_pairs(torch.zeros(4, dtype=torch.int64), 0, generator=seeded()), "at least 1, got 0"),
        (lambda: sample_pairs(torch.zeros(1, dtype=torch.int64), 2, generator=seeded()), "needs two samples, got 1"),
        (lambda: pair_distances(torch.zeros(2, 3), torch.zeros(2, 4)), r"\(2, 3\), \(2, 4\)"),
        (lambda: pair_distances(torch.zeros(2, 3), torch.full((2, 3), torch.nan)), "finite: 2 of 2 samples"),
        (lambda: pair_distances(torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, 3)), "floating-point"),
    ],
)
def test_mistakes_are_one_clear_line(call, message):
    with pytest.raises(UserError, match=message):
        call()


def test_pairs_of_other_samples_are_refused():
    pairs = sample_pairs(torch.arange(9), 30, generator=seeded())
    with pytest.raises(UserError, match="more samples than the 4"):
        distances_of(torch.zeros(4, 2), pairs)
