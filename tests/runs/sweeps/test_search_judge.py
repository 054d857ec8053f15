"""A search finds what is wrong before its first trial: the file of its study, its metric, a judge that would vary."""

from __future__ import annotations

import sqlite3

import pytest

from hybrid.commands.search import _higher_is_better
from hybrid.errors import UserError
from hybrid.runs.sweeps.search import _open_study
from hybrid.runs.sweeps.search_space import Search, split_space

optuna = pytest.importorskip("optuna", reason="needs the extra search")


def search(*arguments: str, metric: str = "validation/top1") -> Search:
    fixed, space = split_space(["model=scat_linear", *arguments])
    return Search(fixed=fixed, space=space, metric=metric, pruner="none", seed=0)


RATES = "optimizer.lr=interval(0.01,1)"


def test_a_damaged_or_foreign_study_is_one_line(tmp_path):
    (tmp_path / "study.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(
        UserError, match=r"study.db cannot be read as the study of a search \(.*\)\. Remove it"
    ) as caught:
        _open_study(search(RATES), tmp_path)
    assert "\n" not in str(caught.value)
    other = tmp_path / "other"
    other.mkdir()
    with sqlite3.connect(other / "study.db") as base:
        base.execute("create table version_info (notes text)")
    with pytest.raises(UserError, match="cannot be read"):
        _open_study(search(RATES), other)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    study = optuna.create_study(storage=f"sqlite:///{theirs / 'study.db'}", study_name="search", direction="maximize")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    with pytest.raises(UserError, match="holds a study of another program"):
        _open_study(search(RATES), theirs)


@pytest.mark.parametrize("varied", ["data.validation=0.1,0.2", "data.subset.n=100,200", "data=digits,mnist"])
def test_settings_that_change_the_judge_are_not_varied(varied):
    with pytest.raises(UserError, match="trials could not be compared"):
        search(varied)


def test_a_loss_may_vary_where_accuracy_decides():
    assert search("loss=cross_entropy,focal").space
    with pytest.raises(UserError, match="^loss is varied"):
        search("loss=cross_entropy,focal", metric="validation/loss")


def test_a_metric_that_no_evaluation_has_is_found_before_the_first_trial():
    _higher_is_better(search(RATES))
    with pytest.raises(UserError, match=r"metric=validation/f2 is not measured .* validation/loss, validation/top1"):
        _higher_is_better(search(RATES, metric="validation/f2"))
