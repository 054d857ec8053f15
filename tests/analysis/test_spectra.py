"""Class spectra against NumPy's covariance, and spectra whose ranks are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hybrid.analysis.spectra import class_spectra
from hybrid.errors import UserError


@pytest.mark.parametrize(("samples", "size"), [(50, 7), (12, 30), (20, 20), (2, 5)])
def test_eigenvalues_are_those_of_the_covariance(samples, size):
    labels = torch.arange(3 * samples) % 3 + 5
    features = torch.randn(3 * samples, size) * torch.rand(size) + 10
    result = class_spectra(features, labels)
    assert result.classes.tolist() == [5, 6, 7] and result.counts.tolist() == [samples] * 3
    for eigenvalues, label in zip(result.eigenvalues, (5, 6, 7), strict=True):
        covariance = np.cov(features[labels == label].double().numpy().T)
        expected = np.linalg.eigvalsh(covariance)[::-1].copy()
        torch.testing.assert_close(eigenvalues, torch.from_numpy(expected), rtol=1e-10, atol=1e-12)
    assert (result.eigenvalues >= 0).all() and (result.eigenvalues.diff(dim=1) <= 0).all()
    variances = torch.stack([features[labels == label].double().var(0).sum() for label in (5, 6, 7)])
    torch.testing.assert_close(result.total_variance, variances, rtol=1e-10, atol=0)


def test_gram_and_covariance_give_the_same_ranks():
    features = torch.randn(30, 10).double()
    labels = torch.zeros(30, dtype=torch.int64)
    wide = torch.cat([features, torch.zeros(30, 90).double()], 1)  # now fewer samples than coordinates
    small, large = class_spectra(features, labels), class_spectra(wide, labels)
    torch.testing.assert_close(large.eigenvalues[:, :10], small.eigenvalues, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(large.effective_rank, small.effective_rank, rtol=1e-10, atol=0)
    torch.testing.assert_close(large.participation_ratio, small.participation_ratio, rtol=1e-10, atol=0)


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_equal_eigenvalues_give_their_number_as_rank(rank):
    corners = torch.cat([torch.eye(rank), -torch.eye(rank)]).double()  # equal variance in each of `rank` directions
    rotation = torch.linalg.qr(torch.randn(9, 9).double()).Q[:rank]
    result = class_spectra(1e3 * corners @ rotation, torch.zeros(2 * rank, dtype=torch.int64))
    assert result.effective_rank.item() == pytest.approx(rank, rel=1e-9)
    assert result.participation_ratio.item() == pytest.approx(rank, rel=1e-9)
    share = torch.cat([torch.arange(1, rank + 1) / rank, torch.ones(9 - rank)])[None].double()
    torch.testing.assert_close(result.eigenvalues.cumsum(1) / result.total_variance, share, rtol=1e-6, atol=0)


def test_the_two_ranks_of_a_known_spectrum():
    """Eigenvalues in the proportion 2 : 1 : 1: entropy 1.5 ln 2, sum² / sum of squares 16 / 6."""
    directions = torch.diag(torch.tensor([2.0, 1.0, 1.0]).double().sqrt())
    result = class_spectra(torch.cat([directions, -directions]), torch.zeros(6, dtype=torch.int64))
    assert result.effective_rank.item() == pytest.approx(2**1.5, rel=1e-12)
    assert result.participation_ratio.item() == pytest.approx(16 / 6, rel=1e-12)


def test_maps_are_flattened_and_the_input_is_not_modified():
    features, labels = torch.randn(20, 2, 3), torch.arange(20) % 2
    copy = features.clone()
    result = class_spectra(features, labels)
    assert torch.equal(features, copy)
    assert torch.equal(result.eigenvalues, class_spectra(features.flatten(1), labels).eigenvalues)


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        (torch.randn(3, 2), [1, 1, 8], "class 8 has one sample"),
        (torch.cat([torch.randn(3, 2), torch.full((7, 2), 0.1)]), [0] * 3 + [4] * 7, "7 samples of class 4 have equal"),
        (torch.tensor([[0.0], [torch.inf]]), [0, 0], "1 of 2 samples have NaN or infinite"),
        (torch.randn(0, 2), [], "not empty"),
        (torch.randn(3), [0, 0, 0], r"\(N, ...\) and not empty, got float32 \(3,\)"),
    ],
)
def test_mistakes_are_one_clear_line(features, labels, message):
    with pytest.raises(UserError, match=message):
        class_spectra(features, torch.tensor(labels, dtype=torch.int64))
