"""Probes: the accuracy of simple classifiers on the features of one layer, trained on training images, tested on others.

"Building a Regular Decision Boundary with Deep Networks" (Oyallon, CVPR 2017) follows a nearest-neighbour classifier and a
Gaussian SVM through the layers of a network: the accuracy of both rises with depth to the network's own.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hybrid.analysis.checks import checked_features, checked_labels
from hybrid.analysis.nearest import Neighbours, nearest_neighbours
from hybrid.errors import UserError, unknown_name
from hybrid.stratified import stratified_positions

PROBES = ("1nn", "knn", "linear", "svm")
_ITERATIONS = 1000  # of L-BFGS
_ROWS = 16384  # samples at a time where each needs a (k, k) table
_log = logging.getLogger(__name__)


def probe_accuracies(
    train: Tensor,
    train_labels: Tensor,
    test: Tensor,
    test_labels: Tensor,
    *,
    probes: Sequence[str] = PROBES,
    k: int = 10,
    neighbours: Neighbours | None = None,
    svm_images: int | None = None,
    seed: int = 0,
    memory_bytes: int = 2**30,
) -> dict[str, float]:
    """Test accuracies in %: probe -> accuracy, in the order of `probes`.

    "1nn" takes the label of the nearest training image by Euclidean distance, "knn" that of most of the k nearest. "linear" is
    logistic regression with C = 1. "svm" is a support vector classifier with the kernel exp(-γ‖x - x'‖²), γ = 1/(2D) and C = 1,
    as published. The features are used as they are; γ and C presume standardised ones.

    Args:
        train: (N, D) features to learn from.
        train_labels: (N,) integers.
        test: (M, D) features to classify.
        test_labels: (M,) integers.
        probes: names of classifiers.
        k: how many neighbours vote in "knn".
        neighbours: the table of the test images' neighbours among the training images, at least k of each, which saves the
            search.
        svm_images: train the SVM, whose time grows with the square, on at most so many images, some of every class; `seed`
            decides which. None: on all of them.
        memory_bytes: the most memory for the search.

    Raises UserError for an unknown probe, a k that is too large, shapes that do not fit, features that are not finite, a
    single class, and a class of test images without a training image.
    """
    for probe in probes:
        if probe not in PROBES:
            raise unknown_name(str(probe), PROBES, what="probe")
    train, test = checked_features(train, "training features"), checked_features(test, "test features")
    train_labels = checked_labels(train_labels, len(train), "training labels").to(train.device)
    test_labels = checked_labels(test_labels, len(test), "test labels").to(train.device)
    _check_pair(train, train_labels, test, test_labels)
    known = (train, train_labels, test, test_labels)
    accuracies: dict[str, float] = {}
    votes = {"1nn": 1, "knn": k}
    wanted = [votes[probe] for probe in probes if probe in votes]
    if wanted and neighbours is None:
        neighbours = nearest_neighbours(train, max(wanted), queries=test, memory_bytes=memory_bytes)
    for probe in probes:
        if probe in votes:
            accuracies[probe] = knn_accuracy(neighbours, train_labels, test_labels, votes[probe])
        elif probe == "linear":
            accuracies[probe] = _linear(*known)
        else:
            accuracies[probe] = _svm(*known, chosen=_shown(train_labels, svm_images, seed))
    return accuracies


def knn_accuracy(neighbours: Neighbours, train_labels: Tensor, test_labels: Tensor, k: int) -> float:
    """Percentage of test samples whose k nearest training samples vote for their label; a tie goes to the smallest label.

    neighbours: nearest_neighbours(train_features, k, queries=test_features), with at least this k. Weights and ties are those of
    scikit-learn's KNeighborsClassifier. Raises UserError for a k that the table does not hold, and labels that do not fit.
    """
    train_labels = checked_labels(train_labels, name="training labels")
    test_labels = checked_labels(test_labels, name="test labels")
    if not 1 <= k <= neighbours.indices.shape[1]:
        raise UserError(f"k={k} is not valid: the table holds {neighbours.indices.shape[1]} neighbours.")
    if len(test_labels) != len(neighbours.indices) or neighbours.indices.max() >= len(train_labels):
        raise UserError(
            f"{len(train_labels)} train_labels and {len(test_labels)} test_labels do not fit a table of "
            f"{len(neighbours.indices)} samples with neighbours up to {int(neighbours.indices.max())}."
        )
    right = 0
    for indices, labels in zip(neighbours.indices.split(_ROWS), test_labels.split(_ROWS), strict=True):
        votes = train_labels[indices[:, :k]].sort(1).values  # the first of the most frequent is the smallest of them
        count = (votes[:, :, None] == votes[:, None, :]).sum(2)
        right += (votes.gather(1, count.argmax(1, keepdim=True))[:, 0] == labels).sum().item()
    return 100 * right / len(test_labels)


def _shown(labels: Tensor, count: int | None, seed: int) -> Tensor:
    """Positions of the images that the SVM is trained on: all, or `count` of every class's share."""
    if count is None or count >= len(labels):
        return torch.arange(len(labels), device=labels.device)
    return stratified_positions(labels, count, seed=seed, every_class=True).to(labels.device)


def _linear(train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor) -> float:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    train, test = _without_offset(train, test)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        accuracy = _score(LogisticRegression(max_iter=_ITERATIONS), train, train_labels, test, test_labels)
    if any(issubclass(warning.category, ConvergenceWarning) for warning in caught):
        _log.warning("The linear probe was stopped after %d iterations; standardised features need fewer.", _ITERATIONS)
    return accuracy


def _without_offset(train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
    """Subtract the training mean where it is far from 0: it changes no classifier with an intercept, and hides the rest."""
    mean, std = train.double().mean(0), train.double().std(0)
    if (mean.abs() <= 100 * std.mean()).all():
        return train, test
    return (train.double() - mean).to(train.dtype), (test.double() - mean).to(test.dtype)


def _svm(train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor, *, chosen: Tensor) -> float:
    from sklearn.svm import SVC

    classifier = SVC(kernel="rbf", gamma=1 / (2 * train.shape[1]), C=1.0)
    return _score(classifier, train[chosen], train_labels[chosen], test, test_labels)


def _score(classifier: Any, train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor) -> float:
    classifier.fit(_array(train), _array(train_labels))
    return 100 * float(classifier.score(_array(test), _array(test_labels)))


def _array(tensor: Tensor) -> Any:
    return tensor.detach().cpu().numpy()


def _check_pair(train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor) -> None:
    if train.ndim != 2 or train.shape[1:] != test.shape[1:]:
        shapes = f"{tuple(train.shape)} and {tuple(test.shape)}"
        raise UserError(f"training and test features must be (N, D) and (M, D), got {shapes}")
    classes = train_labels.unique()
    if len(classes) < 2:
        raise UserError(f"all training images are of class {int(classes[0])}: a probe needs two classes or more")
    new = test_labels.unique()
    new = new[~torch.isin(new, classes)]
    if len(new):
        raise UserError(f"there are test images of class {int(new[0])} and no training image of it")
