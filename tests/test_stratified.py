"""A stratified sample keeps the classes' proportions, and can be made to show every class."""

from __future__ import annotations

import pytest
import torch

from hybrid.errors import UserError
from hybrid.stratified import stratified_positions


def test_it_keeps_proportions():
    labels = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)
    chosen = stratified_positions(labels, 20, seed=0)
    assert torch.bincount(labels[chosen]).tolist() == [12, 6, 2] and len(set(chosen.tolist())) == 20
    assert stratified_positions(labels, 20, seed=1).tolist() != chosen.tolist()
    assert stratified_positions(labels, 20, seed=0).tolist() == chosen.tolist() == sorted(chosen.tolist())
    assert stratified_positions(labels, 100, seed=0).tolist() == list(range(100))


def test_the_draw_of_a_seed_is_frozen():
    """Runs are named by it: another draw would be another training set."""
    assert stratified_positions(torch.arange(20) % 2, 6, seed=3).tolist() == [2, 5, 7, 8, 10, 17]


def test_every_class_can_be_shown():
    rare = torch.tensor([5] * 98 + [1, 2])
    assert rare[stratified_positions(rare, 3, seed=0, every_class=True)].tolist() == [5, 1, 2]
    assert rare[stratified_positions(rare, 10, seed=0)].unique().tolist() == [5]
    assert len(stratified_positions(rare, 10, seed=0, every_class=True)) == 10
    labels = torch.tensor([0] * 600 + [1] * 300 + [7] * 100)[torch.randperm(1000)]
    shares = torch.bincount(labels[stratified_positions(labels, 100, seed=1, every_class=True)], minlength=8)
    assert ((shares[[0, 1, 7]] - torch.tensor([60, 30, 10])).abs() <= 1).all() and shares.sum() == 100
    balanced = torch.arange(5000) % 10
    assert (
        torch.bincount(balanced[stratified_positions(balanced, 1000, seed=0, every_class=True)]).tolist() == [100] * 10
    )


def test_a_count_that_cannot_be_is_refused():
    labels = torch.arange(30) % 3
    with pytest.raises(UserError, match="2 images cannot show all 3 classes; choose 3 or more"):
        stratified_positions(labels, 2, seed=0, every_class=True)
    with pytest.raises(UserError, match="31 images are more than the 30"):
        stratified_positions(labels, 31, seed=0)
