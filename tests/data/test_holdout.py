"""Test images that are drawn: shares, folds, a few of each class."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hybrid.configuration.from_config import data_from
from hybrid.data import Holdout
from hybrid.data.holdout import fold_positions, positions_of_each_class
from hybrid.errors import UserError

LABELS = torch.from_numpy(np.random.RandomState(1).permutation(np.repeat([0, 1, 2], [30, 45, 8])))


def counts(positions: torch.Tensor) -> list[int]:
    return torch.bincount(LABELS[positions], minlength=3).tolist()


def test_folds_are_a_partition_and_every_class_is_spread_evenly():
    folds = fold_positions(LABELS, 5, seed=0)
    assert sorted(torch.cat(folds).tolist()) == list(range(83)) and sorted(map(len, folds)) == [16, 16, 17, 17, 17]
    assert all(n == 6 and m == 9 and k in (1, 2) for n, m, k in map(counts, folds))
    assert [fold.tolist() for fold in folds] == [fold.tolist() for fold in fold_positions(LABELS, 5, seed=0)]
    assert folds[0].tolist() != fold_positions(LABELS, 5, seed=1)[0].tolist()
    others, test = Holdout(folds=5, fold=3).divide(LABELS, seed=0)
    assert test.tolist() == folds[3].tolist() and sorted([*others, *test]) == list(range(83))


def test_folds_that_a_small_class_does_not_fill_are_said(caplog):
    fold_positions(LABELS, 10, seed=0)
    assert "the smallest class has 8 images, so some folds test none of it" in caplog.text


def test_values_are_dealt_together():
    folds = fold_positions(torch.rand(20, 2), 4, seed=0)
    assert sorted(torch.cat(folds).tolist()) == list(range(20)) and {len(fold) for fold in folds} == {5}
    with pytest.raises(UserError, match="per_class=2 needs one class"):
        positions_of_each_class(torch.rand(20), 2, seed=0)


@pytest.mark.parametrize(
    ("settings", "train", "test"),
    [
        ({"test": 0.2}, [24, 36, 6], [6, 9, 2]),
        ({"test": 8}, [27, 41, 7], [3, 4, 1]),
        ({"per_class": 7}, [7, 7, 7], [23, 38, 1]),
        ({"per_class": 5, "test": 34}, [5, 5, 5], [13, 20, 1]),
    ],
    ids=["share", "number", "per_class", "both"],
)
def test_every_class_has_its_share(settings, train, test):
    others, drawn = Holdout(**settings).divide(LABELS, seed=0)
    assert counts(others) == train and counts(drawn) == test and not set(others.tolist()) & set(drawn.tolist())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"test": 0}, "data.test=0 is not valid: it must be above 0"),
        ({"test": 1.0}, "data.test=1.0 is neither"),
        ({"test": 0.001}, "takes 0 of 83 images"),
        ({"test": 83}, "takes 83 of 83 images"),
        ({"folds": 1, "fold": 0}, "data.folds=1 is not valid: it must be at least 2"),
        ({"folds": 3}, r"data.fold=null must say which of the folds 0..2 tests; .* -m data.folds=3 data.fold=0,1,2"),
        ({"folds": 3, "fold": 3}, "data.fold=3 must say"),
        ({"folds": 84, "fold": 3}, "more than the 83 images"),
        ({"fold": 3}, "data.fold=3 has no effect without data.folds"),
        ({"folds": 3, "fold": 0, "test": 0.5}, "data.folds and data.test both choose"),
        ({"per_class": 0}, "data.per_class=0 is not"),
        ({"per_class": 8}, "leaves no test image of the smallest class, which has 8"),
        ({"per_class": 7, "test": 80}, "takes 80 images, but data.per_class leaves 62"),
        ({"pool": "all"}, "data.pool=all has no effect"),
    ],
)
def test_what_cannot_be_is_one_line(settings, words):
    with pytest.raises(UserError, match=words) as caught:
        Holdout(**settings).divide(LABELS, seed=0)
    assert "\n" not in str(caught.value)


def sizes(**keys) -> dict[str, int]:
    data = data_from({"_target_": "hybrid.data.digits.Digits", "size": 8, **keys}, {}, seed=0)
    return {name: len(split) for name, split in data.splits.items()}


def test_every_data_set_can_be_split_anew():
    assert sizes(folds=5, fold=4, pool="all") == {"train": 1438, "test": 359}
    assert sizes(folds=5, fold=4, pool="train", validation=100) == {"train": 1050, "validation": 100, "test": 287}
    assert sizes(per_class=10, pool="all", validation=None, subset={"n": 50}) == {"train": 50, "test": 1697}


def test_the_predefined_folds_of_stl10_stay_its_own(stl10):
    config = {"_target_": "hybrid.data.stl10.Stl10", "root": str(stl10), "download": False, "fold": 4}
    assert len(data_from(config, {}, seed=0).splits["train"]) == 2
    with pytest.raises(UserError, match="predefined folds"):
        _ = data_from({**config, "test": 0.2, "pool": "all"}, {}, seed=0).splits
    config["fold"] = "all"
    with pytest.raises(UserError, match="data.fold: 'all' is not"):
        data_from({**config, "folds": 2}, {}, seed=0)
    splits = data_from({**config, "folds": 2, "fold": 1, "pool": "all"}, {}, seed=0).splits
    assert {name: len(split) for name, split in splits.items()} == {"train": 15, "test": 15}
