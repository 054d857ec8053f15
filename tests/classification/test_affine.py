"""The affine space classifier against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold
from sklearn.utils.estimator_checks import check_estimator

import hybrid
from hybrid.classification.affine import AffineClassifier


@pytest.fixture(scope="module")
def digits():
    """300 training and 200 test digits: (images, labels, images, labels); the labels are words."""
    images, labels = load_digits(return_X_y=True)
    words = np.array([f"digit {label}" for label in labels])
    return images[:300], words[:300], images[300:500], words[300:500]


def by_definition(train, labels, test, dimension):
    """The distances (n, K) to the best spaces of `dimension` that least squares finds."""
    result = []
    for label in np.unique(labels):
        own = train[labels == label]
        mean = own.mean(0)
        axes = np.linalg.svd(own - mean)[2][: min(dimension, len(own) - 1)]
        apart = (test - mean).T
        inside = axes.T @ np.linalg.lstsq(axes.T, apart, rcond=None)[0] if len(axes) else 0
        result.append(np.linalg.norm(apart - inside, axis=0))
    return np.stack(result, 1)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")  # checks that need what is not there
@pytest.mark.parametrize("parameters", [{}, {"dimension": 0}], ids=["search", "means"])
def test_it_is_an_estimator_of_scikit_learn(parameters):
    check_estimator(hybrid.AffineClassifier(**parameters))


@pytest.mark.parametrize("dimension", [0, 1, 7])
def test_distances_are_those_of_the_definition(digits, dimension):
    train, labels, test, wanted = digits
    classifier = AffineClassifier(dimension).fit(train, labels)
    expected = by_definition(train, labels, test, dimension)
    np.testing.assert_allclose(classifier.distances(test), expected, rtol=1e-9, atol=1e-9)
    assert (classifier.predict(test) == classifier.classes_[expected.argmin(1)]).all()
    assert classifier.score(test, wanted) == classifier.scores(test, wanted)[dimension]


def test_many_vectors_of_few_features_have_the_same_directions(digits):
    train, labels, test, _ = digits
    few = train[:, 20:28]
    classifier = AffineClassifier(3).fit(few, labels)
    expected = by_definition(few, labels, test[:, 20:28], 3)
    np.testing.assert_allclose(classifier.distances(test[:, 20:28]), expected, rtol=1e-7, atol=1e-7)


def test_the_samples_of_a_class_span_its_space(digits):
    train, labels, test, _ = digits
    chosen = np.concatenate([np.flatnonzero(labels == label)[:5] for label in np.unique(labels)])
    classifier = AffineClassifier("samples").fit(train[chosen], labels[chosen])
    assert classifier.dimensions_.tolist() == [4] * 10  # five points lie in a space of four dimensions
    np.testing.assert_allclose(classifier.distances(train[chosen]).min(1), 0, atol=1e-6)
    np.testing.assert_allclose(classifier.distances(test), by_definition(train[chosen], labels[chosen], test, 4))


def test_a_search_takes_the_best_dimension_of_a_cross_validation(digits):
    train, labels, test, wanted = digits
    classifier = AffineClassifier("search", most=12, folds=3, seed=1).fit(train, labels)
    hits = np.zeros(13)
    for rest, fold in StratifiedKFold(3, shuffle=True, random_state=1).split(train, labels):
        hits += [
            AffineClassifier(d).fit(train[rest], labels[rest]).score(train[fold], labels[fold]) * len(fold)
            for d in range(13)
        ]
    np.testing.assert_allclose(classifier.accuracies_, hits / 300)
    assert set(classifier.dimensions_) == {hits.argmax()}
    assert classifier.score(test, wanted) > 0.9 > AffineClassifier(0).fit(train, labels).score(test, wanted)


def test_several_vectors_of_a_sample_share_its_class(digits):
    train, labels, test, wanted = digits
    pairs, both = np.stack([train, train / 2], 1), np.concatenate([train, train / 2])
    classifier = AffineClassifier(5).fit(pairs, labels)
    single = AffineClassifier(5).fit(both, np.tile(labels, 2))
    shown = np.stack([test, test / 3], 1)
    expected = (single.distances(test) + single.distances(test / 3)) / 2
    np.testing.assert_allclose(classifier.distances(shown), expected)
    np.testing.assert_allclose(classifier.distances(test), single.distances(test))  # one vector is enough for a test
    assert classifier.scores(shown, wanted)[5] == (classifier.predict(shown) == wanted).mean()


def test_a_class_that_was_not_learned_is_never_right(digits):
    train, labels, test, wanted = digits
    known = labels != "digit 9"
    classifier = AffineClassifier(5).fit(train[known], labels[known])
    assert classifier.scores(test, np.full(200, "digit 9")).max() == 0
    assert 0.5 < classifier.scores(test, wanted)[5] < 0.95


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"dimension": -1}, "dimension=-1 is not valid"),
        ({"dimension": "all"}, "dimension='all' is not valid"),
        ({"dimension": 1.5}, "dimension=1.5 is not valid"),
        ({"dimension": "search", "folds": 1}, "folds=1 is not valid"),
        ({"most": -1}, "most=-1 is not valid"),
    ],
)
def test_wrong_parameters_are_named(parameters, words):
    with pytest.raises(ValueError, match=words):
        AffineClassifier(**parameters).fit(np.eye(4), [0, 0, 1, 1])


def test_a_search_needs_two_samples_of_each_class():
    with pytest.raises(ValueError, match="class 7 has n_samples=1 to train on: dimension='search' needs two"):
        AffineClassifier().fit(np.eye(5), [5, 5, 7, 9, 9])
