"""Running averages that are right from the first step: the weights of the batches, resume, several ranks, old runs."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from hybrid.distributed.sync_batch_norm import CPUSyncBatchNorm
from hybrid.training.averages import EarlyStatistics, batch_statistics, ema_decay
from hybrid.training.state import TrainState

BATCHES = [torch.randn(8, 3, 2, 2, generator=torch.Generator().manual_seed(k)) * 1e-3 + k for k in range(14)]


def means(batches):
    return torch.stack([batch.mean((0, 2, 3)) for batch in batches])


def trained(model, batches):
    model.train()
    for batch in batches:
        model(batch)
    return model


@pytest.mark.parametrize("kind", [nn.BatchNorm2d, CPUSyncBatchNorm], ids=["torch", "sync"])
def test_the_statistics_are_a_mean_and_then_the_layers_own(kind):
    model = nn.Sequential(kind(3, momentum=0.1))
    early = EarlyStatistics(model)
    trained(model, BATCHES[:3])
    torch.testing.assert_close(model[0].running_mean, means(BATCHES[:3]).mean(0))
    assert model[0].running_var.max() < 1e-5  # nothing of the 1 that it began with
    assert early.at_work
    trained(model, BATCHES[3:10])
    expected = means(BATCHES[:10]).mean(0)
    torch.testing.assert_close(model[0].running_mean, expected)
    assert not early.at_work and model[0].momentum == 0.1 and not model[0]._forward_pre_hooks
    trained(model, BATCHES[10:])
    for batch in BATCHES[10:]:
        expected = expected.lerp(batch.mean((0, 2, 3)), 0.1)
    torch.testing.assert_close(model[0].running_mean, expected)


@pytest.mark.parametrize("momentum", [0.01, 0.3, 0.9, 1.0])
def test_every_momentum_is_reached_and_none_is_passed(momentum):
    model = nn.Sequential(nn.BatchNorm2d(3, momentum=momentum))
    early, seen = EarlyStatistics(model), []
    for _ in range(120):
        trained(model, BATCHES[:1])
        seen.append(model[0].momentum)
    assert seen == [max(momentum, 1 / (k + 1)) for k in range(120)] and not early.at_work


def test_a_resumed_model_goes_on_bit_for_bit():
    whole, first = (nn.Sequential(nn.BatchNorm2d(3), nn.BatchNorm2d(3)) for _ in range(2))
    EarlyStatistics(whole), EarlyStatistics(first)
    trained(whole, BATCHES)
    resumed = nn.Sequential(nn.BatchNorm2d(3), nn.BatchNorm2d(3))
    resumed.load_state_dict(copy.deepcopy(trained(first, BATCHES[:4]).state_dict()))
    EarlyStatistics(resumed)
    trained(resumed, BATCHES[4:])
    assert not EarlyStatistics(resumed).at_work  # it has seen enough: a compiled model is used from its first step on
    assert all(
        torch.equal(a, b) for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True)
    )


def test_layers_that_do_not_train_or_take_a_mean_anyway_are_left_alone():
    model = nn.ModuleDict(
        {"mean": nn.BatchNorm2d(3, momentum=None), "none": nn.BatchNorm2d(3, track_running_stats=False)}
    )
    assert not EarlyStatistics(model).at_work
    frozen = nn.Sequential(nn.BatchNorm2d(3)).eval()
    before = copy.deepcopy(frozen.state_dict())
    early = EarlyStatistics(frozen)
    frozen(BATCHES[0])
    assert not early.at_work  # a compiled model may be used
    assert all(torch.equal(value, frozen.state_dict()[name]) for name, value in before.items())


def test_training_does_not_depend_on_the_statistics():
    outputs = []
    for begins in (True, False):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
        if begins:
            EarlyStatistics(model)
        outputs.append(trained(model, BATCHES[:3])(BATCHES[3]))
    assert torch.equal(*outputs)


def test_the_statistics_of_the_batch_leave_the_model_as_it_was():
    model = trained(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)), BATCHES[:2])
    before, inside = copy.deepcopy(model.state_dict()), model(BATCHES[2])
    model.load_state_dict(before)
    with batch_statistics(model.eval()) as has_batch_norm:
        assert has_batch_norm and torch.equal(model(BATCHES[2]), inside)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items()) and len(before) == 7
    with batch_statistics(nn.Linear(1, 1)) as has_batch_norm:
        assert not has_batch_norm


def test_averaged_weights_follow_a_short_run():
    model = nn.Linear(1, 1, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    ends = {}
    for begins in (True, False):
        state = TrainState(model, optimizer, device=torch.device("cpu"), ema=ema_decay(0.999, begins_as_mean=begins))
        for value in range(100):
            nn.init.constant_(model.weight, value)
            state.average()
        ends[begins] = state.evaluated.weight.item()
    assert ends[True] > 85 and ends[False] < 10
    decay = ema_decay(0.999, begins_as_mean=True)
    assert decay(0) == 0.1 and decay(10**6) == 0.999 and ema_decay(0.9, begins_as_mean=False)(0) == 0.9


def test_a_short_run_is_evaluated_as_it_was_trained(train, capsys):
    """Five steps on few images: the weights are those of torch's rule bit for bit, the accuracies are not."""
    settings = ["trainer.duration=5 steps", "trainer.progress=lines", "augmentation=none"]
    settings += ["model.frontend.max_order=2", "model.frontend.L=4"]
    runs, said, remedies = {}, {}, {}
    for begin in ("mean", "initial"):
        runs[begin] = train(*settings, f"trainer.averages_begin={begin}")
        out = capsys.readouterr().out
        said[begin] = "running statistics do not fit yet: of 80 training images" in out
        remedies[begin] = out.partition("What helps: ")[2].partition("\n")[0]
    assert said == {"mean": False, "initial": True}
    assert remedies["initial"].startswith("a longer training, trainer.averages_begin=mean, ")
    assert runs["mean"].path != runs["initial"].path
    weights = [torch.load(run.checkpoints / "last.pt", weights_only=True)["model"] for run in runs.values()]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0] if "running" not in name)
    top1 = {begin: run.read_summary()["test"]["top1"] for begin, run in runs.items()}
    assert top1["mean"] > 60 and top1["initial"] < top1["mean"] - 10, top1
