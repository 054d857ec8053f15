from __future__ import annotations

import pytest
import torch
from fixtures.training import power_cut
from torch import nn

from hybrid.callbacks.freezing import Frozen
from hybrid.errors import UserError
from hybrid.runs import RunFolder
from hybrid.training import checkpoint
from hybrid.training.run import run

NETWORK = [
    "model=scat_mlp", "model.head.hidden=[8]", "model.head.batch_norm=true", "optimizer.lr=0.01", "trainer.batch_size=48",
    "trainer.freeze=[normalization,head.layers.0]",
]  # fmt: skip
FROZEN = ("normalization.", "head.layers.0.")
WARNING = pytest.mark.filterwarnings("ignore:trainer.freeze. the batch norm")


def weights(folder):
    return checkpoint.load(folder.checkpoints / "last.pt")["model"]


@WARNING
def test_frozen_parts_and_their_statistics_stay_and_the_others_learn(train, tmp_path):
    folder = train(*NETWORK)
    start = train(*NETWORK, "trainer.duration=1 step", "optimizer.lr=0", "schedule=constant", root=tmp_path / "start")
    one, other = weights(start), weights(folder)
    frozen = [name for name in one if name.startswith(FROZEN)]
    assert any("running_mean" in name for name in frozen) and any("weight" in name for name in frozen)
    assert all(torch.equal(one[name], other[name]) for name in frozen)
    assert all(not torch.equal(one[name], other[name]) for name in one if name not in frozen)
    trained = sum(
        value.numel() for name, value in one.items() if name.endswith(("weight", "bias")) and name not in frozen
    )
    assert folder.read_summary()["parameters"] == trained


@WARNING
def test_parts_that_train_from_a_step_on_resume_bit_identical_and_are_the_run_of_two_ranks(
    train, tiny, ranks, tmp_path
):
    keys = [*NETWORK, "callbacks=[{unfreeze: {parts: [head.layers.0], at: 50%}}]"]
    whole, always = train(*keys, root=tmp_path / "whole"), train(*NETWORK, root=tmp_path / "always")
    name = "head.layers.0.weight"
    assert not torch.equal(weights(whole)[name], weights(always)[name])
    for crash in (3, 5):
        with pytest.raises(RuntimeError, match="power"):
            train(*keys, root=tmp_path / str(crash), callbacks=[power_cut(crash)])
        parts = train(*keys, root=tmp_path / str(crash))
        assert all(torch.equal(value, weights(parts)[key]) for key, value in weights(whole).items())
    cfg = tiny(*keys, "trainer.sync_batch_norm=true", root=tmp_path / "two")
    ranks(2, lambda: run(cfg)).results()
    torch.testing.assert_close(weights(RunFolder.of(cfg))[name], weights(whole)[name], rtol=1e-3, atol=1e-5)


def test_a_batch_norm_that_was_never_trained_and_is_frozen_is_a_warning():
    with pytest.warns(UserWarning, match="the batch norm of 1 keeps mean 0 and variance 1"):
        Frozen(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), ["1"], warn=True)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            ["trainer.freeze=[frontend]"],
            "unknown part with trainable parameters in trainer.freeze: frontend. Valid: head,",
        ),
        (["trainer.freeze=[haed]"], "Did you mean head?"),
        (["trainer.freeze=['*']"], "is the whole model: nothing is left to train"),
        (
            ["callbacks=[{unfreeze: {parts: [head], at: 50%}}]"],
            "unknown part of trainer.freeze in callbacks.unfreeze.parts",
        ),
        (
            ["trainer.freeze=[normalization]", "callbacks=[{unfreeze: {parts: [normalization], at: 100%}}]"],
            "callbacks.unfreeze.at=100% has no effect: it is step 6 of 6",
        ),
    ],
    ids=["nothing", "typo", "everything", "part", "late"],
)
def test_a_mistake_is_one_line_and_nothing_is_written(tiny, overrides, words):
    cfg = tiny(*overrides)
    with pytest.raises(UserError) as caught:
        run(cfg)
    assert words in str(caught.value)
    assert not RunFolder.of(cfg).path.exists()
