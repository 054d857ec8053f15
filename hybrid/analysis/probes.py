"""Probes: how well simple classifiers do on the features of one layer, trained on training images, scored on test images.

"Building a Regular Decision Boundary with Deep Networks" (Oyallon, CVPR 2017) follows the nearest neighbour and a Gaussian SVM
through the layers of a network: both rise with depth to the network's own accuracy.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hybrid.analysis.nearest.neighbours import Neighbours, knn_accuracy, nearest_neighbours
from hybrid.errors import UserError, unknown_name

PROBES = ("1nn", "knn", "linear", "svm")
_ITERATIONS = 1000  # of L-BFGS
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

    1nn, knn: the label of the nearest, or of most of the k nearest, training images by Euclidean distance. linear: logistic
    regression (C = 1). svm: a support vector classifier with the kernel exp(-γ‖x - x'‖²), γ = 1/(2D) and C = 1 as published.
    The features are used as they are: γ and C presume standardised ones.

    Args:
        train, test: (N, D) and (M, D) features; their labels are (N,) and (M,) integers.
        k: neighbours of "knn".
        neighbours: of the test images among the training images, at least k of each, where they are known already.
        svm_images: train the SVM, whose time grows with the square, on at most so many images (see `stratified`); `seed`
            decides which. None: on all.
        memory_bytes: bound of the search for neighbours.

    Raises ValueError for an unknown probe, a k that is too large, shapes that do not fit, features that are not finite, a
    single class, and a class of test images without a training image.
    """
    for probe in probes:
        if probe not in PROBES:
            raise unknown_name(str(probe), PROBES, what="probe")
    train_labels, test_labels = train_labels.to(train.device), test_labels.to(train.device)
    _check(train, train_labels, "training")
    _check(test, test_labels, "test")
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
            accuracies[probe] = _svm(*known, chosen=stratified(train_labels, svm_images, seed=seed))
    return accuracies


def stratified(labels: Tensor, count: int | None, *, seed: int = 0) -> Tensor:
    """Indices, sorted, on the CPU, of at most `count` samples: the same share of every class, rounded down, at least one.

    None or a count of all samples or more: all. Raises ValueError for a count below the number of classes.
    """
    labels = labels.cpu()
    if count is None or count >= len(labels):
        return torch.arange(len(labels))
    classes, sizes = labels.unique(return_counts=True)
    if count < len(classes):
        raise UserError(f"{count} images cannot show all {len(classes)} classes; choose {len(classes)} or more")
    shares = ((sizes - 1) * (count - len(classes)) // (len(labels) - len(classes)) + 1).tolist()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    shuffled = labels[order]
    chosen = [order[shuffled == label][:share] for label, share in zip(classes, shares, strict=True)]
    return torch.cat(chosen).sort().values


def _linear(train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor) -> float:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        accuracy = _score(LogisticRegression(max_iter=_ITERATIONS), train, train_labels, test, test_labels)
    if any(issubclass(warning.category, ConvergenceWarning) for warning in caught):
        _log.warning("The linear probe was stopped after %d iterations; standardised features need fewer.", _ITERATIONS)
    return accuracy


def _svm(train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor, *, chosen: Tensor) -> float:
    from sklearn.svm import SVC

    chosen = chosen.to(train.device)
    classifier = SVC(kernel="rbf", gamma=1 / (2 * train.shape[1]), C=1.0)
    return _score(classifier, train[chosen], train_labels[chosen], test, test_labels)


def _score(classifier: Any, train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor) -> float:
    classifier.fit(_array(train), _array(train_labels))
    return 100 * float(classifier.score(_array(test), _array(test_labels)))


def _array(tensor: Tensor) -> Any:
    return tensor.detach().cpu().numpy()


def _check(features: Tensor, labels: Tensor, what: str) -> None:
    if features.ndim != 2 or not features.is_floating_point() or not features.numel():
        raise UserError(f"{what} features are floating (N, D), got {tuple(features.shape)} {features.dtype}")
    if labels.shape != features.shape[:1] or labels.is_floating_point():
        raise UserError(
            f"labels of {len(features)} {what} images are as many integers, got {tuple(labels.shape)} {labels.dtype}"
        )
    broken = int((~features.isfinite().all(dim=1)).sum())
    if broken:
        raise UserError(f"NaN or infinite features for {broken} of {len(features)} {what} images")


def _check_pair(train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor) -> None:
    if train.shape[1] != test.shape[1]:
        raise UserError(f"training features have {train.shape[1]} coordinates, test features {test.shape[1]}")
    classes = train_labels.unique()
    if len(classes) < 2:
        raise UserError(f"all training images are of class {int(classes[0])}: a probe needs two classes or more")
    new = test_labels.unique()
    new = new[~torch.isin(new, classes)]
    if len(new):
        raise UserError(f"there are test images of class {int(new[0])} and no training image of it")
