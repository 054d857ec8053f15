"""One run of a sweep as a process of its own, so that a crash, SIGKILL or a lack of memory ends that run alone.

That process keeps a lock on its log until it ends, even if the launcher is killed before. So the next launcher knows from the
first moment that the run is being worked on (`SweepRun.in_use`), and no two processes write into one log.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import hybrid
from hybrid.errors import LOST
from hybrid.locks import locked_for_a_child
from hybrid.runs.numbers import headline
from hybrid.runs.sweeps.folder import SweepRun
from hybrid.runs.sweeps.forks import POSSIBLE, Forked, ForkServer

_ASKS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
_STOPPED = {128 + number for number in _ASKS} | {-number for number in _ASKS}  # negative: Python was starting or ending
_LINES_KEPT = 60
_SAFE = ("-P",) if sys.version_info >= (3, 11) else ()  # no file of the current folder takes a module's place
_HYBRID = (sys.executable, *_SAFE, "-m", "hybrid")
_TRAIN = (*_HYBRID, "train")


class Outcome(NamedTuple):
    """How a run's process ended, with one line of explanation.

    A stopped run was asked to end; it wrote a checkpoint if it had begun. A killed run was not asked.
    """

    state: Literal["finished", "stopped", "killed", "failed"]
    words: str


class Job:
    """The process of one run; it reads its configuration from the sweep's folder."""

    def __init__(
        self,
        run: SweepRun,
        *,
        environment: Mapping[str, str] | None = None,
        log: Path | None = None,
        server: ForkServer | None = None,
    ) -> None:
        """Start it.

        Args:
            run: of a sweep or a search.
            environment: added to this process's own.
            log: takes what it prints instead of the run's log.
            server: is forked for it; None: it loads torch itself.

        Raises OSError if the server has ended.
        """
        self.run = run
        self.process: subprocess.Popen[bytes] | Forked
        self._log = log or run.log
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as file, locked_for_a_child(self._log) as lock:
            now = datetime.datetime.now().isoformat(" ", "seconds")
            file.write(f"--- {now} on {os.uname().nodename}: {' '.join(run.overrides)}\n".encode())
            file.flush()
            self._begin = file.tell()
            arguments = ["--from", str(run.config)]
            if server is not None:
                what = {"environment": environment or {}, "output": file.fileno(), "lock": lock}
                self.process = server.start(["train", *arguments], **what)
                return
            self.process = subprocess.Popen(
                [*_TRAIN, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=_environment(environment),
                pass_fds=[lock],
                start_new_session=True,  # Ctrl-C reaches it through us alone, once
                preexec_fn=_ignore_warning,
            )

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to write its checkpoint and end."""
        if self.process.poll() is None:
            self.process.send_signal(number)

    def outcome(self) -> Outcome | None:
        """How it ended; None while it runs. The error of a failed run is written into its folder."""
        code = self.process.poll()
        if code is None:
            return None
        if self.run.folder.finished:
            asked = self.run.setting("trainer.best_metric")
            return Outcome("finished", f"test {headline(self.run.folder.read_summary()['test'], asked=asked)}")
        if code in _STOPPED:
            return Outcome("stopped", self._where_it_goes_on())
        if code == LOST:
            return Outcome("killed", "another of its processes died; the same command continues")
        if code < 0:
            name = signal.Signals(-code).name
            words = f"{name}{' (out of memory?)' * (name == 'SIGKILL')}; the same command continues"
            return Outcome("killed", words)
        return self._failure(code)

    def _where_it_goes_on(self) -> str:
        """The folder tells, and not the exit code: a second signal may end a run that has long written a checkpoint."""
        if not (self.run.folder.checkpoints / "last.pt").exists():
            return "it had not come to a checkpoint; the same command begins it again"
        return "checkpoint written; the same command continues"

    def _failure(self, code: int) -> Outcome:
        text = self._printed() or f"exit code {code}, and nothing was printed\n"
        folder = self.run.folder
        if not folder.error.is_file() and not folder.in_use:  # refused before its folder was opened
            folder.note_refusal(self.run.read_config(), text)
        return Outcome("failed", text.strip().splitlines()[-1][:300])

    def _printed(self) -> str:
        with self._log.open("rb") as file:
            file.seek(self._begin)
            lines = file.read().decode(errors="replace").splitlines()
        return "".join(f"{line}\n" for line in lines[-_LINES_KEPT:])


def import_path() -> list[str]:
    """The folders that a process started with this Python needs in $PYTHONPATH to import hybrid; none if it is installed."""
    folder = Path(hybrid.__file__).resolve().parents[1]
    return [] if folder.name in ("site-packages", "dist-packages") else [str(folder)]


class Jobs:
    """Starts jobs: each as a fork of a process that has torch loaded, or as a process that loads it itself."""

    def __init__(self, *, warm: bool, environment: Mapping[str, str] | None = None) -> None:
        """warm: fork, where the system can. environment: is added to this process's own for all jobs."""
        self._warm, self._environment = warm and POSSIBLE, dict(environment or {})
        self._server: ForkServer | None = None

    def warm_up(self) -> None:
        """Begin to load what runs need; some seconds pass until the first can be forked. A server that has died is replaced."""
        if self._warm and (self._server is None or not self._server.alive):
            self.close()
            self._server = ForkServer(hybrid=_HYBRID, environment=_environment(self._environment))

    def start(self, run: SweepRun, *, environment: Mapping[str, str] | None = None) -> Job:
        """Start a run: as a fork after `warm_up`, and else as a process of its own. `environment`: for this run."""
        environment = {**self._environment, **(environment or {})}
        if self._server is not None:
            self.warm_up()
            with contextlib.suppress(OSError):  # it dies at this moment
                return Job(run, environment=environment, server=self._server)
        return Job(run, environment=environment)

    def close(self) -> None:
        """End the process that jobs are forked from; the jobs go on."""
        if self._server is not None:
            self._server.close()
            self._server = None


def _environment(more: Mapping[str, str] | None) -> dict[str, str]:
    """The variables of a run's process: this process's own, with which a checkout that is not installed is found too."""
    known = os.environ.get("PYTHONPATH")
    places = [*import_path(), *([known] if known else [])]
    found = {"PYTHONPATH": os.pathsep.join(places)} if places else {}
    return {"PYTHONUNBUFFERED": "1", "HYBRID_TRACEBACK": "1", **os.environ, **found, **(more or {})}


def _ignore_warning() -> None:
    """SLURM sends its warning before the time limit to every process of a job; the parent process alone acts on it."""
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
