"""A run on arrays of thirteen channels: its pictures, its resume, and its use where the arrays are not."""

from __future__ import annotations

import json
import signal

import numpy as np
import pytest
import torch

import hybrid
from hybrid.errors import Stopped
from hybrid.training.run import run


@pytest.fixture
def bands(tmp_path):
    """The overrides for 60 images of 13 channels and 24 x 32 pixels, uint16, in three classes, without test images."""
    random, labels = np.random.RandomState(0), np.arange(60) % 3
    images = random.randint(0, 20000, (60, 13, 24, 32)) + 20000 * labels[:, None, None, None]
    np.savez(tmp_path / "bands.npz", x=images.astype(np.uint16), y=labels)
    return [
        "data=npz", f"data.root={tmp_path / 'bands.npz'}", "data.images=x", "data.labels=y", "data.name=bands", "data.folds=5",
        "data.fold=1", "data.subset.n=null", "data.validation=9", "trainer.batch_size=13", "augmentation=crop_flip",
    ]  # fmt: skip


class StopAt:
    """Stops a run after a step, as a signal would."""

    observer = True

    def on_step(self, session) -> None:
        if session.state.step == 3:
            raise Stopped(signal.SIGTERM, 3)


def test_measured_statistics_are_kept_and_a_resumed_run_uses_them(bands, train, tiny, tmp_path):
    whole = train(*bands, "trainer.tensorboard=true", root=tmp_path / "whole")
    assert whole.path.name.startswith("bands-scat_linear-seed0-")
    facts = json.loads(whole.data.read_text())
    assert facts["image_shape"] == [13, 24, 32] and len(facts["normalize"]["mean"]) == 13
    cfg = tiny(*bands, "trainer.tensorboard=true", root=tmp_path / "parts")
    with pytest.raises(Stopped):
        run(cfg, callbacks=[StopAt()])
    run(cfg)
    resumed = hybrid.load_run(tmp_path / "parts" / whole.path.name)
    (tmp_path / "bands.npz").unlink()  # prediction needs no data
    first = hybrid.load_run(whole.path)
    assert all(torch.equal(a, b) for a, b in zip(first.model.parameters(), resumed.model.parameters(), strict=True))
    assert first.data.preprocessing.mean == tuple(facts["normalize"]["mean"]) == resumed.data.preprocessing.mean
    images = np.random.RandomState(1).rand(2, 13, 24, 32).astype(np.float32)
    assert first.predict(images).equals(resumed.predict(images))
