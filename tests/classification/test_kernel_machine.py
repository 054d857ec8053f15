"""Support vector machines: libsvm's own on the features, and scikit-learn's own search for C, have the same results."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.svm import SVC

from hybrid.classification import kernel_machine
from hybrid.classification.kernel_machine import KernelMachine, bytes_needed, fit
from hybrid.classification.learners import libsvm
from hybrid.errors import UserError


def settings(**changed) -> KernelMachine:
    return KernelMachine(**{"kernel": "rbf", "C": 1.0, "gamma": 0.5, "folds": 5, **changed})


@pytest.fixture(scope="module")
def digits():
    """((training features, labels), (test features, labels)) of standardised 8x8 digits."""
    images, labels = load_digits(return_X_y=True)
    images = torch.tensor((images - images.mean(0)) / (images.std(0) + 1e-3), dtype=torch.float32)
    labels = torch.tensor(labels)
    return (images[:300], labels[:300]), (images[300:700], labels[300:700])


@pytest.mark.parametrize("block", [1024, 77])
@pytest.mark.parametrize(("kernel", "gamma"), [("rbf", 0.5), ("rbf", 3.0), ("linear", None)])
def test_it_is_libsvm_s_machine_on_the_features(digits, monkeypatch, kernel, gamma, block):
    monkeypatch.setattr(kernel_machine, "_BLOCK", block)
    (train, labels), (test, _) = digits
    scale = (gamma or 1) / train.shape[1]
    direct = SVC(kernel="rbf", gamma=scale, C=2.0) if kernel == "rbf" else SVC(kernel="linear", C=2.0 * scale)
    direct.fit(train, labels)
    fitted = fit(train, labels, settings(kernel=kernel, gamma=gamma, C=2.0))
    assert np.array_equal(fitted.predict(test), direct.predict(test))
    assert fitted.support_vectors == direct.n_support_.sum() and fitted.accuracies == {}


def test_distances_that_float32_would_lose_are_kept():
    near = 1000 + torch.tensor([[0.0, 0.0], [0.01, 0.0], [0.0, 0.02]])
    gram = settings(gamma=1000.0).gram(near, near)
    exact = np.exp(-500 * (near.double()[:, None] - near.double()).square().sum(2).numpy())
    np.testing.assert_allclose(gram, exact, atol=1e-6)
    assert (gram <= 1).all(), "no distance is below 0"


def test_c_is_the_best_of_a_cross_validation_on_the_training_images(digits):
    (train, labels), _ = digits
    candidates, gamma = (0.02, 0.5, 5.0), 1.0
    folds = StratifiedKFold(5, shuffle=True, random_state=3)
    search = GridSearchCV(SVC(gamma=gamma / train.shape[1]), {"C": candidates}, cv=folds, refit=False)
    search.fit(train, labels)
    fitted = fit(train, labels, settings(C=candidates[::-1], gamma=gamma), seed=3)
    assert fitted.C == search.best_params_["C"] == 5.0
    assert list(fitted.accuracies) == list(candidates)
    wanted = 100 * search.cv_results_["mean_test_score"]
    np.testing.assert_allclose(list(fitted.accuracies.values()), wanted)  # 300 images: folds of one size
    assert len(set(fitted.accuracies.values())) == 3, "the candidates differ here"


def test_gamma_is_searched_with_c(digits):
    (train, labels), (test, _) = digits
    gammas, candidates = (0.1, 2.0, 20.0), (0.5, 5.0)
    folds = StratifiedKFold(5, shuffle=True, random_state=3)
    grid = {"gamma": [each / train.shape[1] for each in gammas], "C": candidates}
    search = GridSearchCV(SVC(), grid, cv=folds).fit(train, labels)
    fitted = fit(train, labels, settings(C=candidates, gamma=gammas[::-1]), seed=3)
    assert (
        fitted.settings.gamma / train.shape[1] == search.best_params_["gamma"] and search.best_params_["C"] == fitted.C
    )
    assert (
        fitted.gammas[fitted.settings.gamma] == pytest.approx(100 * search.best_score_) == max(fitted.gammas.values())
    )
    assert (
        np.array_equal(fitted.predict(test), search.predict(test)) and fitted.about()["gamma"] == fitted.settings.gamma
    )
    slow = libsvm(C=fitted.C, gamma=fitted.settings.gamma, cache=10).fit(train.numpy(), labels.numpy())
    assert np.array_equal(slow.predict(test.numpy()), search.predict(test))
    assert slow.about()["support_vectors"] == fitted.support_vectors


def test_of_equally_good_candidates_the_smallest_is_taken(digits):
    (train, labels), _ = digits
    fitted = fit(train, labels, settings(C=(1e6, 1e4, 1e5)))
    assert len(set(fitted.accuracies.values())) == 1 and fitted.C == 1e4


def test_the_seed_shuffles_the_folds(digits):
    (train, labels), _ = digits
    found = [fit(train, labels, settings(C=(0.5, 5.0)), seed=seed).accuracies for seed in (0, 0, 2**40 + 1)]
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"C": 0.0}, "svm.C=0 is not valid"),
        ({"C": (1.0, -2.0)}, r"svm.C=\[1,-2\] is not valid"),
        ({"C": ()}, r"svm.C=\[\] is not valid"),
        ({"C": (1.0, 1.0)}, "names a number twice"),
        ({"gamma": -0.5}, "svm.gamma=-0.5 is not valid"),
        ({"gamma": ()}, r"svm.gamma=\[\] is not valid"),
        ({"gamma": (1.0, 1.0)}, r"svm.gamma=\[1,1\] is not valid: it must name numbers, each once"),
        ({"gamma": None}, "svm.gamma=null is not valid"),
        ({"kernel": "linear"}, "svm.gamma=0.5 has no effect with svm.kernel=linear"),
        ({"folds": 1}, "svm.folds=1 is not valid"),
    ],
)
def test_settings_that_cannot_be_are_refused(changed, words):
    with pytest.raises(UserError, match=words):
        settings(**changed)


def test_a_class_with_fewer_images_than_folds_is_told_only_where_folds_are_needed(digits):
    (train, labels), _ = digits
    few = torch.cat([(labels != 7).nonzero().flatten(), (labels == 7).nonzero().flatten()[:3]])
    with pytest.raises(UserError, match=r"class 7 has 3 training images.*svm\.folds=3, or one number as svm\.C"):
        fit(train[few], labels[few], settings(C=(1.0, 10.0)))
    assert fit(train[few], labels[few], settings(C=1.0)).C == 1.0
    assert fit(train[few], labels[few], settings(C=(1.0, 10.0), folds=3)).accuracies


def test_what_cannot_be_learned_from_is_refused(digits):
    (train, labels), _ = digits
    with pytest.raises(UserError, match="of class 4"):
        fit(train[labels == 4], labels[labels == 4], settings())
    with pytest.raises(UserError, match="NaN or infinite features for 1 of 300"):
        fit(torch.cat([train[:299], train[299:] * float("nan")]), labels, settings())


def test_the_memory_is_that_of_the_gram_matrix_and_the_copies_for_a_fold():
    given = bytes_needed(settings(), train=60_000, test=10_000, dimensions=2000)
    searched = bytes_needed(settings(C=(1.0, 10.0)), train=60_000, test=10_000, dimensions=2000)
    assert 28.8e9 < given < 30e9 and searched - given == int(0.8 * 8 * 60_000**2)
