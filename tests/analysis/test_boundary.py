"""Boundary curves: against a loop over the definition, and the released procedure against scikit-learn running it."""

from __future__ import annotations

import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from hybrid.analysis.boundary import boundary_counts, released_boundary_counts
from hybrid.analysis.nearest import nearest_neighbours


def data(classes=4, samples=300):
    labels = torch.randint(0, classes, (samples,))
    return torch.randn(samples, 5) + 0.7 * torch.nn.functional.one_hot(labels, 5), labels


def by_definition(values, labels, k_max):
    """The three curves, sample by sample and vote by vote."""
    indices = nearest_neighbours(values, k_max).indices
    alive, nested, plain, plurality = [True] * len(labels), [], [], []
    for k in range(1, k_max + 1):
        wrong, beaten = [], []
        for sample, own in enumerate(labels.tolist()):
            votes = labels[indices[sample, :k]].tolist()
            wrong.append(sum(vote != own for vote in votes) > k / 2)
            beaten.append(max(votes.count(vote) if vote != own else 0 for vote in votes) > votes.count(own))
        alive = [a and b for a, b in zip(alive, wrong, strict=True)]
        nested.append(sum(alive))
        plain.append(sum(wrong))
        plurality.append(sum(beaten))
    return tuple(nested), tuple(plain), tuple(plurality)


def released(values, labels, k_max):
    """The released code's loop, with scikit-learn."""
    train, targets = values.double().numpy(), labels.numpy()
    left, counts = targets >= 0, []
    for k in range(1, k_max + 1):
        model = KNeighborsClassifier(n_neighbors=k + 1).fit(train, targets)
        if left.any():
            left[left] = model.predict(train[left]) != targets[left]
        counts.append(int(left.sum()))
    return tuple(counts)


@pytest.mark.parametrize("classes", [2, 4, 5])
def test_definition(classes):
    values, labels = data(classes)
    counts = boundary_counts(values, labels, 12)
    assert (counts.nested, counts.plain, counts.plurality) == by_definition(values, labels, 12)
    assert (counts.samples, counts.k_max, len(counts.nested)) == (300, 12, 12)
    assert all(after <= before for before, after in zip(counts.nested, counts.nested[1:], strict=False))
    assert counts.nested[0] == counts.plain[0] == counts.plurality[0] > counts.nested[-1] > 0
    assert (counts.plurality == counts.plain) == (classes == 2)


@pytest.mark.parametrize("classes", [2, 5])
def test_released_procedure_is_scikit_learns(classes):
    values, labels = data(classes)
    assert released_boundary_counts(values, labels, 30) == released(values, labels, 30)


def test_released_procedure_loses_half_and_depends_on_the_numbering():
    values, labels = data(2, 600)
    counts, true = released_boundary_counts(values, labels), boundary_counts(values, labels).nested
    assert 0.3 * true[0] < counts[0] < 0.7 * true[0]
    assert counts[0] + released_boundary_counts(values, 1 - labels)[0] == true[0]


def test_invariances():
    values, labels = data()
    counts = boundary_counts(values, labels)
    order, numbers = torch.randperm(300), torch.tensor([7, 2, 5, 0])
    assert boundary_counts(values[order], labels[order]) == counts
    assert boundary_counts(values, numbers[labels]) == counts
    assert boundary_counts(values * 100, labels) == counts
    rotation = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64)).Q
    assert boundary_counts(values.double() @ rotation, labels) == counts
    assert boundary_counts(values, labels, neighbours=nearest_neighbours(values, 31)) == counts


def test_separated_classes_have_no_boundary():
    values, labels = data()
    counts = boundary_counts(values + 100 * labels[:, None], labels, 30)
    assert counts.nested == counts.plain == counts.plurality == (0,) * 30


def test_constant_features_are_ties_by_index():
    labels = torch.tensor([0, 0, 1, 1])
    counts = boundary_counts(torch.ones(4, 3), labels, 2)  # neighbours (1, 2), (0, 2), (0, 1), (0, 1)
    assert (counts.nested, counts.plain, counts.plurality) == ((2, 2), (2, 2), (2, 2))


def test_mistakes():
    values, labels = data(samples=20)
    with pytest.raises(ValueError, match="k=30 is not valid: each of 20 samples"):
        boundary_counts(values, labels)
    with pytest.raises(ValueError, match="every class one sample"):
        boundary_counts(values, torch.arange(20), 3)
    with pytest.raises(ValueError, match="finite"):
        boundary_counts(values / 0, labels, 3)
    with pytest.raises(ValueError, match="k_max=0"):
        released_boundary_counts(values, labels, 0)
    with pytest.raises(ValueError, match="9 labels do not fit 20 samples"):
        boundary_counts(values, labels[:9], 3)
    with pytest.raises(ValueError, match="neighbours must be 20 x 9 or wider: this table is 20 x 3"):
        boundary_counts(values, labels, 9, neighbours=nearest_neighbours(values, 3))
