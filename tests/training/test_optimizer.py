from __future__ import annotations

import pytest
from torch import nn

from hybrid.training.optimizer import adamw, sgd


def model():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(2, 2))


def test_decay_all_is_one_group():
    (group,) = sgd(model(), lr=0.1, weight_decay=5e-4).param_groups
    assert group["weight_decay"] == 5e-4 and len(group["params"]) == 6


@pytest.mark.parametrize("make", [sgd, adamw])
def test_decay_weights_spares_biases_and_batch_norm(make):
    decayed, spared = make(model(), lr=0.1, weight_decay=0.1, decay="weights").param_groups
    assert [p.ndim for p in decayed["params"]] == [4, 2] and all(p.ndim == 1 for p in spared["params"])
    assert decayed["weight_decay"] == 0.1 and spared["weight_decay"] == 0


def test_frozen_parameters_are_left_out_and_nothing_to_train_is_an_error():
    frozen = model()
    frozen[0].requires_grad_(False)
    assert sum(len(group["params"]) for group in sgd(frozen, lr=0.1).param_groups) == 4
    with pytest.raises(ValueError, match="no trainable parameters"):
        sgd(frozen.requires_grad_(False), lr=0.1)
