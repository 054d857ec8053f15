"""`hybrid classify` on the command line, and what other commands say to its runs' folders."""

from __future__ import annotations

import pytest

TINY = ["data=digits", "model/frontend=identity", "data.size=8", "device=cpu", "data.subset.n=100"]


def test_a_sweep_over_classifiers_is_compared_by_report(call, tmp_path):
    code, out, _ = call("classify", "-m", *TINY, f"run.root={tmp_path}", "classifier=affine,logistic", "splits=2")
    assert code == 0 and out.count("test accuracy") == 2 and out.count("over 2 divisions") == 2
    code, out, err = call("report", f"runs={tmp_path}", "format=csv", "metric=test.std")
    assert code == 0, err
    head, first, second = (line.split(",") for line in out.splitlines())
    method = head.index("classifier")
    assert {first[method], second[method]} == {"affine", "logistic"} and float(first[head.index("test.std")]) > 0
    folder = next(path for path in tmp_path.iterdir() if path.is_dir() and "affine" in path.name)
    for script in ("evaluate", "export"):
        code, _, err = call(script, f"run={folder}")
        assert code == 2 and err.count("\n") == 1 and "is a run of `hybrid classify`: a classifier on a fixed" in err
    code, out, _ = call("classify", "--from", str(folder))
    assert code == 0 and "finished already" in out
    code, _, err = call("svm", "--from", str(folder))
    assert code == 2 and "write hybrid classify --from" in err


def test_help_shows_its_groups_and_the_reasons(call):
    code, out, err = call("classify", "--help")
    assert code == 0 and not err
    assert "affine*" in out and "log_means" in out and "maps*" in out
    assert "each path by its largest norm" in out and "\n  optimizer " not in out


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("classifier.dimension=-1", "classifier: dimension=-1 is not valid"),
        ("classifier=afine", "Did you mean affine?"),
        ("features.log=-1", "features.log=-1 is not valid"),
        ("svm=linear", "unknown key: svm"),
        ("splits=many", "splits: 'many' is not"),
    ],
)
def test_a_mistake_is_one_line(call, tmp_path, argument, words):
    code, _, err = call("classify", *TINY, f"run.root={tmp_path}", argument)
    assert code == 2 and err.count("\n") == 1 and words in err
    assert not list(tmp_path.iterdir())
