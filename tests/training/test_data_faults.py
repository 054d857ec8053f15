"""Data that vanish, workers that die and memory that ends while a run is under way: one line, and the same command goes on."""

from __future__ import annotations

import multiprocessing
import os
import signal

import pytest
import torch
from fixtures.training import at_step
from PIL import Image

from hybrid.configuration.entry import guarded
from hybrid.runs import RunFolder
from hybrid.training import checkpoint
from hybrid.training.run import run


@pytest.fixture
def photos(tmp_path):
    for number in range(60):
        folder = tmp_path / "photos" / ("train" if number < 48 else "val") / f"class{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (number * 3, 99, 7)).save(folder / f"{number}.png")
    return tmp_path / "photos"


def on_photos(tiny, photos, *more, root=None):
    keys = [
        "data=folder",
        f"data.root={photos}",
        "data.size=16",
        "data.resize=16",
        "data.num_workers=0",
        "data.subset.n=null",
        "data.validation=0",
        *more,
    ]
    return tiny(
        *keys, "trainer.batch_size=8", "trainer.duration=12 steps", "trainer.checkpoint_every=2 steps", root=root
    )


def test_a_file_that_is_removed_between_epochs_is_named_and_back_again_the_run_ends_as_if_nothing_had_been(
    tiny, photos, capsys, tmp_path
):
    whole, cfg = on_photos(tiny, photos, root=tmp_path / "whole"), on_photos(tiny, photos, root=tmp_path / "runs")
    run(whole)
    victim, hidden = photos / "train" / "class0" / "2.png", tmp_path / "hidden.png"
    assert guarded(lambda: run(cfg, callbacks=[at_step(5, lambda: victim.rename(hidden))])) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and str(victim) in said, said
    folder = RunFolder.of(cfg)
    assert checkpoint.load(folder.checkpoints / "last.pt")["step"] >= 4
    hidden.rename(victim)
    run(cfg)
    one, other = (checkpoint.load(RunFolder.of(each).checkpoints / "last.pt") for each in (whole, cfg))
    assert all(torch.equal(value, other["model"][name]) for name, value in one["model"].items())


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # a killed worker leaves shared memory open
def test_a_worker_that_is_killed_is_a_line_that_says_what_to_do(tiny, photos, capsys):
    cfg = on_photos(tiny, photos, "data.num_workers=2", "trainer.batch_size=2", "trainer.duration=60 steps")

    def kill_workers():  # in the middle of an epoch, when only its own workers live
        for child in multiprocessing.active_children():
            os.kill(child.pid, signal.SIGKILL)

    assert guarded(lambda: run(cfg, callbacks=[at_step(10, kill_workers)])) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "data.num_workers" in said, said
    run(cfg)
    assert RunFolder.of(cfg).finished


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"
        ),
    ],
)
def test_too_little_memory_says_which_settings_keep_the_batch(tiny, monkeypatch, capsys, error):
    def fail(*_, **__):
        raise error

    cfg = tiny()
    monkeypatch.setattr("hybrid.training.trainer.train_step", fail)
    assert guarded(lambda: run(cfg)) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "40 images in 1 micro-batches" in said and "trainer.accumulation=2 keeps" in said
