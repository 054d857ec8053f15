"""Groups of runs: what is averaged over, which runs count once, and the mean with its interval."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hybrid.errors import UserError
from hybrid.reports.differences import labels, telling_settings
from hybrid.reports.groups import Group, MeanStd, group_runs
from hybrid.runs.reading import StoredRun

SETTINGS = {"data.fold": 0, "optimizer.lr": 0.1, "augmentation.flip": 0.5, "augmentation.pad": 4}


def stored(name="run", *, seed=0, top1=90.0, choices=None, **settings):
    known = {key.replace("__", "."): value for key, value in settings.items()}
    return StoredRun(
        path=Path(name), state="finished", seed=seed, settings={**SETTINGS, **known},
        choices=choices or {"model": "scat_linear", "data": "digits"}, numbers={"test.top1": top1},
    )  # fmt: skip


@pytest.fixture
def folds():
    """Two seeds and three folds at two learning rates."""
    return [
        stored(f"{lr}-{seed}-{fold}", seed=seed, data__fold=fold, optimizer__lr=lr, top1=100 * lr + 10 * seed + fold)
        for lr in (0.1, 0.2) for fold in (2, 0, 1) for seed in (1, 0)
    ]  # fmt: skip


def test_means_are_over_the_keys_that_are_asked_for(folds):
    assert [len(group.runs) for group in group_runs(folds)] == [2] * 6
    low, high = group_runs(folds, over=["seed", "fold"])
    assert low.over == ("seed", "data.fold") and "data.fold" not in low.facts and low.fact("optimizer.lr") == 0.1
    assert [(run.seed, run.settings["data.fold"]) for run in low.runs] == [(s, f) for s in (0, 1) for f in (0, 1, 2)]
    assert low.mean_std("test.top1").mean == pytest.approx(10 + 5 + 1) and high.mean_std("test.top1").n == 6
    assert low.by_key("test.top1")["seed=1, data.fold=2"] == 22


def test_a_key_that_is_not_averaged_over_tells_groups_apart_even_the_seed(folds):
    groups = group_runs(folds, over=["fold"])
    assert [(group.fact("seed"), len(group.runs)) for group in groups] == [(1, 3), (0, 3)] * 2


def test_a_whole_section_can_be_averaged_over():
    runs = [
        stored(str(k), augmentation__pad=pad, choices={"model": "a", "data": "b", "augmentation": name})
        for k, (pad, name) in enumerate([(4, "crop"), (8, "crop"), (0, "none")])
    ]
    (group,) = group_runs(runs, over=["seed", "augmentation"])
    assert len(group.runs) == 3 and "augmentation" not in group.facts and "augmentation.flip" not in group.facts


def test_data_with_a_name_of_their_own_are_called_by_it():
    groups = group_runs([stored(data__name="textures"), stored(data__name="leaves")])
    assert [group.fact("data") for group in groups] == ["textures", "leaves"]
    assert telling_settings(groups) == ["model", "data"] and labels(groups) == ["textures", "leaves"]


def test_a_support_vector_machine_is_told_from_training():
    choices = {"model": "scat_linear", "data": "digits"}
    groups = group_runs([stored(), stored(svm__C=1, choices=choices | {"svm": "gaussian"})])
    assert "svm" in telling_settings(groups) and labels(groups)[1].startswith("svm=gaussian")


def test_an_unknown_key_is_refused_with_the_valid_ones(folds):
    with pytest.raises(UserError, match=r"unknown key in over: data.fould. Did you mean data.fold\? Valid: "):
        group_runs(folds, over=["data.fould"])
    with pytest.raises(UserError, match="key in over: flip is not clear. Valid: augmentation.flip, other.flip."):
        group_runs([stored(other__flip=1)], over=["flip"])


def test_a_run_that_is_there_twice_counts_once():
    with pytest.warns(UserWarning, match="^b is left out: same configuration and seed as a.$"):
        (group,) = group_runs([stored("a"), stored("b"), stored("c", seed="0..3")])
    assert [run.path.name for run in group.runs] == ["a", "c"], "a seed that is no number"


def test_the_interval_is_students():
    from scipy import stats

    values = [90.0, 94.0, 91.0, 95.5]
    wanted = stats.t.interval(0.9, 3, loc=np.mean(values), scale=stats.sem(values))
    assert MeanStd.of(values).interval(0.9) == pytest.approx(wanted)
    assert MeanStd.of([90.0]).interval(0.9) is None


def test_a_group_is_averaged_over_its_seeds_by_default():
    assert Group((stored(),)).over == ("seed",)
