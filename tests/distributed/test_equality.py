"""Two ranks give the losses and weights of one: in double precision, so that nothing hides behind rounding."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from hybrid import distributed
from hybrid.configuration import build_record
from hybrid.configuration.composition import compose
from hybrid.configuration.from_config import data_from
from hybrid.distributed.gradients import GradientSum
from hybrid.distributed.sync_batch_norm import CPUSyncBatchNorm, synchronize_batch_norm
from hybrid.objective.objective import objective_of
from hybrid.training.averages import EarlyStatistics
from hybrid.training.evaluation import evaluate
from hybrid.training.gradient_checkpointing import Checkpointed
from hybrid.training.settings import TrainerSettings
from hybrid.training.state import TrainState
from hybrid.training.step import train_step

CPU = torch.device("cpu")
BATCH, IMAGES = 7, 50  # never divided evenly; in an epoch's last step, of one image, all ranks but the first have none


def double(batch):
    targets = batch.targets.double() if batch.targets.is_floating_point() else batch.targets
    return batch._replace(images=batch.images.double(), targets=targets)


def network(norm: bool, outputs: int = 10) -> nn.Module:
    torch.manual_seed(3)
    maps = [nn.BatchNorm2d(6, momentum=0.3) if norm else nn.Identity() for _ in range(2)]
    first = nn.Sequential(nn.Conv2d(1, 6, 3), maps[0], nn.ReLU())
    second = nn.Sequential(nn.Conv2d(6, 6, 3, stride=2), maps[1], nn.Tanh())
    return nn.Sequential(first, second, nn.Flatten(), nn.Linear(54, outputs)).double()


def digits(augmentation, source="hybrid.data.digits.Digits"):
    source = {"_target_": source, "size": 9, "validation": 53, "subset": {"n": IMAGES}}
    return data_from(source, {"pad": 1, "flip": 0.5, "cutout": 3, **augmentation}, seed=5)


def trained(
    *, norm=False, augmentation, epochs=2, objective=(), source="hybrid.data.digits.Digits", again=False, **settings
):
    """Two epochs: the loss of every step, everything that was learned, and an evaluation. objective: overrides.

    again: the blocks are computed a second time for the gradient, and running statistics begin as means.
    """
    settings = dataclasses.replace(build_record(TrainerSettings, compose([]).trainer, path="trainer"), **settings)
    data = digits(augmentation, source)
    learnt = objective_of(compose([*objective]), data)
    learnt.loss.double()
    model = network(norm, data.num_classes)
    with distributed.session(timeout=20):
        if settings.sync_batch_norm:
            model = synchronize_batch_norm(model, CPU)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
        state = TrainState(model, optimizer, device=CPU, ema=lambda updates: 0.8, objective=learnt)
        loader = data.loader(
            "train", batch_size=BATCH, train=True, shares=distributed.own_shares(accumulation=settings.accumulation)
        )
        losses, sum_gradients, taught = [], GradientSum(model), model
        if again:
            EarlyStatistics(model)
            taught = Checkpointed(model, list(model.children())[:2], settings.arithmetic)
        for epoch in range(epochs):
            for number, batch in enumerate(loader.epoch(epoch)):
                train_step(
                    taught, optimizer, state.scaler, double(batch), state.meter, settings=settings, step=1, objective=learnt,
                    share=loader.share(number), sum_gradients=sum_gradients,
                )  # fmt: skip
                state.average()
                losses.append(state.meter.read()["train/loss"])
        test = data.loader("validation", batch_size=10, shares=distributed.own_shares(accumulation=1))
        batches = (double(batch) for batch in test.epoch(0))
        result = evaluate(state.evaluated, batches, num_classes=data.num_classes, objective=learnt)
    tensors = {**model.state_dict(), **{f"ema.{k}": v for k, v in state.ema.module.state_dict().items()}}
    return losses, tensors, result


def compare(one, other):
    torch.testing.assert_close(one[0], other[0], rtol=0, atol=1e-10)
    assert one[1].keys() == other[1].keys()
    for name, value in one[1].items():
        torch.testing.assert_close(value, other[1][name], rtol=0, atol=1e-10, msg=lambda text, n=name: f"{n}: {text}")
    assert one[2].images == other[2].images == 53
    if one[2].confusion is not None:
        assert torch.equal(one[2].confusion, other[2].confusion)
    assert one[2].numbers() == pytest.approx(other[2].numbers(), abs=1e-10)


CASES = {
    "plain": {"augmentation": {}},
    "mixed, in parts, clipped": {"augmentation": {"mixup": 0.4, "cutmix": 1.0}, "accumulation": 2, "clip_norm": 0.5},
    "batch norm": {"augmentation": {"mixup": 0.4}, "norm": True, "sync_batch_norm": True},
    "batch norm in parts": {"augmentation": {}, "norm": True, "sync_batch_norm": True, "accumulation": 2},
    "batch norm computed again": {"augmentation": {}, "norm": True, "sync_batch_norm": True, "again": True},
    "weighted focal, mixed": {
        "augmentation": {"mixup": 0.4},
        "objective": ["loss=focal", "loss.class_weights=balanced", "metrics=[auc,balanced_accuracy,calibration_error]"],
    },
    "values, one number a batch": {
        "augmentation": {"mixup": 0.4},
        "accumulation": 2,
        "source": "fixtures.tasks.Digit",
        "objective": ["loss._target_=torch.nn.HuberLoss", "metrics=[root_mean_squared_error]"],
    },
}
THREE = ("batch norm in parts", "weighted focal, mixed", "values, one number a batch")


@pytest.mark.parametrize(("case", "size"), [*((case, 2) for case in CASES), *((case, 3) for case in THREE)])
def test_ranks_give_the_losses_and_weights_of_one(ranks, case, size):
    one = trained(**CASES[case])
    every = ranks(size, lambda: trained(**CASES[case])).results()
    for other in every:
        compare(one, other)
        assert all(torch.equal(value, other[1][name]) for name, value in every[0][1].items()), "ranks differ"
    assert len(one[0]) == 16


def test_without_synchronisation_running_statistics_are_the_weighted_mean_over_ranks(ranks):
    """Of one step: (1 - m) · before + m · Σ share of images · the rank's own batch statistics."""
    model, batch = network(True), torch.randn(7, 1, 9, 9, dtype=torch.float64)
    labels = torch.arange(7)

    def one_step():
        with distributed.session(timeout=20):
            rows = distributed.own_shares(accumulation=1).rows(7)[0]
            nn.functional.cross_entropy(model(batch[rows]), labels[rows], reduction="sum").div(7).backward()
            GradientSum(model)((rows.stop - rows.start) / 7)
        return {name: value for name, value in model.state_dict().items() if "running" in name}

    expected = {"running_mean": 0.0, "running_var": 0.7}
    features = [model[0][0](part) for part in (batch[:4], batch[4:])]
    expected["running_mean"] += 0.3 * sum(n / 7 * f.mean((0, 2, 3)) for n, f in zip((4, 3), features, strict=True))
    expected["running_var"] += 0.3 * sum(n / 7 * f.var((0, 2, 3)) for n, f in zip((4, 3), features, strict=True))
    first, second = ranks(2, one_step).results()
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(first[f"0.1.{name}"], expected[name].detach())
        assert torch.equal(first[f"0.1.{name}"], second[f"0.1.{name}"])


