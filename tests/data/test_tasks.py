"""Labels that are no classes: as they are given, through splits, mixing and loaders."""

from __future__ import annotations

import pytest
import torch

import hybrid.data
from hybrid.data import Augmentation, MemorySource, Subset
from hybrid.data.tasks import checked_labels, task_of
from hybrid.errors import UserError


class Squares(MemorySource):
    """Grey squares: two labels say whether they are bright and whether they are white; the value is their brightness."""

    channels, size = 1, 4

    def __init__(self, task: str) -> None:
        self.task = task

    @property
    def class_names(self):
        return ("bright", "white") if self.task == "multilabel" else ("brightness",)

    def read(self, part):
        levels = torch.arange(0, 250, 5 if part == "train" else 25)
        labels = torch.stack([levels > 100, levels > 200], 1).long() if self.task == "multilabel" else levels / 250
        return levels.to(torch.uint8)[:, None, None, None].expand(-1, 1, 4, 4).contiguous(), labels


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_labels_of_any_task_reach_the_batches(task):
    data = hybrid.data.build(Squares(task), subset=Subset(n=21), validation=10, seed=1)
    assert data.task == task and data.num_classes == (2 if task == "multilabel" else 1)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 21, "validation": 10, "test": 10}
    for batch in data.loader("train", batch_size=8, train=True).epoch(0):
        levels = (batch.images[:, 0, 0, 0] * 255).round()
        assert batch.labels.dtype == torch.float32 and torch.equal(batch.labels, batch.targets)
        if task == "multilabel":
            assert torch.equal(batch.labels, torch.stack([levels > 100, levels > 200], 1).float())
        else:
            torch.testing.assert_close(batch.labels, levels[:, None] / 250)
    drawn = data.splits["train"].indices
    assert not set(drawn.tolist()) & set(data.splits["validation"].indices.tolist())


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_mixup_mixes_the_labels_with_the_weights_of_the_images(task):
    """The network's images are mixed in float: the level of a mixed square is the mean of two levels."""
    data = hybrid.data.build(Squares(task), augmentation=Augmentation(mixup=1.0), seed=1)
    batch = next(data.loader("train", batch_size=50, train=True).epoch(0))
    levels = batch.images[:, 0, 0, 0] * 255
    if task == "regression":
        torch.testing.assert_close(batch.targets[:, 0], levels / 250)
    assert not torch.equal(batch.targets, batch.labels) and batch.targets.shape == batch.labels.shape


def test_cutmix_of_values_is_refused():
    with pytest.raises(UserError, match=r"cutmix=1 makes no sense for values.*mixup"):
        hybrid.data.build(Squares("regression"), augmentation=Augmentation(cutmix=1.0))
    hybrid.data.build(Squares("multilabel"), augmentation=Augmentation(cutmix=1.0))


def test_the_task_of_labels():
    assert task_of(torch.tensor([0, 3, 1])) == "classification"
    assert task_of(torch.tensor([[0.0, 1.0], [1.0, 1.0]])) == task_of(torch.tensor([[0, 1]])) == "multilabel"
    assert task_of(torch.tensor([0.5, 1.0])) == task_of(torch.tensor([[0.5, 1.0]])) == "regression"


@pytest.mark.parametrize(
    ("labels", "task", "words"),
    [
        (torch.tensor([0.0, 1.0]), "classification", r"whole numbers of shape \(N,\), got float32.*task ="),
        (torch.tensor([0, 2]), "classification", "label 2 is outside 0..1"),
        (torch.tensor([[0.0, 0.5], [1.0, 0.0]]), "multilabel", "label 0.5 is neither 0 nor 1"),
        (torch.tensor([[0.0], [1.0]]), "regression", r"shape \(2, 1\), but the data set names 2 values"),
        (torch.tensor([[0.0, 1.0], [1.0, float("nan")]]), "regression", "the label of image 1 is not a finite number"),
        (torch.zeros(3, 2), "regression", "3 labels for 2 images"),
        (torch.zeros(2, 2), "ranking", "ranking"),
    ],
    ids=["type", "range", "soft", "names", "nan", "count", "task"],
)
def test_wrong_labels_are_refused_in_one_line(labels, task, words):
    with pytest.raises(UserError, match=words):
        checked_labels(labels, task=task, outputs=2, count=2, where="squares")
