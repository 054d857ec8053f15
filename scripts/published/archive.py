"""Keep a small copy of runs' folders, from which the page is made, without weights, machine names and paths.

NAME/config.yaml  environment.json  metrics.jsonl  summary.json    as in a run's folder; rounded and thinned
     layers.csv                                                    the last analysis, a row per layer
     error.txt                                                     of a failed run: the error's line
     about.json                                                    {"images": "CIFAR-10 (JPEG)"}, where that was said of files
                                                                   that are not the published ones
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pandas
from omegaconf import OmegaConf

from hybrid.files import write_text
from hybrid.runs.folder import RunFolder, run_name
from hybrid.runs.jsonl import read_metrics
from hybrid.runs.reading import StoredRun, find_runs
from published.matching import entries
from published.rows import Page

LAYERS, ABOUT = "layers.csv", "about.json"
_POINTS = 40  # of a learning curve
_DIGITS = 6
_KEPT = ("train/loss", "train/top1", "validation/", "test/")  # not speeds; of the analysis the last table says more
_SESSION = (
    "started", "step", "command", "ranks", "hybrid", "commit", "python", "packages", "processor", "cores", "threads",
    "gpus", "cuda", "cudnn",
)  # fmt: skip
_FILES = "unofficial_files"
_OF_A_MACHINE = ("run.root", "run.name", "run.restart", "data.root", "data.download", "trainer.progress")
_FOLDERS = re.compile(r"(?<![\w./])~?/(?:[\w.+-]+/)*(?=[\w.+-])")  # all but the last part of an absolute path


class Archived(NamedTuple):
    """The archived folders, by whether they are new, held something else or the same before; and runs that belong to no row."""

    new: list[Path]
    replaced: list[Path]
    same: list[Path]
    left_out: list[StoredRun]


def archive_runs(runs: Sequence[StoredRun], page: Page, to: Path, *, images: Mapping[str, str]) -> Archived:
    """Copy the runs that belong to a row of the page.

    images: data -> what its images are, where the data's own name says too little: {"cifar10": "CIFAR-10 (JPEG)"}. It is not
    said of a run that has recorded that its files are the published ones.
    Raises OSError where a file cannot be written.
    """
    found = [entry for section in page.sections for _, own in entries(section, runs) for entry in own]
    wanted = {run.path for entry in found for run in entry.group.runs}
    archived = Archived([], [], [], [run for run in runs if run.path not in wanted])
    for run in runs:
        if run.path in wanted:
            path, outcome = _archive(run, to, images)
            getattr(archived, outcome).append(path)
    return archived


def read_archive(folder: Path) -> list[StoredRun]:
    """Return the archived runs; none where there is no archive yet."""
    return find_runs(folder) if any(folder.glob("*/config.yaml")) else []


def sessions_of(run: StoredRun) -> list[dict[str, Any]]:
    """Return the sessions that a run has recorded: command, commit, machine, date."""
    path = RunFolder(run.path).environment
    return json.loads(path.read_text())["sessions"] if path.is_file() else []


def images_of(run: StoredRun) -> str:
    """Return the name of the run's images: the one given when it was archived, or else that of its data."""
    path = run.path / ABOUT
    if path.is_file():
        return json.loads(path.read_text())["images"]
    name = str(run.choices.get("data", "?"))
    return f"{name} (not the published files)" if unofficial(run) else name


def unofficial(run: StoredRun) -> bool | None:
    """Return whether the run read files other than the published ones; None where it has not recorded that."""
    said = [session.get(_FILES) for session in sessions_of(run)]
    if any(said):
        return True
    return None if not said or None in said else False


def _archive(run: StoredRun, to: Path, images: Mapping[str, str]) -> tuple[Path, Literal["new", "replaced", "same"]]:
    """Return the run's folder in the archive, and whether it is new, replaced or the same."""
    source = RunFolder(run.path)
    cfg = source.read_config()
    target = RunFolder(to / run_name(cfg))
    before = "replaced" if target.path.is_dir() else "new"
    records = _thinned(read_metrics(source.metrics))
    contents: dict[Path, str | None] = {
        target.config: OmegaConf.to_yaml(OmegaConf.create(_without_folders(OmegaConf.to_container(cfg, resolve=True)))),
        target.metrics: "".join(json.dumps(record) + "\n" for record in records),
        target.environment: _environment(source.environment),
        target.summary: _json(json.loads(source.summary.read_text())) if run.state == "finished" else None,
        target.error: f"{_without_folders(run.error)}\n" if run.error else None,
        target.path / LAYERS: _layers(source.analysis),
    }
    if run.choices.get("data") in images and unofficial(run) is not False:  # else what was said of it stays true
        contents[target.path / ABOUT] = _json({"images": images[run.choices["data"]]})
    there = {path: path.read_text() if path.is_file() else None for path in contents}
    for path, content in contents.items():
        if content is None:
            path.unlink(missing_ok=True)
        elif content != there[path]:
            write_text(path, content)
    return target.path, "same" if contents == there else before


def _environment(path: Path) -> str | None:
    try:
        sessions = json.loads(path.read_text())["sessions"]
    except (OSError, ValueError, KeyError):  # damaged by a crash: training begins a new one then, too
        return None
    kept = [{key: session.get(key) for key in _SESSION} for session in sessions]
    for own, session in zip(kept, sessions, strict=True):
        words = [_without_folders(word) for word in shlex.split(session["command"])]
        own["command"] = shlex.join(word for word in words if word.partition("=")[0] not in _OF_A_MACHINE)
        if session.get(_FILES) is not None:  # older runs have not recorded them
            own[_FILES] = session[_FILES]
    return _json({"sessions": kept})


def _layers(analyses: Path) -> str | None:
    """Return the table of the full analysis, if there is one, or else of the last one while training."""
    steps = sorted(analyses.glob("step-*.csv"), key=lambda path: int(path.stem.rpartition("-")[2]))
    files = sorted(analyses.glob("full/*.csv")) or steps
    if not files:
        return None
    return pandas.read_csv(files[-1]).to_csv(index=False, float_format=f"%.{_DIGITS}g", lineterminator="\n")


def _thinned(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Choose at most _POINTS records of each kind, evenly spread, always with the last."""
    kept: list[dict[str, Any]] = []
    for kind in ("train/", "validation/", "test/"):
        own = [
            {"step": record["step"], "epoch": record["epoch"], **part}
            for record in records
            if (
                part := {
                    name: _rounded(record[name]) for name in record if name.startswith(kind) and name.startswith(_KEPT)
                }
            )
        ]
        last = len(own) - 1
        chosen = range(len(own)) if last < _POINTS else {round(k * last / (_POINTS - 1)) for k in range(_POINTS)}
        kept += [own[k] for k in sorted(chosen)]
    return sorted(kept, key=lambda record: record["step"])


def _rounded(value: Any) -> Any:
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value


def _without_folders(node: Any) -> Any:
    """Cut every absolute path in a configuration or a text to its last part."""
    if isinstance(node, dict):
        return {key: _without_folders(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_without_folders(value) for value in node]
    return _FOLDERS.sub("", node) if isinstance(node, str) else node


def _json(content: Any) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
