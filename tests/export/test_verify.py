from __future__ import annotations

import math

import pytest
import torch

from hybrid.export.verify import check, difference, probe_batches


def test_the_largest_difference_of_all_batches_counts():
    batches = [torch.zeros(2, 3), torch.ones(1, 3)]
    found = difference(lambda x: x, lambda x: x + 0.5 * (x > 0), batches)
    assert found == (0.5, 1.0, 3)


@pytest.mark.parametrize("wrong", [lambda x: x * float("nan"), lambda x: x[:, :2], lambda x: x + 2e-4])
def test_what_differs_is_refused_also_nan_and_another_shape(wrong):
    with pytest.raises(ValueError, match="a.onnx differs"):
        check("a.onnx", lambda x: x, wrong, [torch.ones(1, 3), torch.zeros(1, 3)], tolerance=1e-4)


def test_a_nan_is_not_hidden_by_a_later_good_batch():
    wrong = lambda x: x.where(x > 0, float("nan"))  # noqa: E731
    assert math.isnan(difference(lambda x: x, wrong, [torch.zeros(1, 1), torch.ones(1, 1)]).largest)


def test_the_tolerance_grows_with_the_logits():
    near = lambda x: x + 5e-4  # noqa: E731
    with pytest.raises(ValueError, match="differs"):
        check("a", lambda x: x, near, [torch.ones(1, 1)], tolerance=1e-4)
    check("a", lambda x: x, near, [torch.full((1, 1), 10.0)], tolerance=1e-4)


def test_probes_have_batches_of_one_and_of_several_and_real_images_first():
    real = torch.rand(4, 1, 8, 8)
    batches = probe_batches((1, 8, 8), real)
    assert {len(batch) for batch in batches} == {1, 4, 5} and torch.equal(batches[1], real)
    assert all(batch.shape[1:] == (1, 8, 8) for batch in probe_batches((1, 8, 8)))
