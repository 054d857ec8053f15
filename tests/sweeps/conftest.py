"""A stand-in for train.py that trains in no time, so that what starts and watches runs can be tested quickly."""

from __future__ import annotations

import pytest

from hybrid.sweeps import job, plan
from hybrid.sweeps.folder import SweepFolder

# seed 0-9: finishes; optimizer.lr=0.5: fails; 0.25: refused before there is a folder; 0.125: kills itself the first time;
# 0.0625: waits for a signal, then finishes when started again. It counts its starts in started.txt.
_TRAIN = """
import fcntl, json, os, pathlib, signal, sys, time
from omegaconf import OmegaConf

cfg = OmegaConf.load(sys.argv[2])
lr = cfg.optimizer.lr
if lr == 0.25:
    sys.exit("error: refused") or 2
sys.path.insert(0, ROOT)
from hybrid.tracking.run_folder import RunFolder

folder = RunFolder.of(cfg)
folder.open(cfg, class_names=["a"])
with (folder.path / "started.txt").open("a") as file:
    file.write("x")
first = (folder.path / "started.txt").read_text() == "x"
print("training", os.environ.get("CUDA_VISIBLE_DEVICES"))
folder.metrics.write_text("".join(json.dumps({"step": k, "epoch": k / 2, "validation/top1": 100 * lr + k}) + "\\n" for k in (1, 2)))
if lr == 0.5:
    folder.note_failure(ValueError("broken"))
    sys.exit(1)
if lr == 0.125 and first:
    os.kill(os.getpid(), signal.SIGKILL)
if lr == 0.0625 and first:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print("waiting", flush=True)
    time.sleep(60)
summary = {"seconds": 3.0, "test": {"top1": 50.0 + cfg.seed}, "device": "cpu"}
folder.summary.write_text(json.dumps(summary))
"""


@pytest.fixture
def quick_train(tmp_path, monkeypatch, root):
    """Runs take a fraction of a second, and their learning rate says how they end."""
    (tmp_path / "code" / "configs").mkdir(parents=True)
    (tmp_path / "code" / "train.py").write_text(_TRAIN.replace("ROOT", repr(str(root))))
    monkeypatch.setattr(job, "CONFIGS", tmp_path / "code" / "configs")


@pytest.fixture
def make_sweep(tmp_path):
    """make_sweep("seed=0,1", …) writes a sweep's folder and returns it."""

    def do(*arguments: str, name: str | None = None) -> SweepFolder:
        runs = plan.plan_runs(["model=scat_linear", f"run.root={tmp_path / 'runs'}", *arguments])
        sweep = SweepFolder.of(runs, name=name)
        sweep.write(runs, command="train.py -m …")
        return sweep

    return do
