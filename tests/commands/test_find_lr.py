from __future__ import annotations

import numpy as np
import pytest
import torch

from hybrid.errors import UserError
from hybrid.runs import RunFolder
from hybrid.training import lr_finder
from hybrid.training.lr_finder import RateRange


@pytest.fixture
def shorter(monkeypatch):
    monkeypatch.setattr(lr_finder, "STEPS", 40)


def test_it_suggests_a_rate_writes_table_and_figure_and_leaves_a_run_alone(
    call, command_line, train, tmp_path, shorter
):
    folder = train(root=tmp_path)
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    code, out, err = call("find_lr", *command_line("optimizer.rates={normalization: 0.5}", root=tmp_path))
    assert code == 0, err
    assert "suggestion:  optimizer.lr=" in out and RunFolder(tmp_path / "find-lr").path.is_dir()
    (table,), (picture,) = ((tmp_path / "find-lr").glob(f"*.{end}") for end in ("csv", "png"))
    rates, losses, smoothed = np.loadtxt(table, delimiter=",", skiprows=1).T
    assert np.allclose(np.diff(np.log(rates)), np.diff(np.log(rates))[0], rtol=1e-3) and rates[0] == pytest.approx(1e-6)
    suggested = float(out.split("optimizer.lr=")[1].split()[0])
    assert 1e-4 < suggested < 1 and smoothed.min() < smoothed[0] and picture.read_bytes()[:4] == b"\x89PNG"
    assert {path: path.read_bytes() for path in before} == before


def test_the_suggestion_is_the_steepest_place_before_the_lowest_loss():
    rates = np.geomspace(1e-4, 1, 41)
    smoothed = 2 - 1 / (1 + np.exp(-4 * np.log(rates / 1e-2))) + np.maximum(0, np.log10(rates) + 0.5) ** 2 * 4
    found = RateRange(rates, smoothed, smoothed)
    assert found.steepest == pytest.approx(1e-2, rel=0.3) and 0.05 < found.lowest < 1


def test_a_loss_that_diverges_at_once_is_one_line(tiny, shorter, monkeypatch):
    def spoilt(forward, optimizer, scaler, batch, meter, **more):
        meter.add(torch.tensor(float("nan")), torch.tensor(0), 1, 1)

    monkeypatch.setattr(lr_finder, "train_step", spoilt)
    with pytest.raises(UserError, match="the loss diverges after 0 steps, at a learning rate of 1e-06"):
        lr_finder.find_lr(tiny())