def test_a_parameter_that_no_rank_uses_keeps_no_gradient_and_one_that_some_rank_uses_gets_it(ranks):
    def work():
        used, sometimes, never = (nn.Parameter(torch.ones(2)) for _ in range(3))
        with distributed.session(timeout=20):
            (used.sum() * (distributed.rank() + 1)).backward()
            if distributed.rank() == 1:
                (5 * sometimes.sum()).backward()
            GradientSum(nn.ParameterList([used, sometimes, never]))(0.5)
        return used.grad, sometimes.grad, never.grad

    for grads in ranks(2, work).results():
        assert torch.equal(grads[0], torch.full((2,), 3.0)) and torch.equal(grads[1], torch.full((2,), 5.0))
        assert grads[2] is None


def test_of_one_process_synchronised_batch_norm_is_what_it_replaces():
    torch.manual_seed(0)
    plain = nn.BatchNorm1d(4, momentum=None, affine=True).double()
    ours = CPUSyncBatchNorm.like(nn.BatchNorm1d(4, momentum=None).double())
    for module in (plain, ours):
        module(torch.arange(12, dtype=torch.float64).view(3, 4))
    assert plain.state_dict().keys() == ours.state_dict().keys()
    for name, value in plain.state_dict().items():
        assert torch.equal(value, ours.state_dict()[name])
