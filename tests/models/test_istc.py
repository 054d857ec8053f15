"""Sparse codes by ISTC: against the soft threshold of a basis, against ISTA, and as a head."""

from __future__ import annotations

import pytest
import torch

from hybrid.models.istc import ISTC, SparseCodeHead


def objective(code, x, dictionary, threshold):
    return (0.5 * (x - dictionary @ code).square().sum(0) + threshold * code.sum(0)).mean().item()


def test_in_a_basis_the_code_is_the_soft_threshold():
    layer = ISTC(6, 6, threshold=0.3)
    with torch.no_grad():
        layer.dictionary.copy_(torch.linalg.qr(torch.randn(6, 6))[0])
    x = torch.randn(3, 6, 2, 2)
    expected = (torch.einsum("fa,nfhw->nahw", layer.dictionary, x) - 0.3).relu()
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-4)
    assert layer.start == pytest.approx(torch.einsum("fa,nfhw->nahw", layer.dictionary, x).max().item())
    torch.testing.assert_close(layer.eval()(x[:1]), expected[:1], atol=1e-5, rtol=1e-4)  # with the λ0 of training


def test_twelve_iterations_are_nearer_to_the_optimum_than_those_of_ista():
    torch.manual_seed(0)
    layer = ISTC(64, 128, threshold=0.1)
    dictionary = layer.matrices()[0].detach()
    sparse = torch.rand(128, 200) * (torch.rand(128, 200) < 0.03)
    x = dictionary @ sparse
    step, code, best = 1 / torch.linalg.matrix_norm(dictionary, 2) ** 2, torch.zeros(128, 200), None
    for number in range(2000):
        code = (code + step * (dictionary.T @ (x - dictionary @ code) - 0.1)).relu()
        best = code if number == 11 else best
    optimum, ista = objective(code, x, dictionary, 0.1), objective(best, x, dictionary, 0.1)
    istc = objective(layer(x.T[:, :, None, None])[..., 0, 0].T, x, dictionary, 0.1)
    assert istc / optimum + 1e-4 >= 1 and istc / optimum < 1.03 < ista / optimum


def test_the_matrix_of_correlations_of_an_untied_layer():
    layer = ISTC(5, 9, tied=False)
    with torch.no_grad():
        layer.analysis.add_(torch.randn(5, 9))
    columns, analysis = layer.matrices()
    torch.testing.assert_close((columns * analysis).sum(0), torch.ones(9))
    torch.testing.assert_close(columns.norm(dim=0), torch.ones(9))
    assert ISTC(5, 9, threshold=0.001).threshold.item() == pytest.approx(0.05)


def test_a_head_on_codes_trains_and_gives_an_empty_result_for_no_image():
    head = SparseCodeHead((7, 4, 4), 3, features=8, atoms=16, hidden=(8,), pool=2, dropout=0.1)
    head(torch.randn(4, 7, 4, 4)).sum().backward()
    assert all(parameter.grad is not None for parameter in head.parameters())
    assert head.eval()(torch.zeros(0, 7, 4, 4)).shape == (0, 3) and len(head.code.steps) == 12
    with pytest.raises(ValueError, match="dropout has no effect without hidden layers"):
        SparseCodeHead((7, 4, 4), 3, dropout=0.1)
