"""Measure what a run costs beside its training: a run of one step on digits, and a sweep of such runs.

    python scripts/measure_runs.py
    python scripts/measure_runs.py repeats=5 sweep=20 workers=2

Each case is a command of its own, with the files in the system's cache: a first round is not counted. Wall time, and processor
time of the command and all its children, are medians. `import torch, torchvision` stands beside them for the ratio. With
cold=true the sweep is measured with cluster.warm=false, too. Runs write into a temporary folder. No GPU is used.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hybrid.configuration.arguments import check_at_least, command, option

_IMPORT = "import torch, torchvision"
_TRAIN = ("-m", "hybrid", "train")
_RUN = ("experiment=digits", "trainer.duration='1 step'")


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command line."""

    repeats: int = option("rounds that are counted", default=3)
    sweep: int = option("runs of a sweep; 0: no sweep", default=20)
    workers: int = option("runs of the sweep at a time", default=2)
    cold: bool = option("also measure a sweep whose runs load torch themselves", default=False)

    def __post_init__(self) -> None:
        check_at_least(self, 1, "repeats", "workers")
        check_at_least(self, 0, "sweep")


@command(Options)
def measure_runs(options: Options) -> None:
    """Run every case in turn, several times, and print the medians in seconds."""
    measured: dict[str, list[tuple[float, float]]] = {}
    for repeat in range(options.repeats + 1):
        for name, arguments in cases(options).items():
            seconds = seconds_of(arguments)
            if repeat:
                measured.setdefault(name, []).append(seconds)
    width = max(map(len, measured))
    print(f"{'seconds':<{width}}    wall  processor  wall / {_IMPORT}")
    base = statistics.median(wall for wall, _ in measured[_IMPORT])
    for name, values in measured.items():
        wall, processor = (statistics.median(column) for column in zip(*values, strict=True))
        print(f"{name:<{width}}  {wall:6.2f}  {processor:9.2f}  {wall / base:6.2f}")


def cases(options: Options) -> dict[str, list[str]]:
    """The commands' arguments by their names, without the folder that they write to."""
    found = {_IMPORT: ["-c", _IMPORT], "a run of one step": [*_TRAIN, *_RUN]}
    if options.sweep:
        sweep = [*_TRAIN, "-m", *_RUN, f"seed=range({options.sweep})", f"cluster.workers={options.workers}"]
        found[f"a sweep of {options.sweep}, {options.workers} at a time"] = sweep
        if options.cold:
            found["the sweep, cluster.warm=false"] = [*sweep, "cluster.warm=false"]
    return found


def seconds_of(arguments: Sequence[str]) -> tuple[float, float]:
    """Wall and processor time of Python with these arguments; a command of hybrid writes into a folder that is removed.

    Raises RuntimeError if the command fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        own = [f"run.root={folder}"] if "hybrid" in arguments else []
        before, start = _processor(), time.perf_counter()
        with Path(folder, "said.txt").open("w+") as said:
            environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
            done = subprocess.run([sys.executable, *arguments, *own], stdout=said, stderr=said, env=environment)
            wall = time.perf_counter() - start
            if done.returncode:
                said.seek(0)
                raise RuntimeError(f"{' '.join(arguments)} ended with {done.returncode}: {said.read()[-2000:]}")
        return wall, _processor() - before


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    measure_runs()
