"""Runs that are killed, for real: SIGKILL at random moments, Ctrl-C and SIGTERM. Nothing may be lost."""

from __future__ import annotations

import contextlib
import functools
import os
import random
import signal
import subprocess
import sys
import time
import traceback

import pytest
import torch
from PIL import Image

from hybrid.analysis.measurements import Measurements
from hybrid.runs import RunFolder
from hybrid.runs.jsonl import read_metrics
from hybrid.training import checkpoint
from hybrid.training.analysis import live as live_analysis
from hybrid.training.analysis.live import LiveAnalysis
from hybrid.training.run import run

LONGER = [
    "trainer.duration=90 steps",
    "trainer.log_every=3 steps",
    "trainer.evaluate_every=5 steps",
    "augmentation=mixup",
]


def start(cfg) -> int:
    """Fork a process that does the run: as real as a new one, without its five seconds of imports."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            run(cfg)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return child


def fingerprint(cfg):
    folder = RunFolder.of(cfg)
    content = checkpoint.load(folder.checkpoints / "last.pt")
    records = [{k: v for k, v in r.items() if not k.startswith("speed/")} for r in read_metrics(folder.metrics)]
    return content["model"], content["optimizer"], records, folder.read_summary()["test"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("seed", range(3))
def test_killed_at_random_moments_it_ends_as_if_it_had_not_been(tiny, tmp_path, seed):
    moments = random.Random(seed)
    run(
        tiny(root=tmp_path / "warm-up")
    )  # the first run of a process is slower, and the moments are shares of a run's time
    whole = tiny(*LONGER, f"seed={seed}", root=tmp_path / "whole")
    began = time.monotonic()
    run(whole)
    duration = time.monotonic() - began
    cfg = tiny(*LONGER, f"seed={seed}", root=tmp_path / "killed")
    kills = finished = 0
    while not finished:
        child = start(cfg)
        if kills < 12:
            time.sleep(moments.uniform(0.02, 0.35) * duration)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status)
        kills += killed
        finished = not killed
        assert killed or os.WEXITSTATUS(status) == 0
    assert kills >= 2
    expected, got = fingerprint(whole), fingerprint(cfg)
    assert all(torch.equal(value, got[0][key]) for key, value in expected[0].items())
    for one, other in zip(expected[1]["state"].values(), got[1]["state"].values(), strict=True):
        assert torch.equal(one["momentum_buffer"], other["momentum_buffer"])
    assert expected[2:] == got[2:]
    print(f"{kills} kills")


ANALYSIS = [
    "analysis=light", "analysis.every=4 steps", "analysis.images=60", "analysis.pair_images=20", "analysis.pairs=40",
    "analysis.neighbours=5", "analysis.figures=never",
]  # fmt: skip
CALLS = {
    "a checkpoint is written": [(checkpoint._File, "write"), (os, "fsync"), (os, "replace")],
    "layers are analysed": [(live_analysis, "analyse_data"), (Measurements, "measure_vectors"), (LiveAnalysis, "_log"),
                            (LiveAnalysis, "_write")],
}  # fmt: skip


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("moment", CALLS)
def test_killed_while(tiny, tmp_path, monkeypatch, moment):
    """The process kills itself at the beginning, or at the end, of one call of these; each time of a later one."""
    extra = ["trainer.duration=40 steps", *ANALYSIS]
    whole, cfg = tiny(*extra, root=tmp_path / "whole"), tiny(*extra, root=tmp_path / "killed")
    run(whole)
    for owner, name in CALLS[moment]:
        monkeypatch.setattr(owner, name, deadly(getattr(owner, name)))
    kills, random_numbers = 0, random.Random(0)
    while True:
        Strike.left = random_numbers.randint(1, 10) if kills < 20 else None
        Strike.late = random_numbers.random() < 0.5
        _, status = os.waitpid(start(cfg), 0)
        if not os.WIFSIGNALED(status):
            break
        kills += 1
    assert os.WEXITSTATUS(status) == 0 and kills == 20
    expected, got = fingerprint(whole), fingerprint(cfg)
    assert all(torch.equal(value, got[0][key]) for key, value in expected[0].items())
    assert expected[2:] == got[2:]
    tables = [sorted((RunFolder.of(each).analysis).glob("*.csv")) for each in (whole, cfg)]
    assert [table.read_text() for table in tables[0]] == [table.read_text() for table in tables[1]]


class Strike:
    """left: calls until the process dies; None: never. late: after that call rather than before it."""

    left: int | None = None
    late = False


def deadly(function):
    def call(*args, **kwargs):
        if Strike.left is not None:
            Strike.left -= 1
        last = Strike.left == 0
        if last and not Strike.late:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*args, **kwargs)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return call


@pytest.fixture
def photos(tmp_path):
    """A folder of tiny images: its loader has worker processes."""
    for number in range(80):
        folder = tmp_path / "photos" / ("train" if number < 60 else "val") / f"class{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((20, 20), 40).convert("RGB").save(folder / f"{number}.png")
    return tmp_path / "photos"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_its_processes_ends_a_run_with_workers(root, photos, tmp_path, number):
    overrides = ["data=folder", f"data.root={photos}", "data.size=16", "data.resize=16", "data.num_workers=2"]
    overrides += ["model=scat_linear", "trainer.batch_size=8", "trainer.duration=100000 steps"]
    overrides += ["trainer.log_every=1 step", "trainer.tensorboard=false", f"run.root={tmp_path / 'runs'}"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, str(root / "train.py"), *overrides], start_new_session=True, **pipes)
    try:
        for line in process.stdout:
            if "step 3/" in line:
                break
        os.killpg(process.pid, number)
        _, errors = process.communicate(timeout=60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 128 + number, errors
    assert errors.count("\n") == 1 and f"stopped by {number.name} at step" in errors
    (folder,) = (tmp_path / "runs").iterdir()
    assert checkpoint.load(folder / "checkpoints" / "last.pt")["step"] >= 3


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 138), (signal.SIGHUP, 129)]
)
def test_asked_to_stop_it_saves_says_so_and_continues(tiny, root, tmp_path, number, code):
    overrides = [
        "model=scat_linear",
        "trainer.duration=100000 steps",
        "trainer.tensorboard=false",
        f"run.root={tmp_path}",
    ]
    command = [sys.executable, str(root / "train.py"), "trainer.log_every=1 step", "trainer.device=cpu", *overrides]
    heard = functools.partial(signal.signal, signal.SIGHUP, signal.SIG_DFL)  # also where these tests run under nohup
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, preexec_fn=heard, **pipes)
    try:
        for line in process.stdout:
            if "step 3/" in line:
                break
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code
    assert errors.count("\n") == 1 and f"stopped by {number.name} at step" in errors
    (folder,) = tmp_path.iterdir()
    assert checkpoint.load(folder / "checkpoints" / "last.pt")["step"] >= 3
    assert not (folder / "summary.json").exists()
