from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn

from hybrid.errors import UserError
from hybrid.training import checkpoint
from hybrid.training.optimizer import adamw, optimizer_from, parameter_groups, sgd


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


CLASSES = sorted(
    name
    for name, kind in vars(torch.optim).items()
    if inspect.isclass(kind) and issubclass(kind, torch.optim.Optimizer) and kind is not torch.optim.Optimizer
)
# Those that cannot drive a step of ours, with a word of the line that says why.
REFUSED = {"LBFGS": "closure", "SparseAdam": "sparse gradients", "Muon": "2D"}


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_of_torch_optim_steps_with_rates_by_part_or_is_refused_in_one_line(name):
    network = model()
    section = {"_target_": f"torch.optim.{name}", "lr": 0.01, "rates": {"2": 0.1}}
    if name in REFUSED:
        with pytest.raises(UserError, match=f"^optimizer: .*{REFUSED[name]}"):
            optimizer_from(section if name != "LBFGS" else {**section, "rates": {}}, network)
        return
    optimizer = optimizer_from(section, network)
    assert type(optimizer).__name__ == name
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.01, 0.001])
    before = network[0].weight.clone()
    network[0](torch.ones(1, 1, 3, 3)).sum().backward()
    optimizer.step()
    assert not torch.equal(before, network[0].weight)


def test_a_class_of_torch_has_its_own_defaults_and_ours_beside_them():
    section = {"_target_": "torch.optim.RAdam", "weight_decay": 0.1, "decay": "weights"}
    decayed, spared = optimizer_from(section, model()).param_groups
    assert (decayed["lr"], decayed["weight_decay"], spared["weight_decay"]) == (1e-3, 0.1, 0)
    with pytest.raises(UserError, match="decay=weights has no effect: torch.optim.Rprop has no weight_decay"):
        optimizer_from({"_target_": "torch.optim.Rprop", "decay": "weights"}, model())
    with pytest.raises(UserError, match="unknown key in optimizer: momentun. Did you mean momentum"):
        optimizer_from({"_target_": "torch.optim.RMSprop", "momentun": 0.9}, model())
    with pytest.raises(UserError, match="optimizer.lr"):
        optimizer_from({"_target_": "torch.optim.RMSprop", "lr": "fast"}, model())


def test_the_longest_name_of_a_part_decides_its_rate():
    network = nn.ModuleDict({"frontend": Learned(1, 2, 3), "head": nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))})
    rates = {"head.1": 10, "head": 2, "frontend": 0.5}
    groups = parameter_groups(network, lr=1.0, weight_decay=0.1, decay="all", rates=rates)
    found = {id(p): (group.get("lr", 1.0), group["weight_decay"]) for group in groups for p in group["params"]}
    assert found[id(network["head"][1].weight)] == (10.0, 0.1) and found[id(network["head"][0].bias)] == (2.0, 0.1)
    assert found[id(network["frontend"].weight)] == (0.5, 0.0)  # not the tenth that the part asks for; its own decay
    with pytest.raises(
        UserError, match="unknown part with trainable parameters in optimizer.rates: haed. Did you mean head"
    ):
        parameter_groups(network, lr=1.0, weight_decay=0, decay="all", rates={"haed": 1})
    with pytest.raises(UserError, match="optimizer.rates.head=0 is not valid: .*trainer.freeze"):
        parameter_groups(network, lr=1.0, weight_decay=0, decay="all", rates={"head": 0})


def test_a_class_of_torch_on_the_command_line_leaves_the_yamls_keys_for_another_one_out(train, tiny):
    cfg = tiny("optimizer._target_=torch.optim.RAdam", "optimizer.lr=0.002", "+optimizer.betas=[0.8,0.9]")
    assert dict(cfg.optimizer) == {"_target_": "torch.optim.RAdam", "lr": 0.002, "betas": [0.8, 0.9]}
    chosen = tiny("optimizer=custom", "optimizer._target_=torch.optim.RAdam", "optimizer.lr=0.002")
    assert dict(chosen.optimizer) == {"_target_": "torch.optim.RAdam", "lr": 0.002}
    folder = train("optimizer._target_=torch.optim.RAdam", "optimizer.lr=0.002", "optimizer.rates={normalization: 0.5}")
    groups = checkpoint.load(folder.checkpoints / "last.pt")["optimizer"]["param_groups"]
    assert [group["initial_lr"] for group in groups] == [0.001, 0.002] and groups[0]["betas"] == (0.9, 0.999)
