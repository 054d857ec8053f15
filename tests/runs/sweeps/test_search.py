"""Searches: what is varied, that the validation images alone decide, that nothing is lost when one is stopped."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hybrid.commands.search import _higher_is_better, _usual_metric
from hybrid.errors import UserError

optuna = pytest.importorskip("optuna", reason="needs the extra search")

from hybrid.runs.sweeps import search as module  # noqa: E402
from hybrid.runs.sweeps.job import Jobs  # noqa: E402
from hybrid.runs.sweeps.search_space import Search, split_space  # noqa: E402


def make(*arguments: str, metric: str = "validation/top1", pruner: str = "none") -> Search:
    fixed, space = split_space(arguments)
    return Search(fixed=fixed, space=space, metric=metric, pruner=pruner, seed=0)


def test_the_space_is_written_in_hydra_s_syntax():
    fixed, space = split_space(
        [
            "seed=3",
            "a=x,y",
            "b=range(2,9,3)",
            "c=interval(0.5,1)",
            "d=tag(log,interval(1e-3,1))",
            "e=int(interval(1,9))",
        ]
    )
    assert fixed == ("seed=3",)
    assert space["a"] == optuna.distributions.CategoricalDistribution(["x", "y"])
    assert space["b"] == optuna.distributions.IntDistribution(2, 8, step=3)
    assert space["c"] == optuna.distributions.FloatDistribution(0.5, 1.0)
    assert space["d"] == optuna.distributions.FloatDistribution(1e-3, 1.0, log=True)
    assert space["e"] == optuna.distributions.IntDistribution(1, 9)


@pytest.mark.parametrize("metric", ["test/top1", "train/loss", "test.top1"])
def test_only_validation_decides(metric):
    with pytest.raises(UserError, match="looks at the validation images alone"):
        make("optimizer.lr=0.1,0.2", metric=metric)


def test_a_loss_is_made_small_and_an_accuracy_large():
    assert make("seed=0,1", metric="validation/loss").direction == "minimize"
    assert make("seed=0,1").direction == "maximize"
    own = make("seed=0,1", "metrics=[top5,fixtures.tasks.cost]", metric="validation/cost")
    assert dataclasses.replace(own, higher_is_better=_higher_is_better(own)).direction == "minimize"


def test_nothing_to_vary_is_refused():
    with pytest.raises(UserError, match="needs a setting to vary"):
        make("optimizer.lr=0.1")


@pytest.fixture
def search(quick_train, tmp_path):
    """search(4, "optimizer.lr=0.1,0.2") -> (the study, the lines that were told)."""

    def do(trials: int, *arguments: str, **options):
        told = []
        what = make("model=scat_linear", f"run.root={tmp_path / 'runs'}", *arguments, **options)
        return module.run_search(what, name="mine", trials=trials, tell=told.append), told

    return do


def test_the_best_is_found_and_a_larger_search_goes_on(search):
    study, _ = search(3, "optimizer.lr=interval(0.3,0.4)")
    first = [trial.params["optimizer.lr"] for trial in study.trials]
    assert len(set(first)) == 3
    assert study.best_value == pytest.approx(100 * max(first) + 2)  # what the stand-in logs last
    study, told = search(4, "optimizer.lr=interval(0.3,0.4)")
    assert "3 of 4 trials are done" in told[1] and len(study.trials) == 4
    again = [trial.params["optimizer.lr"] for trial in study.trials]
    assert again[:3] == first and len(set(again)) == 4


def test_another_search_in_the_same_folder_is_refused(search):
    search(1, "optimizer.lr=0.1,0.2")
    with pytest.raises(UserError, match="holds another search: space"):
        search(1, "optimizer.lr=0.1,0.3")


def test_a_trial_that_was_cut_off_is_tried_again(search, tmp_path):
    study, _ = search(1, "optimizer.lr=interval(0.3,0.4)")
    cut_off = study.ask({"optimizer.lr": optuna.distributions.FloatDistribution(0.3, 0.4)})
    study, _ = search(2, "optimizer.lr=interval(0.3,0.4)")
    states = [trial.state.name for trial in study.trials]
    assert states == ["COMPLETE", "FAIL", "COMPLETE"]
    assert study.trials[2].params == cut_off.params


def test_a_failed_trial_is_not_the_end_but_three_at_the_beginning_are(search):
    study, told = search(1, "optimizer.lr=0.3,0.4", "optimizer.momentum=0.9")
    assert study.trials[0].state.name == "COMPLETE" and told
    with pytest.raises(UserError, match="holds another search"):
        search(1, "optimizer.lr=0.5", "seed=0,1")


def test_all_failing_ends_with_a_line(search):
    with pytest.raises(UserError, match="the first 3 trials all failed; see error.txt in"):
        search(2, "optimizer.lr=0.5", "seed=range(0,9)")


def test_a_pruned_trial_is_stopped_at_once(quick_train, tmp_path, make_sweep):
    class Pessimist:
        """A trial that is never good enough."""

        params = {"optimizer.lr": 0.0625}
        reported = []

        def report(self, value, step):
            self.reported.append((step, value))

        def should_prune(self):
            return len(self.reported) == 2

        def set_user_attr(self, name, value):
            self.folder = value

    trial = Pessimist()
    what = make("model=scat_linear", f"run.root={tmp_path / 'runs'}", "optimizer.lr=0.0625,0.1")
    state, value, _ = module._run_trial(what, trial, tmp_path / "search", Jobs(warm=False))
    assert state.name == "PRUNED" and value is None
    assert trial.reported == [(1, 7.25), (2, 8.25)]
    log = next((tmp_path / "search" / "logs").glob("*.log")).read_text()
    assert "training" in log and not list((tmp_path / "runs").glob("*/summary.json"))  # the test images were never seen


def test_the_usual_metric_is_the_task_s_own(tmp_path):
    np.savez(tmp_path / "x.npz", images=np.zeros((8, 8, 8), np.uint8), y=np.eye(8)[:, :2], v=np.linspace(0, 1, 8))
    arrays = ["data=npz", f"data.root={tmp_path / 'x.npz'}", "data.test=0.5"]
    assert _usual_metric([]) == "validation/top1"
    for labels, name, direction in (("y", "average_precision", "maximize"), ("v", "mean_absolute_error", "minimize")):
        metric = _usual_metric(
            [*arrays, f"data.labels={labels}", "data.task=" + ("multilabel" if labels == "y" else "null")]
        )
        assert metric == f"validation/{name}" and make("seed=0,1", metric=metric).direction == direction
