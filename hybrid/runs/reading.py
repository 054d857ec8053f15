"""Read runs back from their folders, for reports, the results page and `hybrid.read_runs`.

    for run in find_runs("outputs", where=["data=cifar10", "optimizer.lr=0.1"]):
        print(run.path, run.state, run.seed, run.settings["data.subset.n"], run.numbers.get("test.top1"))
        epochs = [(record["epoch"], record["validation/top1"]) for record in run.records() if "validation/top1" in record]

Nothing in the folders is changed, and torch is not loaded.
"""

from __future__ import annotations

import dataclasses
import json
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from hybrid.configuration.hydra_arguments import Script, script_of
from hybrid.configuration.kept import is_own, read_plain
from hybrid.errors import UserError, first_line, unknown_name
from hybrid.runs.folder import RunFolder
from hybrid.runs.identity import identity_of
from hybrid.runs.jsonl import read_metrics

if TYPE_CHECKING:  # loads Hydra
    from hybrid.runs.sweeps.folder import SweepFolder, SweepRun

State = Literal["finished", "unfinished", "failed", "damaged", "missing"]
_NOT_SEARCHED = ("checkpoints", "tensorboard")  # within a run's folder: many files, no runs


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoredRun:
    """One run's folder, as it was when it was read.

    Attributes:
        path: the folder.
        state: finished; unfinished (the run was stopped, or still runs); failed (it raised an error); damaged (its
            summary.json cannot be read); missing (it belongs to a sweep and has not begun).
        seed: the run's seed.
        settings: dotted key -> value of everything else that can change the results: runs with equal settings are
            repetitions of one experiment.
        choices: config group -> the chosen option: {"model": "scat_wrn", "data": "cifar10", …}.
        numbers: dotted key -> number of summary.json, such as "test.top1" in %; empty unless the run is finished.
        device: the GPU's name, or "cpu"; None unless the run is finished.
        smaller_is_better: the numbers of an evaluation of which less is better, such as "loss", as the run itself says; None
            unless it is finished, and for a run of an earlier version.
        error: the last line of a failed run's error.txt.
    """

    path: Path
    state: State
    seed: int
    settings: Mapping[str, Any]
    choices: Mapping[str, str]
    numbers: Mapping[str, float] = dataclasses.field(default_factory=dict)
    device: str | None = None
    smaller_is_better: tuple[str, ...] | None = None
    error: str | None = None

    @property
    def script(self) -> Script:
        """Return the command that made it."""
        return script_of({name.partition(".")[0] for name in self.settings})

    def records(self) -> list[dict[str, Any]]:
        """Return the records of metrics.jsonl: {"step", "epoch", name: value, …}; a value that was not finite is None.

        A warning counts the lines that are damaged. Raises UserError if the file cannot be read.
        """
        path = RunFolder(self.path).metrics
        try:
            return read_metrics(path)
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}.") from error


