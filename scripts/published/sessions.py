"""What runs ran on, in a few words: commits, hardware, days."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from hybrid.reports.groups import Group
from hybrid.runs.folder import RunFolder
from hybrid.runs.reading import StoredRun

UNKNOWN = "?"


def commits(group: Group) -> str:
    """The first seven digits of each; a + where the checkout had uncommitted changes."""
    return _join(_commit(session.get("commit")) for session in _sessions(group))


def hardware(group: Group) -> str:
    """GPUs, or the processor with its cores and the threads that were used."""
    return _join(_machine(run, session) for run in group.runs for session in _sessions_of(run))


def days(group: Group) -> str:
    """When the runs were started, from the first to the last day."""
    found = sorted(str(session["started"])[:10] for session in _sessions(group) if session.get("started"))
    return UNKNOWN if not found else " … ".join(dict.fromkeys([found[0], found[-1]]))


def unofficial(run: StoredRun) -> bool | None:
    """Whether the run read files that were not the published ones; None where it did not say, or nobody could."""
    said = [session.get("unofficial_files") for session in _sessions_of(run)]
    if any(said):
        return True
    return None if not said or None in said else False


def _machine(run: StoredRun, session: dict[str, Any]) -> str:
    if run.device not in (None, "cpu"):
        ranks = session.get("ranks") or 1
        return f"{ranks} × {run.device}" if ranks > 1 else str(run.device)
    cores, threads = session.get("cores"), session.get("threads")
    return f"{session.get('processor')}, {cores} cores, {threads} thread{'s' * (threads != 1)}"


def _commit(commit: str | None) -> str:
    return f"{commit[:7]}{'+' * ('+' in commit)}" if commit else UNKNOWN


def _sessions(group: Group) -> list[dict[str, Any]]:
    return [session for run in group.runs for session in _sessions_of(run)]


def _sessions_of(run: StoredRun) -> list[dict[str, Any]]:
    path = RunFolder(run.path).environment
    return json.loads(path.read_text())["sessions"] if path.is_file() else []


def _join(words: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(words)) or UNKNOWN
