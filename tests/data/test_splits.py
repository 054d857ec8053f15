"""Subsets and the validation split."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hybrid.data.splits import Division, Subset, divide, published_positions, validation_count
from hybrid.errors import UserError

LABELS = torch.from_numpy(np.random.RandomState(1).permutation(np.repeat(np.arange(5), 40)))


def test_published_protocol_is_the_released_code():
    chosen = published_positions(LABELS, 50, num_classes=5, seed=3)
    within = np.random.RandomState(3).permutation(np.arange(40))[:10]
    expected = np.concatenate([np.where(LABELS.numpy() == c)[0][within] for c in range(5)])
    assert chosen.tolist() == sorted(expected.tolist())
    assert torch.bincount(LABELS[chosen]).tolist() == [10] * 5


def test_published_protocol_with_unequal_classes_uses_the_smallest():
    labels = torch.tensor([0] * 3 + [1] * 9)
    chosen = published_positions(labels, 6, num_classes=2, seed=0)
    assert sorted(chosen.tolist()) == [0, 1, 2, 3, 4, 5]
    with pytest.raises(UserError, match="smallest class has 3"):
        published_positions(labels, 8, num_classes=2, seed=0)


def test_published_n_must_be_a_multiple():
    with pytest.raises(UserError, match=r"52 is not a multiple of the 5 classes; 50 would be"):
        published_positions(LABELS, 52, num_classes=5, seed=0)


def test_validation_without_subset_is_cut_out_of_train():
    train, validation = divide(LABELS, chosen=None, validation=50, seed=0)
    assert sorted([*train.tolist(), *validation.tolist()]) == list(range(200))
    assert torch.bincount(LABELS[validation]).tolist() == [10] * 5


def test_validation_with_subset_comes_from_the_rest():
    subset = Subset(n=50).choose(LABELS, num_classes=5, default_seed=0)
    train, validation = divide(LABELS, chosen=subset, validation=100, seed=0)
    assert train.tolist() == subset.tolist() and not set(train.tolist()) & set(validation.tolist())
    assert torch.bincount(LABELS[validation]).tolist() == [20] * 5
    with pytest.raises(UserError, match="the subset leaves 150"):
        divide(LABELS, chosen=subset, validation=151, seed=0)


def test_subset_seed_follows_the_run_unless_given():
    own = [Subset(n=50, seed=7).choose(LABELS, num_classes=5, default_seed=s).tolist() for s in (0, 1)]
    runs = [Subset(n=50).choose(LABELS, num_classes=5, default_seed=s).tolist() for s in (7, 8)]
    assert own[0] == own[1] == runs[0] != runs[1]


@pytest.mark.parametrize(("value", "count"), [(0, 0), (0.1, 20), (1, 1), (199, 199)])
def test_validation_count(value, count):
    assert validation_count(value, 200) == count


@pytest.mark.parametrize("value", [200, 1000, 0.001, 0.999])
def test_validation_must_leave_both(value):
    with pytest.raises(UserError, match="data.validation"):
        validation_count(value, 200)


def test_subset_larger_than_the_set():
    with pytest.raises(UserError, match="more than the 200"):
        Subset(n=205).choose(LABELS, num_classes=5, default_seed=0)


def test_validation_images_can_come_out_of_the_labels():
    labels = torch.arange(10).repeat(50)
    division = Division(Subset(n=100, validate_from="labels"), validation=0.4)
    train, held_out = division.divide(labels, None, num_classes=10, seed=3)
    whole, none = Division(Subset(n=100)).divide(labels, None, num_classes=10, seed=3)
    assert (len(train), len(held_out), len(none)) == (60, 40, 0)
    assert torch.equal(torch.cat([train, held_out]).sort().values, whole)
    with pytest.raises(UserError, match=r"no effect while data\.subset\.n is null"):
        Subset(validate_from="labels")
    with pytest.raises(UserError, match=r"no effect without data\.validation"):
        Division(Subset(n=100, validate_from="labels"))
