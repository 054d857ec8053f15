"""What features and labels must be, for every measurement."""

from __future__ import annotations

import pytest
import torch

from hybrid.analysis.checks import checked_features, checked_labels
from hybrid.errors import UserError


def test_what_is_valid_comes_back():
    features = torch.randn(3, 2, 2, dtype=torch.float16, requires_grad=True)
    checked = checked_features(features)
    assert torch.equal(checked, features) and not checked.requires_grad
    labels = checked_labels(torch.tensor([3, 1], dtype=torch.uint8), 2)
    assert labels.tolist() == [3, 1] and labels.dtype == torch.int64
    assert checked_features(torch.tensor([[torch.nan]]), finite=False).isnan().all()


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (torch.randn(3), r"the test's features must be floating-point \(N, ...\) and not empty, got float32 \(3,\)"),
        (torch.randn(0, 3), "not empty"),
        (torch.randn(3, 0), "not empty"),
        (torch.ones(3, 2).int(), "got int32"),
        (torch.cat([torch.randn(5000, 2), torch.full((2, 2), torch.inf)]), "finite: 2 of 5002 samples have NaN or inf"),
    ],
)
def test_features_that_are_none(features, message):
    with pytest.raises(UserError, match=message):
        checked_features(features, "the test's features")


@pytest.mark.parametrize(
    ("labels", "samples", "message"),
    [
        (torch.zeros(3), None, r"labels must be integers \(N,\), got float32 of shape \(3,\)"),
        (torch.zeros(3).bool(), None, "got bool"),
        (torch.eye(3).long(), None, r"of shape \(3, 3\)"),
        (torch.arange(3), 4, "3 labels do not fit 4 samples"),
    ],
)
def test_labels_that_are_none(labels, samples, message):
    with pytest.raises(UserError, match=message):
        checked_labels(labels, samples)
