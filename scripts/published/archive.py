"""A small copy of runs' folders: what the page is made of, without weights, machine names and paths.

NAME/config.yaml  environment.json  metrics.jsonl  summary.json    as in a run's folder; rounded and thinned
     layers.csv                                                    the last analysis, a row per layer
     error.txt                                                     of a failed run: the error's line
     about.json                                                    {"images": "CIFAR-10 (JPEG)"}, where that was said of files
                                                                   that are not the published ones
"""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from omegaconf import OmegaConf

from hybrid.files import write_text
from hybrid.reports.layer_table import layer_csv
from hybrid.runs.folder import RunFolder, run_name
from hybrid.runs.jsonl import read_metrics
from hybrid.runs.reading import StoredRun, find_runs
from published.entries import entries
from published.rows import Page
from published.sessions import unofficial

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
_Outcome = Literal["new", "replaced", "same"]


class Archived(NamedTuple):
    """What became of runs: folders that are new, that held something else, or the same already; runs that belong to no row."""

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
    wanted = {
        run.path
        for section in page.sections
        for _, found in entries(section, runs)
        for entry in found
        for run in entry.group.runs
    }
    archived = Archived([], [], [], [run for run in runs if run.path not in wanted])
    for run in runs:
        if run.path in wanted:
            path, outcome = _archive(run, to, images)
            getattr(archived, outcome).append(path)
    return archived


def read_archive(folder: Path) -> list[StoredRun]:
    """The archived runs; none where there is no archive yet."""
    return find_runs(folder) if any(folder.glob("*/config.yaml")) else []


def images_of(run: StoredRun) -> str:
    """What the run's images are: as was said when it was archived, or else the name of its data and what the run has recorded."""
    path = run.path / ABOUT
    if path.is_file():
        return json.loads(path.read_text())["images"]
    name = str(run.choices.get("data", "?"))
    return f"{name} (not the published files)" if unofficial(run) else name


def without_folders(text: str) -> str:
    """The text with every absolute path cut to its last part."""
    return _FOLDERS.sub("", text)


def _archive(run: StoredRun, to: Path, images: Mapping[str, str]) -> tuple[Path, _Outcome]:
    """The run's folder in the archive, and what has become of it."""
    source = RunFolder(run.path)
    cfg = source.read_config()
    target = RunFolder(to / run_name(cfg))
    before: _Outcome = "replaced" if target.path.is_dir() else "new"
    contents: dict[Path, str | None] = {
        target.config: OmegaConf.to_yaml(OmegaConf.create(_plain(OmegaConf.to_container(cfg, resolve=True)))),
        target.metrics: "".join(json.dumps(record) + "\n" for record in _thinned(read_metrics(source.metrics))),
        target.environment: _environment(source.environment),
        target.summary: _json(json.loads(source.summary.read_text())) if run.state == "finished" else None,
        target.error: f"{without_folders(run.error)}\n" if run.error else None,
        target.path / LAYERS: _layers(source.analysis),
    }
    if (
        run.choices.get("data") in images and unofficial(run) is not False
    ):  # or else what was said of it before stays true
        contents[target.path / ABOUT] = _json({"images": images[run.choices["data"]]})
    changed = {path: content for path, content in contents.items() if content != _text(path)}
    for path, content in changed.items():
        if content is not None:
            write_text(path, content)
        else:
            path.unlink()
    return target.path, before if changed else "same"


def _text(path: Path) -> str | None:
    return path.read_text() if path.is_file() else None


def _environment(path: Path) -> str | None:
    try:
        sessions = json.loads(path.read_text())["sessions"]
    except (OSError, ValueError, KeyError):  # damaged by a crash: training begins a new one then, too
        return None
    for session in sessions:
        session["command"] = _command(session["command"])
    return _json({"sessions": [_kept(session) for session in sessions]})


def _kept(session: Mapping[str, Any]) -> dict[str, Any]:
    files = session.get(_FILES)  # older runs have not recorded them
    return {key: session.get(key) for key in _SESSION} | ({} if files is None else {_FILES: files})


def _command(command: str) -> str:
    """Without what says where on this machine the run lies."""
    words = [without_folders(word) for word in shlex.split(command)]
    return shlex.join(word for word in words if word.partition("=")[0] not in _OF_A_MACHINE)


def _layers(analyses: Path) -> str | None:
    """Of the analysis of everything, if there is one, or else of the last one while training."""
    files = sorted(analyses.glob("full/*.csv")) or sorted(analyses.glob("step-*.csv"), key=_step)
    if not files:
        return None
    rows = list(csv.DictReader(io.StringIO(files[-1].read_text())))
    return layer_csv([{name: _cell(value) for name, value in row.items()} for row in rows])


def _step(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])


def _cell(text: str) -> object:
    try:
        return int(text) if text.lstrip("-").isdigit() else _rounded(float(text))
    except ValueError:
        return text or None


def _thinned(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most _POINTS records of each kind, evenly spread, the last always; the tests all."""
    kept: list[dict[str, Any]] = []
    for kind in ("train/", "validation/", "test/"):
        own = [{**_place(record), **_part(record, kind)} for record in records if _part(record, kind)]
        last = len(own) - 1
        chosen = range(len(own)) if last < _POINTS else {round(k * last / (_POINTS - 1)) for k in range(_POINTS)}
        kept += [own[k] for k in sorted(chosen)]
    return sorted(kept, key=lambda record: record["step"])


def _place(record: dict[str, Any]) -> dict[str, Any]:
    return {"step": record["step"], "epoch": record["epoch"]}


def _part(record: dict[str, Any], kind: str) -> dict[str, Any]:
    return {name: _rounded(value) for name, value in record.items() if name.startswith(kind) and name.startswith(_KEPT)}


def _rounded(value: Any) -> Any:
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value


def _plain(node: Any) -> Any:
    """The configuration without folders of this machine."""
    if isinstance(node, dict):
        return {key: _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    return without_folders(node) if isinstance(node, str) else node


def _json(content: Any) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
