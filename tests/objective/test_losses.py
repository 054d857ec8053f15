"""Losses: torch's own with weights from the training images; sums over images, whatever a loss gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from hybrid.errors import UserError
from hybrid.objective.losses import (
    FocalLoss,
    bce,
    check_loss,
    cross_entropy,
    for_evaluation,
    huber,
    l1,
    mse,
    of_each_image,
    summed,
)

LABELS = torch.tensor([0] * 6 + [1] * 3 + [2])
LOGITS = torch.randn(10, 3, generator=torch.Generator().manual_seed(0))
WEIGHTS = [1.0, 2.0, 0.5]


def test_the_cross_entropy_is_torchs_to_the_last_bit():
    loss = cross_entropy(training_labels=LABELS, outputs=3, label_smoothing=0.1)
    assert torch.equal(
        summed(loss, LOGITS, LABELS), F.cross_entropy(LOGITS, LABELS, label_smoothing=0.1, reduction="sum")
    )
    each = of_each_image(for_evaluation(loss), LOGITS, LABELS)  # an evaluation does not smooth
    assert torch.equal(each, F.cross_entropy(LOGITS, LABELS, reduction="none"))
    assert loss.label_smoothing == 0.1 and loss.reduction == "sum"


def test_balanced_weights_are_scikit_learns_and_have_mean_one_over_the_images():
    for loss in (cross_entropy, FocalLoss):
        weight = loss(training_labels=LABELS, outputs=3, class_weights="balanced").weight
        expected = compute_class_weight("balanced", classes=np.arange(3), y=LABELS.numpy())
        assert weight.tolist() == pytest.approx(expected.tolist())
        assert weight[LABELS].mean().item() == pytest.approx(1)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_the_focal_loss_is_its_formula_and_without_gamma_the_cross_entropy(weights):
    known = {"training_labels": LABELS, "outputs": 3, "class_weights": weights}
    entropy = of_each_image(for_evaluation(cross_entropy(**known)), LOGITS, LABELS)
    torch.testing.assert_close(FocalLoss(**known, gamma=0.0)(LOGITS, LABELS), entropy)
    sure = LOGITS.softmax(1)[torch.arange(10), LABELS]
    torch.testing.assert_close(FocalLoss(**known, gamma=2.0)(LOGITS, LABELS), (1 - sure) ** 2 * entropy)


def test_the_focal_loss_of_mixed_images_is_the_mean_over_their_classes():
    loss = FocalLoss(training_labels=LABELS, outputs=3, class_weights=WEIGHTS)
    others = LABELS.flip(0)
    mixed = 0.3 * F.one_hot(LABELS, 3).float() + 0.7 * F.one_hot(others, 3)
    torch.testing.assert_close(loss(LOGITS, mixed), 0.3 * loss(LOGITS, LABELS) + 0.7 * loss(LOGITS, others))


def test_balanced_labels_count_as_much_with_as_without():
    labels = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    loss = bce(training_labels=labels, outputs=2, label_weights="balanced")
    assert loss.pos_weight.tolist() == [3.0, 1.0]
    each = of_each_image(loss, torch.zeros(4, 2), labels)  # a logit of 0: log 2 for a label, times its weight
    torch.testing.assert_close(each / torch.tensor(2.0).log(), torch.tensor([2.0, 1.0, 1.0, 1.0]))


@pytest.mark.parametrize(("loss", "expected"), [(mse, 1.0), (l1, 0.8), (huber, 0.45)], ids=["mse", "l1", "huber"])
def test_values_are_standardised_so_that_their_units_do_not_matter(loss, expected):
    """The mean of all values is wrong by their standard deviation, in any units."""
    values = torch.tensor([[-2.0], [-1.0], [0.0], [1.0], [2.0]]) / 2**0.5
    for scale, shift in ((1.0, 0.0), (1000.0, 5e5)):
        labels = scale * values + shift
        made = loss(training_labels=labels, standardize=True)
        mean, std = made.units
        assert (mean.item(), std.item()) == (pytest.approx(shift), pytest.approx(scale, rel=1e-6))
        found = of_each_image(made, mean.expand(5, 1), labels).mean().item()
        assert found == pytest.approx(expected, abs=0.05)
    assert not hasattr(loss(training_labels=values, standardize=False), "units")


def test_a_value_that_is_always_the_same_has_the_unit_one_and_one_that_is_too_far_is_refused():
    assert mse(training_labels=torch.full((3, 1), 7.0)).units[1].item() == 1
    with pytest.raises(UserError, match="take their mean off"):
        mse(training_labels=1e9 + torch.arange(4.0, dtype=torch.float64)[:, None])


class Mean(nn.Module):
    """A loss of one's own that gives one number."""

    def forward(self, outputs, targets):
        return (outputs - targets).square().mean()


class Each(nn.Module):
    def forward(self, outputs, targets):
        return (outputs - targets).square().mean(1)


class Scaled(Mean):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))


OWN = {
    "a mean": Mean(),
    "one for each image": Each(),
    "torch's mean": nn.MSELoss(),
    "torch's numbers": nn.MSELoss(reduction="none"),
}


@pytest.mark.parametrize("name", OWN)
def test_whatever_a_loss_gives_its_sum_is_that_over_the_images(name):
    outputs, targets = torch.randn(5, 3, requires_grad=True), torch.randn(5, 3)
    expected = (outputs - targets).square().mean(1)
    torch.testing.assert_close(summed(OWN[name], outputs, targets), expected.sum())
    torch.testing.assert_close(of_each_image(for_evaluation(OWN[name]), outputs, targets).sum(), expected.sum())
    nothing = summed(OWN[name], outputs[:0], targets[:0])  # a rank without images
    nothing.backward()
    assert nothing.item() == 0 and not outputs.grad.any()


VALUES = torch.rand(2, 3)


@pytest.mark.parametrize(
    ("loss", "task", "labels", "words"),
    [
        (Mean(), "classification", LABELS[:2], "does not take outputs .2, 3. and the targets .2,. of classification"),
        (cross_entropy(training_labels=LABELS, outputs=3), "regression", VALUES, "is for classification, and the data are"),
        (Scaled(), "regression", VALUES, "has parameters, and only the model's are trained"),
        (nn.Identity, "regression", VALUES, "is no torch.nn.Module"),
        (nn.CosineSimilarity(dim=0), "regression", VALUES, r"gives a tensor \(3,\) for 2 images"),
    ],
    ids=["shape", "task", "parameters", "class", "numbers"],
)  # fmt: skip
def test_a_loss_that_does_not_fit_is_refused_in_one_line(loss, task, labels, words):
    with pytest.raises(UserError, match=f"loss=mine.*{words}"):
        check_loss(loss, task=task, outputs=3, labels=labels, name="mine")


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([1.0, 2.0], "has 2 weights, and the data have 3"),
        ([1.0, 2.0, 0.0], "must be a positive number"),
        ("balanced", "class 2 has no training images"),
    ],
    ids=["number", "zero", "missing"],
)
def test_weights_that_cannot_be_are_refused(weights, words):
    with pytest.raises(UserError, match=words):
        cross_entropy(training_labels=LABELS[:9], outputs=3, class_weights=weights)
