"""A run on arrays of thirteen channels: its pictures, its resume, and its use where the arrays are not."""

from __future__ import annotations

import json
import signal

import numpy as np
import pytest
import torch
from PIL import Image

import hybrid
from hybrid.data.pixels import as_bytes
from hybrid.errors import Stopped
from hybrid.prediction.array_files import array_batches
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


def test_array_files_are_predicted_as_the_run_s_own_images(bands, train, tmp_path, capsys):
    """13 channels of uint16, of the run's own file, of one with the channels last and twice the size, and what fits nowhere."""
    folder = train(*bands, "data.value_range=[0,60000]", "trainer.duration=1 epoch", root=tmp_path / "runs")
    run_there = hybrid.load_run(folder.path)
    own = run_there.predict(tmp_path / "bands.npz")  # the array x, by the name that the run has
    images = np.load(tmp_path / "bands.npz")["x"]
    assert own.index[7] == f"{tmp_path / 'bands.npz'}:7" and len(own) == 60
    assert own.reset_index(drop=True).equals(run_there.predict(images).reset_index(drop=True))
    place = {split: run_there.data.splits[split].indices.tolist() for split in ("train", "test")}
    assert torch.equal(
        run_there.data.splits["test"].images, as_bytes(images, value_range=(0, 60000), where="x")[place["test"]]
    )
    large = images.repeat(2, 2).repeat(2, 3).transpose(0, 2, 3, 1)
    np.savez(tmp_path / "two.npz", a=large, b=large[:3])
    with pytest.raises(hybrid.UserError, match=r"two.npz has 2 arrays of images \(a, b\): name one"):
        run_there.predict(tmp_path / "two.npz")
    assert run_there.predict(f"{tmp_path / 'two.npz'}:b").shape[0] == 3
    np.save(tmp_path / "grey.npy", images[:, 0])
    with pytest.raises(hybrid.UserError, match=r"grey.npy: images of shape \(60, 24, 32\) do not fit: \(N, H, W, 13\)"):
        run_there.predict(tmp_path / "grey.npy")


def test_arrays_for_a_run_on_files_are_read_as_files_are(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (3, 40, 50, 3), dtype=np.uint8)
    np.save(tmp_path / "colours.npy", colours)
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    Image.fromarray(colours[1]).save(tmp_path / "photos" / "cat" / "1.png")
    Image.fromarray(colours[0]).save(tmp_path / "photos" / "cat" / "0.png")
    data = hybrid.load_data("folder", root=tmp_path / "photos", size=24, test=1, validation=0)
    (found,) = array_batches(str(tmp_path / "colours.npy"), data, batch_size=8)
    assert torch.equal(found[1][1], data.open_image(tmp_path / "photos" / "cat" / "1.png"))
