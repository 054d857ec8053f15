"""What a run ran on: versions, machine, commit. `hybrid info` prints it, and more, for bug reports."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from hybrid.errors import UserError
from hybrid.files import read_json, write_json
from hybrid.version import __version__

_PACKAGES = ("torch", "torchvision", "hydra-core", "omegaconf", "kymatio", "numpy", "scikit-learn", "tensorboard")


def describe_environment() -> dict[str, Any]:
    """Versions of the packages, the machine and its accelerators, and the commit of the code."""
    return {
        "hybrid": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": {name: version_of(name) for name in _PACKAGES},
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())],
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if torch.cuda.is_available() else None,
    }


def record_session(path: Path, *, step: int, ranks: int = 1, **more: Any) -> None:
    """Write or extend a run's environment.json: this session started at `step`, here and now, with this command.

    ranks: how many processes work on it. more: whatever else is to be kept of this session.
    """
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    session = {
        "started": now,
        "step": step,
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "host": platform.node(),
        "ranks": ranks,
        **more,
    }
    write_json(path, {"sessions": [*read_sessions(path), {**session, **describe_environment()}]})


def read_sessions(path: Path) -> list[dict[str, Any]]:
    """What a run's environment.json keeps of the sessions so far; nothing where there is no such file, or it is damaged."""
    if not path.is_file():
        return []
    try:
        return list(read_json(path)["sessions"])
    except (UserError, KeyError, TypeError):
        return []


def version_of(name: str) -> str | None:
    """The version of an installed package; None if it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def _commit() -> str | None:
    """The commit of the checkout that the code runs from, with "+changes" where files differ from it.

    None for an installed package, also if it is installed within a repository of the user's.
    """
    folder = Path(__file__).resolve().parents[2]

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", folder, *arguments], capture_output=True, text=True, check=True, timeout=20
        ).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")) != folder:
            return None
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


if __name__ == "__main__":
    print(json.dumps(describe_environment(), indent=2))
