from __future__ import annotations

import os

import pytest
import torch

from hybrid import distributed
from hybrid.runs import RunFolder
from hybrid.training import agreement, checkpoint
from hybrid.training.run import run


def differing(tiny, ranks, *overrides):
    """Two ranks, of which the second has these overrides, too."""
    cfgs = [tiny(), tiny(*overrides)]
    group = ranks(2, lambda: run(cfgs[int(os.environ["RANK"])]))
    return group, group.wait(), RunFolder.of(cfgs[0])


@pytest.mark.parametrize(
    ("override", "here", "there"),
    [
        ("optimizer.lr=0.01", "optimizer.lr=0.01", "0.05"),
        ("trainer.duration=9 steps", "trainer.duration=9 steps", "6 steps"),
    ],
)
def test_ranks_with_different_settings_are_refused_in_one_line_before_anything_is_written(
    tiny, ranks, override, here, there
):
    group, codes, folder = differing(tiny, ranks, override)
    assert codes == [2, 2]
    host = os.uname().nodename
    assert group.said(0).strip() == (
        f"error: rank 1 on {host} has {here}, and rank 0 on {host} has {there}: all ranks of a run need the same "
        "configuration, code and data."
    )
    assert group.said(1) == "" and not folder.path.exists()


def test_places_may_differ_and_each_rank_keeps_its_own(tiny, tmp_path):
    first, mine = tiny("+data.root=/here", root=tmp_path / "a"), tiny("+data.root=/there", root=tmp_path / "b")
    mine.optimizer.lr = 0.01
    kept = agreement.with_own_places(first, mine)
    assert (kept.data.root, kept.run.root, kept.optimizer.lr) == ("/there", str(tmp_path / "b"), 0.05)
    facts = [dict(agreement._facts_of_start(cfg)) for cfg in (first, kept)]
    assert facts[0] == facts[1]


def test_code_versions_and_data_are_compared(tiny):
    from hybrid.configuration.from_config import data_from

    facts = dict(agreement._facts_of_start(tiny()))
    assert {"torch", "Python", "device", "optimizer.lr", "hybrid/training/run.py", "configs/train.yaml"} <= set(facts)
    seen = []
    for seed in (0, 1):
        cfg = tiny(f"seed={seed}")
        data = data_from(cfg.data, cfg.augmentation, seed=seed)
        seen.append(dict(agreement._facts_of_data(data)))
    different = [name for name in seen[0] if seen[0][name] != seen[1][name]]
    assert different[0] == "data: which images are train" and "data: classes" not in different
    data.splits["test"].images[0, 0, 0, 0] += 1
    assert (
        dict(agreement._facts_of_data(data))["data: content of the test images"]
        != seen[1]["data: content of the test images"]
    )


def test_weights_that_have_drifted_apart_end_the_run_and_nothing_is_stored(tiny, ranks, tmp_path):
    """Rank 1's weights move by one bit after step 3: the checkpoint of step 4 is not written."""
    moved = []

    def move():
        with torch.no_grad():
            moved[0].view(torch.int32).flatten()[0] += 1

    class Move:
        observer = True

        def on_step(self, session):
            if session.state.step == 3 and distributed.rank() == 1:
                moved.append(next(session.state.model.parameters()))
                move()

    cfg = tiny("trainer.ema=0.9", "trainer.evaluate_every=6 steps")
    group = ranks(2, lambda: run(cfg, callbacks=[Move()]))
    assert group.wait() == [2, 2]
    assert group.said(0).startswith("error: after step 4 the weights of rank 1 are not those of rank 0 (first in ")
    assert group.said(1) == "" and checkpoint.load(RunFolder.of(cfg).checkpoints / "last.pt")["step"] == 2


def test_the_sum_of_bits_knows_every_type():
    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.complex64):
        one = torch.ones(2, 3, 4, 4, dtype=dtype).to(memory_format=torch.channels_last)
        other = one.clone()
        other[1, 1, 1, 1] *= 1.5
        assert agreement._sum_of_bits(one) == agreement._sum_of_bits(one.contiguous()) != agreement._sum_of_bits(other)
