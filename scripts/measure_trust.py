"""Measure what it costs to distrust files and other ranks: processor time in ms, the median of several tries.

    python scripts/measure_trust.py
    python scripts/measure_trust.py before=COMMIT repeats=5      # whole processes of that commit and of the working tree

Without `before` it makes a small run in a temporary folder and times: reading its configuration, checking the classes that it
names, loading a checkpoint of 64 MB with and without its checksum, and the checksums of 64 MB of kept features. Of several
ranks it times the computation of each before its first step, by which all can be compared (settings, sources and versions; the
pixels of 60,000 images of 32×32), and at a checkpoint (the sums over all weights' bits, for models of two sizes). The messages
between ranks are not timed: they are some hundred bytes.

With `before` the two trees take turns at starting the processes of `WHOLE`; a first round, which fills the caches, is not
counted.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml
from omegaconf import OmegaConf

from hybrid.configuration.arguments import check_at_least, command, option
from hybrid.configuration.composition import compose
from hybrid.configuration.from_config import model_from
from hybrid.configuration.kept import as_kept, read_kept
from hybrid.configuration.trust import check_trusted
from hybrid.training import agreement, checkpoint
from hybrid.training.feature_cache.file import checksums

_SMALL = [
    "data=digits", "model=scat_linear", "data.subset.n=100", "trainer.batch_size=10", "analysis=none", "augmentation=none",
    "optimizer.lr=0.05", "trainer.tensorboard=false", "trainer.progress=none", "trainer.device=cpu",
]  # fmt: skip
_CHECKPOINT = """
import pathlib, torch
from hybrid.training import checkpoint
path = pathlib.Path("last.pt")
checkpoint.save(path, {"step": 1, "model": {"weight": torch.rand(1 << 24)}})
checkpoint.load(path)
"""
# what -> the arguments of Python. A run of the same folder is continued, so each has a root of its own.
WHOLE = {
    "import hybrid": ("-c", "import hybrid"),
    "import hybrid.training.run": ("-c", "import hybrid.training.run"),
    "a run of one step": ("-m", "hybrid", "train", *_SMALL, "trainer.duration=1 steps"),
    "a checkpoint of 64 MB, written and read": ("-c", _CHECKPOINT),
    "a run that keeps features": (
        "-m", "hybrid", "train", *_SMALL, "trainer.duration=10 steps", "trainer.feature_cache=disk",
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command line."""

    before: str | None = option(
        "a commit to compare the working tree with; null: what the checks cost today", default=None
    )
    repeats: int = option("processes of each tree that are counted", default=5)

    def __post_init__(self) -> None:
        check_at_least(self, 1, "repeats")


def milliseconds(function: Callable[[], object], tries: int = 9) -> float:
    """The median processor time of a call, in ms; the first call is not counted."""
    function()
    found = []
    for _ in range(tries):
        begun = time.process_time()
        function()
        found.append(1000 * (time.process_time() - begun))
    return statistics.median(found)


def costs_of_agreement() -> dict[str, Callable[[], object]]:
    """What a rank computes so that all ranks can be compared."""
    cfg = compose(["model=scat_resnet"])
    pixels = np.zeros((60_000, 3, 32, 32), dtype=np.uint8)
    facts = len(list(agreement._facts_of_start(cfg)))
    costs: dict[str, Callable[[], object]] = {
        f"a start: {facts} settings, files, versions": lambda: list(agreement._facts_of_start(cfg)),
        "a start: 60,000 images of 32 x 32": lambda: agreement._digest(pixels),
    }
    for name in ("scat_resnet", "scat_wrn"):
        model = model_from(compose([f"model={name}"]).model, image_shape=(1, 32, 32), num_classes=10)
        tensors = [tensor for _, tensor in agreement._shared_tensors(model)]
        millions = sum(tensor.numel() for tensor in tensors) / 1e6
        costs[f"a checkpoint: {millions:.1f} million weights"] = lambda own=tensors: [
            agreement._sum_of_bits(tensor) for tensor in own
        ]
    return costs


def compare(before: str, repeats: int) -> None:
    """Print the median processor time of each process in both trees, which take turns."""
    root = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "before"
        subprocess.run(["git", "-C", root, "worktree", "add", "--quiet", "--detach", tree, before], check=True)
        try:
            print(f"{'processor time, s':42} {'before':>8} {'after':>8}", flush=True)
            for name, arguments in WHOLE.items():
                seconds: dict[Path, list[float]] = {tree: [], root: []}
                for _ in range(repeats + 1):
                    for each, found in seconds.items():
                        found.append(_processor_seconds(arguments, each))
                medians = (statistics.median(found[1:]) for found in seconds.values())
                print(f"{name:42} " + " ".join(f"{median:8.2f}" for median in medians), flush=True)
        finally:
            subprocess.run(["git", "-C", root, "worktree", "remove", "--force", tree], check=True)


def _processor_seconds(arguments: tuple[str, ...], tree: Path) -> float:
    """User and system time of a process with the hybrid of this tree, in an empty folder."""
    earlier = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    with tempfile.TemporaryDirectory() as empty:
        subprocess.run([sys.executable, *arguments], cwd=empty, env=environment, check=True, capture_output=True)
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    return now.ru_utime + now.ru_stime - earlier.ru_utime - earlier.ru_stime


@command(Options)
def measure_trust(options: Options) -> None:
    """Print a line for each."""
    if options.before is not None:
        compare(options.before, options.repeats)
    else:
        measure()


def measure() -> None:
    """Print a line for each."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        file, features, weights = (Path(folder) / name for name in ("config.yaml", "features.npy", "last.pt"))
        file.write_text(as_kept(compose(["model=scat_resnet"])))
        np.save(features, np.random.default_rng(0).random((1 << 14, 1 << 10), dtype=np.float32))
        checkpoint.save(weights, {"step": 1, "model": {"weight": torch.rand(1 << 24)}})
        cfg = read_kept(file)
        costs = {
            "a configuration: plain yaml": lambda: OmegaConf.create(yaml.safe_load(file.read_text())),
            "a configuration: read_kept": lambda: read_kept(file),
            "check_trusted": lambda: check_trusted(cfg, file),
            "a checkpoint of 64 MB: torch.load": lambda: torch.load(weights, weights_only=True),
            "a checkpoint of 64 MB: with its checksum": lambda: checkpoint.load(weights),
            "checksums of 64 MB of features": lambda: checksums(features),
        }
        costs |= costs_of_agreement()
        for name, function in costs.items():
            print(f"{name:42} {milliseconds(function):8.1f} ms")


if __name__ == "__main__":
    measure_trust()
