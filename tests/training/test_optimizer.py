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


class Learned(nn.Conv2d):
    """A front-end whose filters learn at a tenth of the rate, without weight decay."""

    def parameter_groups(self):
        return [{"params": self.parameters(), "lr_factor": 0.1, "weight_decay": 0.0}]


@pytest.mark.parametrize("make", [sgd, adamw])
def test_a_part_of_the_model_has_groups_of_its_own(make):
    frontend = Learned(1, 2, 3, bias=False)
    others, own = make(nn.Sequential(frontend, nn.Linear(2, 2)), lr=0.5, weight_decay=0.01, decay="all").param_groups
    assert (own["lr"], own["weight_decay"], others["lr"], others["weight_decay"]) == (0.05, 0.0, 0.5, 0.01)
    assert own["params"] == [frontend.weight] and len(others["params"]) == 2
    frontend.requires_grad_(False)
    assert len(make(nn.Sequential(frontend, nn.Linear(2, 2)), lr=0.5).param_groups) == (1 if make is sgd else 2)


def test_an_unknown_key_of_such_a_group_is_named():
    frontend = Learned(1, 2, 3)
    frontend.parameter_groups = lambda: [{"params": [], "lr": 0.1}]
    with pytest.raises(ValueError, match="unknown key in parameter_groups.*: lr. Valid: lr_factor"):
        sgd(nn.Sequential(frontend, nn.Linear(2, 2)), lr=0.5)


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
