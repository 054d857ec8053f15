"""Runs of `hybrid classify`: divisions, classifiers, what is kept in the folder."""

from __future__ import annotations

import json

import pytest
from sklearn.linear_model import LogisticRegression

import hybrid
from hybrid.classification.run import run
from hybrid.configuration.composition import compose
from hybrid.configuration.from_config import data_from
from hybrid.errors import UserError
from hybrid.runs import RunFolder
from hybrid.runs.identity import identity

TINY = [
    "data=digits",
    "model/frontend=identity",
    "data.size=8",
    "data.normalize=none",
    "device=cpu",
    "data.subset.n=100",
]


@pytest.fixture
def tiny(tmp_path):
    """tiny("splits=3", …) composes the configuration of such a run in a folder of this test."""

    def make(*overrides: str):
        return compose([*TINY, f"run.root={tmp_path / 'runs'}", *overrides], config_name="classify")

    return make


def test_divisions_are_averaged_and_each_is_recorded(tiny, capsys):
    cfg = tiny("splits=3", "classifier.dimension=4", "seed=2")
    summary, folder = run(cfg), RunFolder.of(cfg)
    assert folder.path.name.startswith("digits-scat_linear-affine-maps-seed2-")
    singles = []
    for seed in (2, 3, 4):
        data = data_from(tiny().data, seed=seed)
        train, test = (next(iter(data.loader(name, batch_size=400).epoch(0))) for name in ("train", "test"))
        classifier = hybrid.AffineClassifier(4).fit(train.images.flatten(1), train.labels)
        singles.append(100 * classifier.score(test.images.flatten(1), test.labels))
    records = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    assert [each["division/top1"] for each in records if "division/top1" in each] == pytest.approx(singles)
    assert summary["test"]["top1"] == pytest.approx(sum(singles) / 3) and summary["test"]["std"] > 0
    assert summary["splits"] == 3 and summary["classifier"] == {"dimension": 4, "cross_validation": None}
    assert f"± {summary['test']['std']:.2f} % over 3 divisions, 360 images each; dimension 4" in capsys.readouterr().out
    assert run(cfg) == folder.read_summary() and "finished already" in capsys.readouterr().out
    assert identity(folder.read_config()) == identity(cfg)
    assert RunFolder.of(tiny("splits=3", "classifier.dimension=4", "seed=2", "cache=false")).path == folder.path


def test_a_classifier_of_scikit_learn(tiny):
    summary = run(tiny("classifier=logistic", "classifier.C=0.5", "features.normalize=range"))
    data = data_from(tiny().data, seed=0)
    train, test = (next(iter(data.loader(name, batch_size=400).epoch(0))) for name in ("train", "test"))
    direct = LogisticRegression(C=0.5, max_iter=1000).fit(train.images.flatten(1) * 2 - 1, train.labels)
    assert summary["test"]["top1"] == pytest.approx(
        100 * direct.score(test.images.flatten(1) * 2 - 1, test.labels), abs=1.2
    )
    target = "classifier._target_=sklearn.neighbors.KNeighborsClassifier"
    own = run(tiny("classifier=custom", target, "+classifier.n_neighbors=1", "run.name=own"))
    assert own["test"]["top1"] > 85 and own["classifier"] == {}


def test_a_support_vector_machine_and_a_search_say_what_they_chose(tiny):
    vectors = run(tiny("classifier=svm", "features.normalize=standard"))
    assert vectors["classifier"]["C"] in (1, 10, 100) and vectors["test"]["top1"] > 85
    affine = run(tiny("classifier.most=10"))
    assert 0 < affine["classifier"]["dimension"] <= 10 and 85 < affine["classifier"]["cross_validation"] <= 100


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["splits=0"], "splits=0 is not valid"),
        (["splits=2", "data.subset.n=null"], "splits=2 has no effect: digits trains and tests on the same images"),
        (["splits=2", "data.normalize=auto"], "data.normalize=auto measures the pixels of one division"),
        (["augmentation=crop"], "augmentation has no effect on a classifier on features"),
        (["model/normalization=statistics"], "model/normalization=statistics has no effect here"),
        (["model/frontend=scattering_learned"], "model.frontend has weights to train"),
        (["classifier.dimension=all"], r"classifier\.dimension: 'all' is not"),
        (["classifier.folds=1"], "classifier: folds=1 is not valid"),
        (["+classifier.size=2"], "unknown key in classifier: size"),
        (["classifier=svm", "classifier.C=0"], "classifier.C=0 is not valid"),
        (
            ["classifier=svm", "classifier.kernel=linear"],
            r"classifier.gamma=\[1,2,4\] has no effect with classifier.kernel=linear",
        ),
        (["classifier=svm", "classifier.folds=11"], "too few for classifier.folds=11"),
        (["classifier=custom", "classifier._target_=sklearn.decomposition.PCA"], "has no predict: a classifier"),
        (["features=multi_scale", "classifier=svm", "model/frontend=scattering"], "makes several vectors of an image"),
        (["data.per_class=200", "data.pool=all"], "leaves no test image of the smallest class, which has 174"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_before_anything_is_written(tiny, tmp_path, overrides, words):
    with pytest.raises(UserError, match=words):
        run(tiny(*overrides))
    assert not (tmp_path / "runs").exists() or "too few" in words  # which training images there are is known late
