"""run.restart=true is an order for one start, and SLURM that requeues a job gives it again, as torchrun does.

When such an order has been followed, restarted.json in the run's folder says in which start. A later start of the same launch
finds it there, and continues the run.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hybrid.files import write_json

_SLURM = ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_JOB_ID")


def note_start(path: Path) -> None:
    """Write this start of the command to the file `path`. Without a launcher there is nothing to note."""
    if start := _start(os.environ):
        write_json(path, start)


def is_followed(path: Path) -> bool:
    """Whether an earlier start of this launch has written the file `path`."""
    try:
        before = json.loads(path.read_text())
        return any(_is_later(now, before.get(name)) for name, now in _start(os.environ).items())
    except (OSError, ValueError, TypeError, AttributeError):  # none, or a damaged one
        return False


def _start(variables: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Launcher -> its launch, and how many starts were before this one; of torchrun also the process that starts this one."""
    found = {}
    if "SLURM_JOB_ID" in variables:
        launch = "_".join(variables[name] for name in _SLURM if name in variables)
        found["slurm"] = {"launch": launch, "restarts": int(variables.get("SLURM_RESTART_COUNT") or 0)}
    if "TORCHELASTIC_RUN_ID" in variables:
        agent = f"{platform.node()} {os.getppid()}"
        restarts = int(variables.get("TORCHELASTIC_RESTART_COUNT") or 0)
        found["torchrun"] = {"launch": variables["TORCHELASTIC_RUN_ID"], "restarts": restarts, "agent": agent}
    return found


def _is_later(now: Mapping[str, Any], before: Mapping[str, Any] | None) -> bool:
    if before is None:
        return False
    if now.get("agent") and now.get("agent") == before.get("agent"):  # torchrun counts no restart when a machine leaves
        return True
    return now["launch"] == before.get("launch") and now["restarts"] > before.get("restarts", 0)
