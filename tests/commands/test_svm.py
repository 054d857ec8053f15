"""`hybrid svm` on the command line, and what other commands say to its runs' folders."""

from __future__ import annotations

import pytest

from hybrid.classification.run import run
from hybrid.configuration.composition import compose

TINY = ["data=digits", "data.size=16", "data.subset.n=100", "model.frontend.J=1", "device=cpu"]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """The folder that holds the folder of a finished run, called mine."""
    root = tmp_path_factory.mktemp("svm")
    run(compose([*TINY, f"run.root={root}", "run.name=mine"], config_name="svm"))
    return root


def test_a_sweep_is_a_run_after_the_other_and_report_averages_them(call, tmp_path):
    code, out, _ = call("svm", "-m", *TINY, f"run.root={tmp_path}", "svm.C=1,100", "seed=0,1")
    assert code == 0 and out.count("test accuracy") == 4
    code, out, err = call("report", f"runs={tmp_path}", "format=csv", "by=[svm.C]", "metric=svm.support_vectors")
    assert code == 0, err
    head, first, second = (line.split(",") for line in out.splitlines())
    C, seeds = head.index("svm.C"), head.index("finished")
    assert (first[C], second[C], first[seeds], second[seeds]) == ("1", "100", "2", "2")
    assert float(first[head.index("test.top1_std")]) > 0 and float(first[head.index("svm.support_vectors")]) > 10


def test_help_shows_its_own_groups_and_the_reasons(call):
    code, out, err = call("svm", "--help")
    assert code == 0 and not err
    assert "gaussian*  linear" in out and "statistics*" in out and "of the cross-validation" in out
    assert "\n  optimizer " not in out and "hydra:" not in out


def test_training_has_no_group_of_support_vector_machines(execute, root):
    assert "svm" not in execute("train", "--help").stdout.split("Settings")[0]


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("svm.C=0", "svm.C=0 is not valid"),
        ("svm.C=[1,x]", "svm.C: 'x' is not a number"),
        ("svm.gamma=-1", "svm.gamma=-1 is not valid"),
        ("svm.folds=1", "svm.folds=1 is not valid"),
        ("svm.kernel=linear", "svm.gamma=0.5 has no effect with svm.kernel=linear"),
        ("svm.kernel=poly", "'poly' is not rbf or linear"),
        ("svm.nu=1", "unknown key in svm: nu. Valid: C, folds, gamma, kernel."),
        ("svm=gausian", "Did you mean gaussian?"),
        ("augmentation=crop_flip", "augmentation has no effect"),
        ("optimizer=sgd", "unknown key: optimizer"),
        ("device=tpu", "device=tpu is not on this machine"),
    ],
)
def test_a_mistake_is_one_line(call, tmp_path, argument, words):
    code, _, err = call("svm", *TINY, f"run.root={tmp_path}", argument)
    assert code == 2 and err.count("\n") == 1 and words in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("script", ["evaluate", "predict", "export", "analyze"])
def test_commands_that_need_weights_say_that_there_are_none(call, fitted, script):
    more = [str(fitted / "mine" / "config.yaml")] if script == "predict" else []
    code, _, err = call(script, f"run={fitted / 'mine'}", *more)
    assert code == 2 and err.count("\n") == 1
    assert "is a run of `hybrid svm`" in err and "no weights" in err


def test_a_kept_configuration_is_run_again_by_the_command_that_made_it(call, execute, fitted, root):
    code, out, _ = call("svm", "--from", str(fitted / "mine"))
    assert code == 0 and "finished already" in out
    wrong = execute("train", "--from", str(fitted / "mine"))
    assert wrong.returncode == 2 and "write hybrid svm --from" in wrong.stderr
