"""A sweep's folder: the list of its runs, and the configuration of each as it was when the sweep was submitted.

sweep.json         the runs: name, folder, overrides, number of the SLURM job; the command and when it was given
configs/RUN.yaml   the whole configuration of each run: later edits of other files do not change it
logs/RUN.log       the output of each run, over all its sessions
slurm/             SLURM's own output, and submitit's files
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from hybrid.configuration.kept import as_kept, read_kept, read_plain
from hybrid.configuration.renamed import value_at
from hybrid.errors import UserError
from hybrid.files import read_json, write_json, write_text
from hybrid.locks import FileLock, is_locked
from hybrid.runs.folder import RunFolder
from hybrid.runs.sweeps.plan import Planned

_PLACE = "sweeps"  # in run.root


def counted(runs: int) -> str:
    """ "1 run", "2 runs"."""
    return f"{runs} run{'s' * (runs != 1)}"


@dataclasses.dataclass(frozen=True)
class SweepRun:
    """A run in the list of a sweep. `job` is its last SLURM job number, such as "12_3"."""

    name: str
    path: Path
    overrides: tuple[str, ...]
    config: Path
    log: Path
    job: str | None = None

    @property
    def folder(self) -> RunFolder:
        """The run's own folder."""
        return RunFolder(self.path)

    @property
    def in_use(self) -> bool:
        """Whether a process works on the run now: it has the run's folder, or was started for this sweep and is on its way."""
        return self.folder.in_use or is_locked(self.log)

    def read_config(self) -> DictConfig:
        """The configuration at submission."""
        return read_kept(self.config)

    def setting(self, name: str) -> Any:
        """One of its settings, by its dotted name; None where it has none. It is read much faster than the whole."""
        return value_at(read_plain(self.config), name)


class SweepFolder:
    """The paths of one sweep and its list of runs."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.list = self.path / "sweep.json"
        self.configs = self.path / "configs"
        self.logs = self.path / "logs"
        self.slurm = self.path / "slurm"
        self._lock = FileLock(self.path / ".lock")

    @classmethod
    def of(cls, runs: Sequence[Planned], *, name: str | None = None) -> SweepFolder:
        """run.root / sweeps / name. By default the name follows from the runs: the same command finds the same folder."""
        digest = hashlib.sha256("\n".join(sorted(run.name for run in runs)).encode()).hexdigest()[:8]
        return cls(Path(runs[0].cfg.run.root) / _PLACE / (name or f"sweep-{digest}"))

    @classmethod
    def find(cls, name: str, *, root: Path | str = "outputs") -> SweepFolder:
        """Find a sweep by its name in `root`/sweeps or by its folder; "last" is the sweep that was launched last.

        Raises UserError, which lists the sweeps that exist, if there is no such sweep.
        """
        there = [cls(path.parent) for path in Path(root, _PLACE).glob("*/sweep.json")]
        if name == "last" and there:
            return max(there, key=lambda sweep: sweep.list.stat().st_mtime)
        for path in (Path(root, _PLACE, name), Path(name)):
            if (path / "sweep.json").is_file():
                return cls(path)
        names = ", ".join(sorted(sweep.path.name for sweep in there)[:12]) or "none"
        raise UserError(f"there is no sweep {name} in {Path(root, _PLACE)}. There are: {names}.")

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    def write(self, runs: Sequence[Planned], *, command: str) -> None:
        """Write the list of runs, and the configurations that are not there yet."""
        known = {run.name: run for run in self.runs()} if self.list.is_file() else {}
        if known and set(known) != {run.name for run in runs}:
            raise UserError(f"cluster.name={self.name}: {self.path} holds another sweep. Choose another name.")
        self.logs.mkdir(parents=True, exist_ok=True)
        self.submit([run for run in runs if not (self.configs / f"{run.name}.yaml").is_file()])
        entries = [
            {"name": run.name, "folder": str(run.folder.path), "overrides": list(run.overrides)}
            | ({"job": known[run.name].job} if run.name in known else {})
            for run in runs
        ]
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        write_json(self.list, {"command": command, "launched": now, "runs": entries})

    def submit(self, runs: Sequence[Planned]) -> None:
        """Write the configurations of runs that are about to be started, for the first time or again.

        A run that is launched again has the same name, so its configuration differs only in settings that change no result,
        such as the folder of the data.
        """
        self.configs.mkdir(parents=True, exist_ok=True)
        for run in runs:
            write_text(self.configs / f"{run.name}.yaml", as_kept(run.cfg))

    def runs(self) -> list[SweepRun]:
        """The runs, in the order of the command. Raises UserError for a damaged sweep.json."""
        return [
            SweepRun(
                entry["name"],
                Path(entry["folder"]),
                tuple(entry["overrides"]),
                self.configs / f"{entry['name']}.yaml",
                self.logs / f"{entry['name']}.log",
                entry.get("job"),
            )
            for entry in self._read()["runs"]
        ]

    def label(self, run: SweepRun) -> str:
        """The overrides that tell a run from the sweep's others; all for a single run; the run's name if it has none."""
        return self.labels([run])[0]

    def labels(self, runs: Sequence[SweepRun]) -> list[str]:
        """The label of each of these runs."""
        others = [set(other.overrides) for other in self.runs()]
        shared = set.intersection(*others) if len(others) > 1 else set()
        return [" ".join(each for each in run.overrides if each not in shared) or run.name for run in runs]

    def note_jobs(self, jobs: Mapping[str, str]) -> None:
        """Write down each run's SLURM job number: run's name -> "12_3"."""
        content = self._read()
        for entry in content["runs"]:
            entry["job"] = jobs.get(entry["name"], entry.get("job"))
        write_json(self.list, content)

    def lock(self) -> None:
        """Keep other commands from launching this sweep. Raises UserError if another process has it locked."""
        self.path.mkdir(parents=True, exist_ok=True)
        if not self._lock.acquire():
            raise UserError(f"another process has launched the sweep {self.path} and is still at it.")

    def unlock(self) -> None:
        """Give the lock back."""
        self._lock.release()

    def _read(self) -> dict[str, Any]:
        try:
            content = read_json(self.list)
            names = [entry["name"] for entry in content["runs"]]
        except (KeyError, TypeError) as error:
            raise UserError(f"{self.list} cannot be read: {str(error)[:120]}") from error
        if not names:
            raise UserError(f"{self.list} lists no runs.")
        return content
