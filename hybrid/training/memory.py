"""Memory: how much may still be taken of the GPU, the machine, or what a container or a job has of it; how much was."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import torch


def free_memory(device: torch.device) -> int | None:
    """Bytes that are free on the device; of a CPU, what Linux calls available, or less where a control group allows less.

    None where the system does not say (macOS).
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    available = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)
    return None if available is None else max(0, min([available, *_left_by_groups()]))


def taken_gib(device: torch.device) -> float:
    """The most memory that this process has taken: on the GPU where it trains there, else resident memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    unit = 2**30 if sys.platform == "darwin" else 2**20  # bytes there, KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _left_by_groups() -> Iterator[int]:
    """What each control group over this process leaves it, cached files not counted: a container's or a batch job's limit."""
    for line in _read("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            root, limit, used = Path("/sys/fs/cgroup"), "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            root, limit, used = Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            most, taken = _read(folder / limit).strip(), _read(folder / used).strip()
            if most.isdigit() and taken.isdigit():
                statistics = dict(part.split() for part in _read(folder / "memory.stat").splitlines())
                yield int(most) - int(taken) + int(statistics.get("inactive_file", 0))
            if folder == root:
                break


def _read(path: Path | str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
