"""A run's folder is a function of its configuration: the same command finds the same folder, and continues what it finds.

config.yaml        the whole configuration, as composed
classes.json       the names of the classes, in the order of the model's outputs; of another task {"task", "names"}
project.json       the user's own folders whose classes the run was made with; only where it has such classes
data.json          what the files of the data said: shape, mean, std, damaged files, the number of images and their labels
environment.json   every session that worked on the run: time, command, versions, machine, commit, data that are not official
metrics.jsonl      one JSON object per logged step
confusion.csv      how many test images of each class were predicted as each class
summary.json       the results; it exists when the run is finished
error.txt          the traceback of the error that ended the last session, if one did
restarted.json     which start of a SLURM job or of torchrun has followed run.restart=true
errors/rankN.txt   the same of another process, where a run has several
checkpoints/       last.pt, previous.pt, best.pt (best-STEP.pt); not of a support vector machine
events.out.…       TensorBoard's event files; of older runs in tensorboard/
loggers/           of loggers=[csv,wandb,mlflow]: their files, and the names under which they know the run
analysis/          how the layers contract, separate and simplify: tables, arrays, figures
profile/           debug=profile alone: a table of operations and a trace
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from hybrid.configuration.class_paths import RECORD, class_paths, record_folders
from hybrid.configuration.hydra_arguments import script_of
from hybrid.configuration.kept import as_kept, is_own, read_kept
from hybrid.configuration.renamed import is_of_an_earlier_version, with_earlier_defaults
from hybrid.configuration.signature import sign
from hybrid.errors import PeerLost, UserError
from hybrid.escaping import say
from hybrid.files import json_line, read_json, remove_temporaries, write_json, write_text
from hybrid.locks import FileLock, is_locked
from hybrid.runs.identity import identity, run_name
from hybrid.runs.numbers import headline
from hybrid.runs.orders import is_followed, note_start
from hybrid.runs.unmet import unmet

_log = logging.getLogger(__name__)
_ABSENT = "(absent)"
EVENTS = "events.out.tfevents.*"  # the names of TensorBoard's files
_OF_A_RUN = ("choices", "data", "model", "seed", "run")  # what the config.yaml of a run has


class RunFolder:
    """The paths of one run, the lock on them, and the comparison of configurations."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.config = self.path / "config.yaml"
        self.classes = self.path / "classes.json"
        self.project = self.path / RECORD
        self.data = self.path / "data.json"
        self.environment = self.path / "environment.json"
        self.metrics = self.path / "metrics.jsonl"
        self.error = self.path / "error.txt"
        self.errors = self.path / "errors"
        self.restarted = self.path / "restarted.json"
        self.summary = self.path / "summary.json"
        self.confusion = self.path / "confusion.csv"
        self.checkpoints = self.path / "checkpoints"
        self.loggers = self.path / "loggers"
        self.analysis = self.path / "analysis"
        self.profile = self.path / "profile"
        self._lock = FileLock(self.path / ".lock")

    @property
    def tensorboard(self) -> Path:
        """The folder of the event files: the run's own, or tensorboard/ in it where an older run has begun there."""
        older = self.path / "tensorboard"
        return older if older.is_dir() else self.path

    def analysis_of(self, step: int) -> Path:
        """The arrays and numbers of the analysis after a step."""
        return self.analysis / f"step-{step}.npz"

    @property
    def last_analysis(self) -> Path | None:
        """The arrays of the latest analysis that the run made while it trained; None where there is none."""
        found = {int(step): path for path in self.analysis.glob("step-*.npz") if (step := path.stem[5:]).isdigit()}
        return found[max(found)] if found else None

    @classmethod
    def of(cls, cfg: DictConfig) -> RunFolder:
        """The folder of a configuration: run.root / (run.name or the name that the configuration gives).

        A run of an earlier version, which began with the defaults of its time and whose name says nothing of the user's own
        parts, keeps its folder.
        """
        root = Path(cfg.run.root)
        if cfg.run.name:
            return cls(root / cfg.run.name)
        folders = [cls(root / run_name(cfg)), cls(root / run_name(cfg, own_parts=False))]
        if OmegaConf.select(cfg, "data.in_memory") is not None:
            folders.append(cls(root / run_name(cfg, as_written=True)))
        there = [folder for folder in folders if folder.config.is_file()]
        earlier = cls(root / run_name(with_earlier_defaults(cfg), own_parts=False))
        if not there and not cfg.run.restart and earlier._is_of_an_earlier_version():
            return earlier
        return (there or folders)[0]

    def as_begun(self, cfg: DictConfig) -> DictConfig:
        """The configuration, with the earlier defaults if the run in this folder was begun with them; a warning says so."""
        if cfg.run.restart or not self._is_of_an_earlier_version():
            return cfg
        earlier = with_earlier_defaults(cfg)
        before, now, there = identity(earlier), identity(cfg), identity(self.read_config(), known_only=True)
        if there == now or there != before:
            return cfg
        changed = ", ".join(f"{name}={before[name]}" for name in sorted(before) if before[name] != now.get(name))
        _log.warning(
            "%s: an earlier version began this run; it keeps the defaults of that version: %s. Another run.name, or "
            "run.restart=true, takes those of today.", self.path, changed,
        )  # fmt: skip
        return earlier

    def follows_restart(self, cfg: DictConfig) -> bool:
        """Whether the command orders run.restart, and no earlier start of the same SLURM job or torchrun has followed it."""
        return bool(cfg.run.restart) and not is_followed(self.restarted)

    def _is_of_an_earlier_version(self) -> bool:
        """Whether a run is here that began before defaults changed; one of today may have asked for the earlier values."""
        return self.config.is_file() and is_of_an_earlier_version(read_kept(self.config, upgraded=False))

    @property
    def finished(self) -> bool:
        """Whether the run has ended and left its results."""
        return self.summary.is_file()

    def open(
        self,
        cfg: DictConfig,
        *,
        class_names: Sequence[str],
        task: str = "classification",
        facts: Mapping[str, Any] | None = None,
        restart: bool = False,
    ) -> None:
        """Lock the folder for this process and write what describes the run, or check that it is the run described there.

        class_names: one for each of the model's outputs. task: what the outputs are (`hybrid.data.tasks`).
        facts: what data.json keeps, if there is anything.
        `restart` first deletes what a run has left there, and nothing else.
        Raises UserError if another process works on it, if it belongs to another configuration, or if it cannot be written.
        """
        try:
            if restart:
                self._check_is_run()
            self.path.mkdir(parents=True, exist_ok=True)
            self._acquire()
            for place in (self.path, self.checkpoints, self.analysis):
                remove_temporaries(place)
            if restart:
                self._clear()
            if self.config.is_file():
                self.compare(cfg)
                self._sign_again(cfg)
            if not self.classes.is_file():
                names: Any = list(class_names)
                names = names if task == "classification" else {"task": task, "names": names}
                write_text(self.classes, json_line(names) + "\n")
            if facts is not None and not self.data.is_file():
                write_json(self.data, facts)
            if not self.config.is_file():
                write_text(self.config, as_kept(cfg))
            record_folders(self.path, cfg)
            if script_of(cfg) == "train":
                self.checkpoints.mkdir(exist_ok=True)
            if restart:
                note_start(self.restarted)
            self.error.unlink(missing_ok=True)
            shutil.rmtree(self.errors, ignore_errors=True)
        except UserError:
            self.close()
            raise
        except OSError as error:
            self.close()
            raise UserError(
                f"cannot write the run's folder {self.path}: {error.strerror}. Choose another with run.root=…"
            ) from error

    def note_failure(self, error: Exception, *, rank: int = 0) -> None:
        """Leave the traceback where whoever looks for the run's results will see it; the next session removes it.

        A process other than the first (`rank` 0) leaves its own errors in a file of its own, and not that another was lost.
        """
        if isinstance(error, PeerLost) and rank != error.speaker:
            return
        path = self.errors / f"rank{rank}.txt" if rank else self.error
        if not self.path.is_dir():  # removed: that is the failure
            return
        with contextlib.suppress(OSError):  # a full disk may be the very failure
            write_text(path, "".join(traceback.format_exception(error)))

    @property
    def failure(self) -> str | None:
        """The last line of error.txt, which is the error itself; None for a run that did not fail, or finished later."""
        if self.finished or not self.error.is_file():
            return None
        try:
            lines = self.error.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return lines[-1].strip()[:300] if lines else "error.txt is empty"

    def note_refusal(self, cfg: DictConfig, words: str) -> None:
        """Make a folder for a run that was refused before it had one, so that a sweep's failures are all where its runs are."""
        with contextlib.suppress(OSError):
            self.path.mkdir(parents=True, exist_ok=True)
            if not self.config.is_file():
                write_text(self.config, as_kept(cfg))
            write_text(self.error, words)

    @property
    def in_use(self) -> bool:
        """Whether a process works on the run now (as far as this machine sees other machines' locks)."""
        return is_locked(self._lock.path)

    def close(self) -> None:
        """Give the lock back."""
        self._lock.release()

    def read_config(self, *, live: bool = False) -> DictConfig:
        """The configuration that the run was made with, as data; UserError where there is none, or it cannot be read."""
        if not self.config.is_file():
            raise UserError(f"{self.path} is not a run's folder: it has no config.yaml.")
        return read_kept(self.config, live=live)

    def read_class_names(self) -> tuple[str, ...]:
        """The names of the model's outputs, so that it can be used where its data are not."""
        return self.read_outputs()[1]

    def read_outputs(self) -> tuple[str, tuple[str, ...]]:
        """(task, names): what the model's outputs are (`hybrid.data.tasks`), and the name of each."""
        try:
            found = read_json(self.classes, (dict, list))
            task, names = (found["task"], found["names"]) if isinstance(found, dict) else ("classification", found)
            return str(task), tuple(map(str, names))
        except (TypeError, KeyError) as error:
            raise UserError(f"{self.classes} cannot be read: {str(error)[:120]}") from error

    def read_facts(self) -> dict[str, Any] | None:
        """What data.json keeps (little or nothing in older runs), and "class_names"; None where there is no run yet."""
        if not self.classes.is_file():
            return None
        names = {"class_names": list(self.read_class_names())}
        if not self.data.is_file():
            return names
        return {**read_json(self.data), **names}

    def read_summary(self) -> dict[str, Any]:
        """The results of a finished run. Raises UserError where the file is damaged."""
        return read_json(self.summary)

    def say_finished(self, cfg: DictConfig) -> dict[str, Any]:
        """The summary of a finished run, after telling the user that it is one, and what of `cfg` it has not met.

        Raises UserError if it is another run than `cfg`'s.
        """
        self.compare(cfg)
        summary = self.read_summary()
        asked = OmegaConf.select(cfg, "trainer.best_metric")
        first = f"finished already: test {headline(summary['test'], asked=asked)}. run.restart=true runs it again."
        say(first, self.path, *unmet(self.read_config(), cfg, path=self.path))
        return summary

    def compare(self, cfg: DictConfig) -> None:
        """Raise UserError, naming the differences, unless the folder's run is the one that `cfg` describes."""
        here, there = identity(cfg), identity(self.read_config(), known_only=True)
        changed = sorted(k for k in there.keys() | here.keys() if there.get(k, _ABSENT) != here.get(k, _ABSENT))
        if changed:
            shown = "; ".join(
                f"{k} is {there.get(k, _ABSENT)} there and {here.get(k, _ABSENT)} here" for k in changed[:3]
            )
            raise UserError(
                f"{self.path} holds another run: {shown}. Choose another run.name, or run.restart=true to delete it."
            )

    def _sign_again(self, cfg: DictConfig) -> None:
        """Sign the configuration of a run that an earlier version began, if it names no class that this command does not."""
        text = self.config.read_text()
        named = set(class_paths(self.read_config()))
        if named and named <= set(class_paths(cfg)) and "${" not in text and not is_own(self.config):
            write_text(self.config, sign(text))

    def _check_is_run(self) -> None:
        """Whether a restart may delete what is here: a folder that holds no run is not ours."""
        left = [path for path in self.path.iterdir() if not path.name.startswith(".lock")] if self.path.is_dir() else []
        if left and not (self.config.is_file() and all(name in self.read_config() for name in _OF_A_RUN)):
            raise UserError(f"run.restart: {self.path} is not a run's folder; delete it by hand if you mean it.")

    def _clear(self) -> None:
        for path in (
            self.checkpoints,
            self.path / "tensorboard",
            self.loggers,
            self.analysis,
            self.profile,
            self.errors,
        ):
            shutil.rmtree(path, ignore_errors=True)
        files = (self.summary, self.confusion, self.metrics, self.environment, self.error)
        files += (self.classes, self.data, self.project, self.restarted, self.config)
        for path in (*self.path.glob(EVENTS), *files):
            path.unlink(missing_ok=True)

    def _acquire(self) -> None:
        if not self._lock.acquire(patience=0.35):  # in_use, asked by another process, holds it for a moment
            raise UserError(
                f"another process is working on {self.path}. Wait for it, or choose another folder with run.name=…"
            )
