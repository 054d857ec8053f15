"""A stand-in for `hybrid train` that trains in no time, so that what starts and watches runs can be tested quickly."""

from __future__ import annotations

import sys

import pytest
from omegaconf import DictConfig

from hybrid.configuration.composition import compose
from hybrid.runs.sweeps import job, plan
from hybrid.runs.sweeps.folder import SweepFolder

# seed 0-9: finishes; optimizer.lr=0.5: fails; 0.25: refused before there is a folder; 0.125: kills itself the first time;
# 0.0625: waits for a signal, then finishes when started again. It counts its starts in started.txt.
_TRAIN = """
import json, os, pathlib, shutil, signal, sys, time
import yaml

config = pathlib.Path(sys.argv[2])
cfg = yaml.safe_load(config.read_text())
lr = cfg["optimizer"]["lr"]
if lr == 0.25:
    sys.exit("error: refused")
folder = pathlib.Path(cfg["run"]["root"]) / config.stem
folder.mkdir(parents=True, exist_ok=True)
shutil.copy(config, folder / "config.yaml")
(folder / "error.txt").unlink(missing_ok=True)
with (folder / "started.txt").open("a") as file:
    file.write("x")
first = (folder / "started.txt").read_text() == "x"
print("training")
records = [{"step": k, "epoch": k / 2, "validation/top1": 100 * lr + k} for k in (1, 2)]
(folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\\n" for record in records))
if lr == 0.5:
    (folder / "error.txt").write_text("ValueError: broken")
    sys.exit(1)
if lr == 0.125 and first:
    os.kill(os.getpid(), signal.SIGKILL)
if lr == 0.0625 and first:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print("waiting", flush=True)
    time.sleep(120)
summary = {"seconds": 3.0, "test": {"top1": 50.0 + cfg["seed"]}, "device": "cpu"}
(folder / "summary.json").write_text(json.dumps(summary))
"""


@pytest.fixture(scope="session")
def _base() -> DictConfig:
    return compose(["model=scat_linear", "optimizer.lr=0.1"])


@pytest.fixture
def quick_compose(_base, monkeypatch):
    """Settings are put into one configuration, composed once; groups cannot be chosen."""

    def do(overrides, **options):
        if options or any("/" in text.split("=")[0] for text in overrides):
            return compose(overrides, **options)
        if any(text.startswith("model=") and text != "model=scat_linear" for text in overrides):
            return compose(overrides)
        cfg = _base.copy()
        cfg.merge_with_dotlist([text for text in overrides if not text.startswith("model=")])
        return cfg

    monkeypatch.setattr(plan, "compose", do)


@pytest.fixture
def quick_train(tmp_path, monkeypatch, quick_compose):
    """Runs take a fraction of a second, and their learning rate says how they end."""
    script = tmp_path / "quick_train.py"
    script.write_text(_TRAIN)
    monkeypatch.setattr(job, "_TRAIN", (sys.executable, str(script)))
    monkeypatch.setattr(job, "POSSIBLE", False)


@pytest.fixture
def make_sweep(tmp_path, quick_compose):
    """make_sweep("seed=0,1", …) writes a sweep's folder and returns it."""

    def do(*arguments: str, name: str | None = None) -> SweepFolder:
        runs = plan.plan_runs(["model=scat_linear", f"run.root={tmp_path / 'runs'}", *arguments])
        sweep = SweepFolder.of(runs, name=name)
        sweep.write(runs, command="hybrid train -m …")
        return sweep

    return do
