"""A run that takes seconds: a hundred digits and a linear classifier on their scattering coefficients."""

from __future__ import annotations

import pytest

from hybrid.configuration.entry import compose
from hybrid.tracking import RunFolder
from hybrid.training.run import run

TINY = [
    "model=scat_linear", "model.frontend.J=2", "model.frontend.max_order=1", "data.subset.n=100", "data.validation=50",
    "trainer.duration=6 steps", "trainer.batch_size=40", "trainer.evaluate_every=3 steps", "trainer.checkpoint_every=2 steps",
    "trainer.log_every=2 steps", "analysis=none", "trainer.tensorboard=false", "trainer.progress=none", "optimizer.lr=0.05",
    "trainer.max_evaluation_batches=2", "trainer.device=cpu",
]  # fmt: skip


@pytest.fixture
def tiny(tmp_path):
    """tiny("trainer.ema=0.9", …) composes the configuration of such a run in a folder of this test."""

    def make(*overrides: str, root=None):
        return compose([*TINY, f"run.root={root or tmp_path / 'runs'}", *overrides])

    return make


@pytest.fixture
def train(tiny):
    """train(…overrides) runs it and returns its RunFolder."""

    def do(*overrides: str, root=None) -> RunFolder:
        cfg = tiny(*overrides, root=root)
        run(cfg)
        return RunFolder.of(cfg)

    return do