def find_runs(folder: str | Path, *, where: Sequence[str] = (), debug: bool = False) -> list[StoredRun]:
    """Find every run in a folder or anywhere below it, in the order of their paths. Links to folders are not followed.

    Runs of a debug mode (debug=fast …) are left out: their accuracies say nothing. A warning counts them.

    Args:
        debug: whether runs of a debug mode are among them; a condition on "debug" asks for them, too.
        where: conditions "key=value", all of which must hold. A key is a setting ("optimizer.lr"), a config group
            ("model", "model/head"), "seed" or "state"; values are read as yaml ("data.subset.n=null"). Data are called by
            their choice or by the name that tables show.

    Raises UserError where there is no run, for a condition with an unknown key, and for one that no run meets. A folder that
    cannot be read is named in a warning and left out.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"runs={folder} is not a folder.")
    runs = [run for path in _folders(folder) if (run := _read_run(path)) is not None]
    if not runs:
        raise UserError(f"no runs found in {folder} or below: a run's folder holds a config.yaml.")
    if not debug and not any(condition.partition("=")[0] == "debug" for condition in where):
        runs = _without_debug(runs, folder)
    return select(runs, where) if where else runs


def _without_debug(runs: list[StoredRun], folder: Path) -> list[StoredRun]:
    kept = [run for run in runs if not run.choices.get("debug")]
    count = len(runs) - len(kept)
    if not kept:
        raise UserError(f"{folder} has runs of a debug mode alone ({count}): debug=true shows them.")
    if count:
        words = "1 run of a debug mode is" if count == 1 else f"{count} runs of a debug mode are"
        warnings.warn(f"{words} left out: debug=true shows {'it' if count == 1 else 'them'}.", stacklevel=3)
    return kept


def sweep_runs(sweep: SweepFolder, *, where: Sequence[str] = ()) -> list[StoredRun]:
    """Return every run of a sweep, in the order of its command, also runs that have not begun. Raises as find_runs."""
    runs = []
    for planned in sweep.runs():
        run = _read_run(planned.path) if planned.folder.config.is_file() else None
        runs.append(run or _missing(planned))
    return select(runs, where) if where else runs


def _missing(planned: SweepRun) -> StoredRun:
    cfg = read_plain(planned.config)
    settings = identity_of(cfg, known_only=not is_own(planned.config))
    seed = settings.pop("seed")
    return StoredRun(path=planned.path, state="missing", seed=seed, settings=settings, choices=dict(cfg["choices"]))


def full_name(name: str, valid: Iterable[str], *, what: str) -> str:
    """Return the whole name of a setting of which the last part may be given: "fold" for "data.fold", "head" for "model/head".

    Raises UserError where no valid name ends so, and where several do.
    """
    valid = set(valid)
    if name in valid:
        return name
    found = sorted(each for each in valid if each.endswith((f".{name}", f"/{name}")))
    if len(found) > 1:
        raise UserError(f"{what}: {name} is not clear. Valid: {', '.join(found)}.")
    if not found:
        raise unknown_setting(name, valid, what=what)
    return found[0]


def unknown_setting(name: str, valid: Iterable[str], *, what: str) -> UserError:
    """Make the error for a setting that no run has, with the names of the section that it would be in."""
    valid = set(valid)
    section = name.replace("/", ".").split(".")[0]
    inside = {key for key in valid if key.replace("/", ".").split(".")[0] == section}
    return unknown_name(name, inside or {key.split(".")[0] for key in valid}, what=what)


def _folders(folder: Path) -> Iterator[Path]:
    for place, subfolders, files in os.walk(folder):
        is_run = "config.yaml" in files
        pruned = _NOT_SEARCHED if is_run else ()
        subfolders[:] = sorted(name for name in subfolders if not name.startswith(".") and name not in pruned)
        if is_run:
            yield Path(place)


def _read_run(path: Path) -> StoredRun | None:
    folder = RunFolder(path)
    try:
        cfg = read_plain(folder.config)
        _check_is_run(cfg)
        settings = identity_of(cfg, known_only=not is_own(folder.config))
        seed = settings.pop("seed")
        choices = {str(group): str(option) for group, option in cfg.get("choices", {}).items()}
        if type(seed) is not int:
            raise UserError(f"its seed is {str(seed)[:20]}, which is no whole number.")
    except Exception as error:  # whatever is wrong with one run, the others are shown
        warnings.warn(f"{folder.config} is left out: {_first_line(error)}", stacklevel=2)
        return None
    common = {"path": path, "seed": seed, "settings": settings, "choices": choices}
    if folder.finished:
        return _read_finished(folder, common)
    if (failure := folder.failure) is not None:
        return StoredRun(**common, state="failed", error=failure)
    return StoredRun(**common, state="unfinished")


def _check_is_run(cfg: Any) -> None:
    if not isinstance(cfg, dict) or not {"model", "data", "seed"} <= cfg.keys():
        raise UserError("it is no configuration of a run (model, data, seed).")


def _read_finished(folder: RunFolder, common: dict[str, Any]) -> StoredRun:
    try:
        summary = folder.read_summary()
        numbers, device = dict(_numbers(summary, "")), summary.get("device")
        less = summary.get("smaller_is_better")
        if not {"test.top1", "test.loss"} & numbers.keys():
            raise ValueError("it has no test.top1 and no test.loss")
    except Exception as error:  # whatever a damaged or foreign file makes a reader raise
        reason = _first_line(error).removeprefix(f"{folder.summary} cannot be read: ").rstrip(".")
        warnings.warn(f"{folder.summary} is damaged ({reason}): its run is left out of the averages.", stacklevel=2)
        return StoredRun(**common, state="damaged")
    return StoredRun(
        **common,
        state="finished",
        numbers=numbers,
        device=None if device is None else str(device),
        smaller_is_better=tuple(map(str, less)) if isinstance(less, list) else None,
    )


def _numbers(node: Any, prefix: str) -> Iterator[tuple[str, float]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _numbers(value, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(node, (int, float)) and not isinstance(node, bool) and prefix != "seed":
        float(node)  # OverflowError for a number of hundreds of digits
        yield prefix, node


def select(runs: list[StoredRun], where: Sequence[str], *, what: str = "where") -> list[StoredRun]:
    """Return the runs that meet all conditions "key=value". Raises UserError as `find_runs`; `what` names the option."""
    for condition in where:
        name, equals, text = condition.partition("=")
        if not equals:
            raise UserError(f"{what}: cannot read {condition}: write key=value, such as optimizer.lr=0.1.")
        valid = {key for run in runs for key in _facts(run)}
        name = full_name(name, valid, what=f"setting in {what}")
        kept = [run for run in runs if any(_equal(value, text) for value in _values(run, name))]
        if not kept:
            there = sorted({str(values[-1]) for run in runs if (values := _values(run, name))})
            raise UserError(
                f"{what}: no run has {condition}. There are: {', '.join(there[:12])}{' …' * (len(there) > 12)}."
            )
        runs = kept
    return runs


def name_of_data(settings: Mapping[str, Any], choices: Mapping[str, str]) -> str | None:
    """Return data.name, or where nobody has set it the name of the file or folder of arrays, or of torchvision's class."""
    name, choice = settings.get("data.name"), choices.get("data")
    if name != choice:
        return name
    if choice in ("npz", "h5"):
        return Path(str(settings.get("data.root", name))).stem or name
    return str(settings.get("data.dataset", name)).rpartition(".")[2] if choice == "torchvision" else name


def _facts(run: StoredRun) -> dict[str, Any]:
    return {**run.settings, **run.choices, "seed": run.seed, "state": run.state}


def _values(run: StoredRun, name: str) -> list[Any]:
    """What a condition on this setting may say: its value, and of the data also the name that tables show."""
    facts = _facts(run)
    found = [facts[name]] if name in facts else []
    return [*found, *filter(None, [name_of_data(run.settings, run.choices)])] if name == "data" else found


def _equal(value: Any, text: str) -> bool:
    if str(value) == text:
        return True
    try:
        wanted = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]))["value"]
    except (YAMLError, OmegaConfBaseException):
        return False
    return value == wanted and isinstance(value, bool) == isinstance(wanted, bool)  # true is not 1


def _first_line(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"no JSON from line {error.lineno}"
    return first_line(error)[:300]
