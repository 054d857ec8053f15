from __future__ import annotations

import pytest
import torch
from torch import nn

from hybrid.data import Batch
from hybrid.training.evaluation import evaluate


def batches(logits, labels, size):
    """Batches whose images are the logits that an identity model then returns."""
    for start in range(0, len(labels), size):
        part = slice(start, start + size)
        yield Batch(logits[part], labels[part], labels[part], torch.arange(len(labels))[part])


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_every_image_counts_once_whatever_the_batch(size):
    logits, labels = torch.randn(103, 10), torch.randint(0, 10, (103,))
    result = evaluate(nn.Identity(), batches(logits, labels, size), num_classes=10)
    order = logits.argsort(1, descending=True)
    assert result.images == 103
    assert result.top1 == pytest.approx(100 * (order[:, 0] == labels).double().mean().item())
    assert result.values["top5"] == pytest.approx(100 * (order[:, :5] == labels[:, None]).any(1).double().mean().item())
    assert result.loss == pytest.approx(nn.functional.cross_entropy(logits.double(), labels).item(), rel=1e-6)
    assert result.confusion.sum() == 103
    for true, predicted in zip(labels[:5], order[:5, 0], strict=True):
        assert result.confusion[true, predicted] >= 1


@pytest.mark.parametrize(("classes", "names"), [(5, ["loss", "top1"]), (6, ["loss", "top1", "top5"])])
def test_top5_is_there_where_it_says_something(classes, names):
    labels = torch.tensor([0, 1, 1])
    result = evaluate(nn.Identity(), batches(torch.randn(3, classes), labels, 2), num_classes=classes)
    assert list(result.numbers()) == names


def test_the_models_mode_comes_back_also_after_an_error():
    model = nn.Dropout()
    with pytest.raises(ValueError, match="no images"):
        evaluate(model, [], num_classes=3)
    assert model.training
