from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hybrid.configuration import build_record
from hybrid.configuration.composition import compose
from hybrid.data import Batch
from hybrid.errors import UserError
from hybrid.training.settings import TrainerSettings
from hybrid.training.state import TrainState
from hybrid.training.step import Meter, train_step


@pytest.fixture
def settings():
    return build_record(TrainerSettings, compose([]).trainer, path="trainer")


def batch_of(count, *, soft=False):
    labels = torch.randint(0, 4, (count,))
    targets = F.one_hot(labels, 4).float() * 0.7 + 0.3 / 4 if soft else labels
    return Batch(torch.randn(count, 6), labels, targets, torch.arange(count))


def step(model, batch, settings):
    """One step with lr 1 and no momentum: the change of a weight is minus its gradient."""
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    meter = Meter(torch.device("cpu"))
    train_step(model, optimizer, torch.amp.GradScaler("cpu", enabled=False), batch, meter, settings=settings, step=1)
    return meter


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("accumulation", [1, 2, 3, 10])
def test_the_update_is_the_gradient_of_the_mean_loss(settings, accumulation, soft):
    model, batch = nn.Linear(6, 4), batch_of(10, soft=soft)
    before = model.weight.detach().clone()
    hits = (model(batch.images).argmax(1) == batch.labels).sum().item()
    F.cross_entropy(model(batch.images), batch.targets, label_smoothing=0.1).backward()
    expected = before - model.weight.grad
    meter = step(model, batch, dataclasses.replace(settings, accumulation=accumulation, label_smoothing=0.1))
    torch.testing.assert_close(model.weight, expected)
    assert meter.read()["train/top1"] == pytest.approx(100 * hits / 10)


def test_the_gradient_is_clipped_to_the_norm(settings):
    model = nn.Linear(6, 4, bias=False)
    before = model.weight.detach().clone()
    step(model, batch_of(10), dataclasses.replace(settings, clip_norm=0.01))
    assert (model.weight - before).norm().item() == pytest.approx(0.01, rel=1e-3)


def test_the_meter_reads_means_once_and_remembers_the_first_bad_step():
    meter = Meter(torch.device("cpu"))
    meter.add(torch.tensor(6.0), torch.tensor(1), 3, 1)
    meter.add(torch.tensor(2.0), torch.tensor(1), 1, 2)
    assert meter.read() == {"train/loss": 2.0, "train/top1": 50.0}
    assert int(meter.bad_step) == -1
    for number, loss in ((3, 1.0), (4, float("nan")), (5, 1.0), (6, float("inf"))):
        meter.add(torch.tensor(loss), torch.tensor(0), 1, number)
    assert int(meter.bad_step) == 4


def test_the_meter_adds_more_steps_than_are_kept_one_after_the_other(monkeypatch):
    monkeypatch.setattr("hybrid.training.step._MOST_ADDED", 3)
    meter, losses, expected = Meter(torch.device("cpu")), torch.rand(10) / 3, torch.zeros((), dtype=torch.float64)
    for number, loss in enumerate(losses):
        meter.add(loss, None, 2, number)
        expected += loss
        assert len(meter._added) < 3
    assert meter.sums.tolist() == [float(expected), 0, 20]  # the same roundings


@pytest.mark.parametrize("harm", ["loss", "weight"])
def test_a_state_that_is_not_finite_is_not_saved(harm):
    model = nn.Linear(2, 2)
    state = TrainState(model, torch.optim.SGD(model.parameters(), lr=0.1), device=torch.device("cpu"))
    state.check_finite()
    if harm == "loss":
        state.meter.add(torch.tensor(float("inf")), torch.tensor(0), 1, 7)
    else:
        state.step = 7
        with torch.no_grad():
            model.weight[0, 0] = float("nan")
    with pytest.raises(UserError, match="not finite at step 7"):
        state.check_finite()


def test_a_state_goes_through_a_checkpoint_and_another_models_is_refused(tmp_path):
    def fresh(width=2):
        model = nn.Sequential(nn.Linear(width, 2), nn.BatchNorm1d(2))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        return TrainState(model, optimizer, device=torch.device("cpu"), ema=lambda updates: 0.9)

    state = fresh()
    for _ in range(3):
        state.model(torch.randn(4, 2)).square().sum().backward()
        state.optimizer.step()
        state.average()
    state.step, state.kept = 3, [{"step": 2, "top1": 50.0}]
    torch.save(state.state_dict(), tmp_path / "state.pt")
    loaded = torch.load(tmp_path / "state.pt", weights_only=True)
    drawn = torch.randn(5)
    other = fresh()
    other.load_state_dict(loaded, source="state.pt")
    assert torch.equal(torch.randn(5), drawn)  # the generators went back too
    assert other.step == 3 and other.best == state.best and int(other.ema.n_averaged) == 3
    for one, two in zip(state.ema.module.state_dict().values(), other.ema.module.state_dict().values(), strict=True):
        assert torch.equal(one, two)
    with pytest.raises(UserError, match="state.pt does not fit this model"):
        fresh(width=3).load_state_dict(loaded, source="state.pt")
