"""Measure how long hybrid takes to start: processor time of whole processes, the median of several.

    python scripts/measure_start.py
    python scripts/measure_start.py repeats=15

Each case is a process of its own, with the files in the system's cache: a first round is not counted. Times are processor
time (user and system), which a busy machine changes less than the time on the clock. No GPU is used.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
from dataclasses import dataclass

from hybrid.configuration.arguments import check_at_least, command, option

_HYBRID = ("-m", "hybrid")
CASES = {
    "python -c pass": ("-c", "pass"),
    "import hybrid": ("-c", "import hybrid"),
    "import torch": ("-c", "import torch"),
    "from hybrid import Scattering2D": ("-c", "from hybrid import Scattering2D"),
    "hybrid --help": (*_HYBRID, "--help"),
    "hybrid train --help": (*_HYBRID, "train", "--help"),
    "hybrid evaluate --help": (*_HYBRID, "evaluate", "--help"),
    "hybrid trian": (*_HYBRID, "trian"),
    "hybrid train model=scat_resnt": (*_HYBRID, "train", "model=scat_resnt"),
    "hybrid evaluate rnu=outputs": (*_HYBRID, "evaluate", "rnu=outputs"),
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command line."""

    repeats: int = option("processes of each case that are counted", default=7)

    def __post_init__(self) -> None:
        check_at_least(self, 1, "repeats")


@command(Options)
def measure_start(options: Options) -> None:
    """Start every case in turn, several times, and print the medians in seconds."""
    seconds: dict[str, list[float]] = {name: [] for name in CASES}
    for repeat in range(options.repeats + 1):
        for name, arguments in CASES.items():
            measured = processor_seconds([sys.executable, *arguments])
            if repeat:
                seconds[name].append(measured)
    width = max(map(len, CASES))
    print(f"{'processor time, s':<{width}}  median    least    most")
    for name, values in seconds.items():
        numbers = (statistics.median(values), min(values), max(values))
        print(f"{name:<{width}}  " + "  ".join(f"{number:6.3f}" for number in numbers))


def processor_seconds(arguments: list[str]) -> float:
    """User and system time of this command and its children, in seconds; its exit code and output do not matter."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    measure_start()
