"""A finished run of seconds, and the scripts: in this process, or in one of their own where that matters."""

from __future__ import annotations

import importlib.util
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hybrid.configuration.composition import compose
from hybrid.tracking import RunFolder
from hybrid.training.run import run

ROOT = Path(__file__).resolve().parents[2]
TINY = [
    "model=scat_linear", "data.subset.n=200", "data.validation=60", "trainer.duration=5 steps",
    "trainer.batch_size=50", "trainer.evaluate_every=2 steps", "trainer.checkpoint_every=2 steps", "optimizer.lr=0.05",
    "analysis=none", "trainer.tensorboard=false", "trainer.progress=none", "trainer.device=cpu",
]  # fmt: skip


@pytest.fixture(scope="session")
def train_run(tmp_path_factory):
    """train_run("trainer.ema=0.9", …) makes such a run and returns its RunFolder."""

    def do(*overrides: str) -> RunFolder:
        cfg = compose([*TINY, f"run.root={tmp_path_factory.mktemp('runs')}", *overrides])
        run(cfg)
        return RunFolder.of(cfg)

    return do


@pytest.fixture(scope="session")
def finished(train_run) -> RunFolder:
    """A run that nobody may change."""
    return train_run("run.name=tiny")


@pytest.fixture(scope="session")
def small_cifar10(tmp_path_factory) -> Path:
    """A root with CIFAR-10's files of 20 images each: smooth waves, whose direction tells the class."""
    root, draw = tmp_path_factory.mktemp("cifar"), np.random.RandomState(0)
    (root / "cifar-10-batches-py").mkdir()
    y, x = np.mgrid[:32, :32]
    for name in [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]:
        labels = list(range(10)) * 2
        angles = np.array(labels)[:, None, None, None] * np.pi / 18
        waves = np.sin(x * np.cos(angles) + y * np.sin(angles) + draw.uniform(0, 6, (20, 1, 1, 1)))
        planes = 128 + 80 * waves + draw.randint(0, 9, (20, 3, 32, 32))
        content = {"data": planes.clip(0, 255).astype(np.uint8).reshape(20, -1), "labels": labels}
        (root / "cifar-10-batches-py" / name).write_bytes(pickle.dumps(content, protocol=2))
    names = {"label_names": [f"class{n}" for n in range(10)]}
    (root / "cifar-10-batches-py" / "batches.meta").write_bytes(pickle.dumps(names, protocol=2))
    return root


@pytest.fixture
def call(monkeypatch, capsys):
    """call("evaluate", "run=…") runs a script in this process: (exit code, stdout, stderr)."""

    def do(script: str, *arguments: str) -> tuple[int, str, str]:
        path = ROOT / "scripts" / f"{script}.py"
        spec = importlib.util.spec_from_file_location(f"scripts_{script}", path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        monkeypatch.setattr(sys, "path", [str(path.parent), *sys.path])  # as for a script
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, "argv", [str(path), *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            getattr(module, script)()
        captured = capsys.readouterr()
        return exit_.value.code, captured.out, captured.err

    return do


@pytest.fixture
def execute():
    """execute("predict", "run=…") runs a script as a user does: a CompletedProcess."""

    def do(script: str, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
        line = [sys.executable, str(ROOT / "scripts" / f"{script}.py"), *arguments]
        return subprocess.run(line, capture_output=True, text=True, env=environment, cwd=cwd, timeout=300)

    return do
