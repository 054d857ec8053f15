"""Probes agree with scikit-learn on the same features, see what they should, and refuse what has no answer."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from hybrid.analysis.nearest import nearest_neighbours
from hybrid.analysis.probes import PROBES, knn_accuracy, probe_accuracies
from hybrid.errors import UserError
from hybrid.stratified import stratified_positions


def blobs(count: int, *, classes: int = 3, width: int = 4, distance: float = 1.5, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    centres = distance * torch.eye(classes, width)
    return centres[labels] + torch.randn(count, width, generator=generator), labels


@pytest.fixture(scope="module")
def data():
    return (*blobs(240, seed=1), *blobs(150, seed=2))


def test_accuracies_are_scikit_learns(data):
    train, train_labels, test, test_labels = (tensor.numpy() for tensor in data)
    references = {
        "svm": SVC(kernel="rbf", gamma=1 / 8, C=1.0),
        "1nn": KNeighborsClassifier(1),
        "linear": LogisticRegression(max_iter=1000),
        "knn": KNeighborsClassifier(7),
    }
    accuracies = probe_accuracies(*data, probes=tuple(references), k=7)
    assert list(accuracies) == list(references)  # in the order asked for
    for name, reference in references.items():
        expected = 100 * reference.fit(train, train_labels).score(test, test_labels)
        assert accuracies[name] == pytest.approx(expected, abs=1e-9), name
    assert len(set(accuracies.values())) == 4  # no probe stands for another


def test_an_offset_of_all_features_changes_no_probe(data):
    train, train_labels, test, test_labels = (value.float() if value.is_floating_point() else value for value in data)
    plain = probe_accuracies(train, train_labels, test, test_labels, probes=["linear"])
    far = probe_accuracies(train + 1e5, train_labels, test + 1e5, test_labels, probes=["linear"])
    assert abs(far["linear"] - plain["linear"]) <= 2 and plain["linear"] > 60


def test_the_features_are_not_modified(data):
    before = [tensor.clone() for tensor in data]
    state = torch.get_rng_state()
    probe_accuracies(*data, svm_images=30)
    assert all(torch.equal(old, new) for old, new in zip(before, data, strict=True))
    assert torch.equal(state, torch.get_rng_state())


def test_only_the_linear_probe_fails_on_a_checkerboard():
    generator = torch.Generator().manual_seed(0)
    train, test = torch.randn(2, 400, 2, generator=generator)
    labels = [(x.prod(dim=1) > 0).long() for x in (train, test)]
    accuracies = probe_accuracies(train, labels[0], test, labels[1])
    assert accuracies["linear"] < 65
    assert min(accuracies[name] for name in ("1nn", "knn", "svm")) > 90


def test_neighbours_that_are_known_are_used(data):
    train, train_labels, test, test_labels = data
    known = nearest_neighbours(train, 12, queries=test)
    expected = probe_accuracies(*data, probes=["1nn", "knn"], k=9)
    assert probe_accuracies(*data, probes=["1nn", "knn"], k=9, neighbours=known) == expected
    shifted = known._replace(indices=known.indices + 1 - 2 * (known.indices % 2))
    assert probe_accuracies(*data, probes=["1nn"], neighbours=shifted) != {"1nn": expected["1nn"]}
    with pytest.raises(UserError, match="k=13.*12 neighbours"):
        probe_accuracies(*data, probes=["knn"], k=13, neighbours=known)


@pytest.mark.parametrize("k", [1, 2, 5, 20])
def test_knn_accuracy_is_scikit_learns(k):
    labels = torch.randint(0, 4, (400,))
    values = torch.randn(400, 6) + labels[:, None]
    model = KNeighborsClassifier(k, algorithm="brute").fit(values[:300].double().numpy(), labels[:300].numpy())
    wanted = 100 * np.mean(model.predict(values[300:].double().numpy()) == labels[300:].numpy())
    table = nearest_neighbours(values[:300], 20, queries=values[300:])
    assert knn_accuracy(table, labels[:300], labels[300:], k) == pytest.approx(wanted)


def test_votes_of_too_few_neighbours_or_for_other_samples_are_refused():
    values = torch.randn(50, 2)
    table = nearest_neighbours(values, 3, queries=values[:4])
    with pytest.raises(UserError, match="the table holds 3"):
        knn_accuracy(table, torch.zeros(50).long(), torch.zeros(4).long(), 4)
    with pytest.raises(UserError, match="do not fit a table"):
        knn_accuracy(table, torch.zeros(50).long(), torch.zeros(5).long(), 3)


def test_the_svm_can_see_fewer_images(data):
    train, train_labels, test, test_labels = data
    chosen = stratified_positions(train_labels, 24, seed=3, every_class=True)
    expected = probe_accuracies(train[chosen], train_labels[chosen], test, test_labels, probes=["svm"])
    assert probe_accuracies(*data, probes=["svm"], svm_images=24, seed=3) == expected
    others = {probe_accuracies(*data, probes=["svm"], svm_images=24, seed=seed)["svm"] for seed in range(4)}
    assert len(others) > 1
    assert probe_accuracies(*data, probes=["svm"], svm_images=240) == probe_accuracies(*data, probes=["svm"])


def test_a_linear_probe_that_is_stopped_says_so(caplog, monkeypatch, data):
    monkeypatch.setattr("hybrid.analysis.probes._ITERATIONS", 1)
    with caplog.at_level(logging.WARNING):
        probe_accuracies(*data, probes=["linear"])
    assert "stopped after 1 iterations" in caplog.text


def broken(data, index, value):
    parts = list(data)
    parts[index] = value
    return parts


@pytest.mark.parametrize(
    ("index", "value", "message"),
    [
        (0, torch.full((240, 4), torch.nan), "training features must be finite: 240 of 240 samples"),
        (2, torch.zeros(150, 3), r"must be \(N, D\) and \(M, D\), got \(240, 4\) and \(150, 3\)"),
        (2, torch.zeros(150, 4, 1), r"got \(240, 4\) and \(150, 4, 1\)"),
        (1, torch.zeros(240, dtype=torch.int64), "all training images are of class 0"),
        (1, torch.zeros(239, dtype=torch.int64), "239 training labels do not fit 240 samples"),
        (3, torch.full((150,), 8), "test images of class 8 and no training image"),
    ],
)
def test_data_without_an_answer(data, index, value, message):
    with pytest.raises(UserError, match=message) as error:
        probe_accuracies(*broken(data, index, value))
    assert "\n" not in str(error.value)


def test_an_unknown_probe_and_a_large_k(data):
    with pytest.raises(UserError, match="unknown probe: svn. Did you mean svm"):
        probe_accuracies(*data, probes=["svn"])
    with pytest.raises(UserError, match="k=241"):
        probe_accuracies(*data, probes=["knn"], k=241)
    assert set(probe_accuracies(*data)) == set(PROBES)
