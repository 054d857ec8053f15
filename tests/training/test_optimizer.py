from __future__ import annotations

import pytest
from torch import nn

from hybrid.training import checkpoint
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


def test_a_users_own_optimizer_gets_the_real_model_and_its_groups_keep_their_rates(train, tmp_path, monkeypatch):
    (tmp_path / "own_optimizer.py").write_text(
        "import torch\n"
        "def two_rates(model, *, lr: float):\n"
        "    parts = [(model.head, 10 * lr), (model.normalization, lr)]\n"
        "    return torch.optim.Adam([{'params': list(part.parameters()), 'lr': rate} for part, rate in parts])\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    left_out = [f"~optimizer.{name}" for name in ("momentum", "nesterov", "weight_decay", "decay")]
    folder = train(*left_out, "optimizer._target_=own_optimizer.two_rates", "schedule=constant")
    groups = checkpoint.load(folder.checkpoints / "last.pt")["optimizer"]["param_groups"]
    assert [group["lr"] for group in groups] == [0.5, 0.05]
