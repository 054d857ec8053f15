"""Progress of every run of a sweep, read from the runs' folders; it disturbs no run that is under way."""

from __future__ import annotations

import dataclasses
import datetime
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from hybrid.durations import RunLength
from hybrid.errors import UserError, first_line
from hybrid.files import read_json
from hybrid.runs.jsonl import read_metrics
from hybrid.runs.numbers import headline
from hybrid.runs.sweeps.folder import SweepFolder, SweepRun, counted

if TYPE_CHECKING:
    from hybrid.runs.sweeps.slurm import QueuedJob

State = Literal["finished", "running", "queued", "stopped", "failed", "waiting"]


@dataclasses.dataclass(frozen=True)
class Status:
    """A run as it is now.

    Attributes:
        state: finished; running; queued (at SLURM); stopped (it has begun, and nobody works on it); failed (error.txt);
            waiting (not begun).
        done: the share of its training that is done, 0 to 1.
        seconds: how long it has taken (finished) or will still take at the pace of this session (running); None: unknown.
        words: its result, its error, or its last validation accuracy.
    """

    run: SweepRun
    state: State
    done: float
    seconds: float | None
    words: str


def sweep_status(sweep: SweepFolder) -> list[Status]:
    """The status of every run, in the order of the sweep's command."""
    runs = sweep.runs()
    queue = {}
    if any(run.job and not run.folder.finished for run in runs):
        from hybrid.runs.sweeps.slurm import jobs_in_queue

        queue = jobs_in_queue(sweep)
    return [run_status(run, job=queue.get(run.job or "")) for run in runs]


def run_status(run: SweepRun, *, job: QueuedJob | None = None) -> Status:
    """The status of one run; `job` is its SLURM job, if it is in the queue."""
    folder = run.folder
    if folder.finished:
        try:
            summary = folder.read_summary()
            words = f"test {headline(summary['test'], asked=_asked(run))}"
            return Status(run, "finished", 1.0, float(summary["seconds"]), words)
        except Exception as error:  # one damaged file hides no other run
            return Status(run, "failed", 1.0, None, f"summary.json is damaged: {first_line(error)[:120]}")
    records = read_metrics(folder.metrics)
    done = _done(records, run)
    if run.in_use or (job is not None and job.state in ("RUNNING", "COMPLETING")):
        return Status(run, "running", done, _left(run, records, done), _last_validation(records, _asked(run)))
    if job is not None:
        words = filter(None, (_last_validation(records, _asked(run)), job.reason if job.reason != "None" else ""))
        return Status(run, "queued", done, None, ", ".join(words))
    if folder.error.is_file():
        lines = folder.error.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return Status(run, "failed", done, None, lines[-1][:200] if lines else "error.txt is empty")
    if folder.config.is_file():
        return Status(run, "stopped", done, None, _last_validation(records, _asked(run)))
    return Status(run, "waiting", 0.0, None, "")


def time_left(statuses: Sequence[Status]) -> float | None:
    """Estimates the seconds until no run is running, queued, stopped or waiting, if as many run at a time as run now.

    A run that has not begun is taken to last as long as the mean of the known runs. None if no run is under way, or if no
    run's length is known.
    """
    running = [status for status in statuses if status.state == "running"]
    lengths = [status.seconds for status in statuses if status.state == "finished" and status.seconds is not None]
    lengths += [
        status.seconds / (1 - status.done) for status in running if status.seconds is not None and status.done < 1
    ]
    if not running or not lengths:
        return None
    mean = sum(lengths) / len(lengths)
    work = sum(mean * (1 - status.done) if status.seconds is None else status.seconds for status in running)
    work += sum(mean * (1 - status.done) for status in statuses if status.state in ("queued", "stopped", "waiting"))
    return max(work / len(running), max((status.seconds or 0.0 for status in running), default=0.0))


def status_lines(sweep: SweepFolder, statuses: Sequence[Status]) -> list[str]:
    """One line for each run, then the counts."""
    labels = sweep.labels([status.run for status in statuses])
    rows = [
        (status.state, f"{status.done:.0%}", _duration(status), label, status.words, str(status.run.path))
        for status, label in zip(statuses, labels, strict=True)
    ]
    widths = [max(len(row[k]) for row in rows) for k in range(5)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)).rstrip() for row in rows
    ]
    counts = Counter(status.state for status in statuses)
    told = ", ".join(f"{counts[state]} {state}" for state in counts)
    left = time_left(statuses)
    return [
        *lines,
        "",
        f"{counted(len(statuses))}: {told}." + (f" About {clock(left)} left." if left is not None else ""),
    ]


def clock(seconds: float) -> str:
    """1:05:09, as a clock shows it."""
    return str(datetime.timedelta(seconds=round(seconds)))


def _duration(status: Status) -> str:
    if status.seconds is None:
        return ""
    return clock(status.seconds) + (" left" if status.state == "running" else "")


def _done(records: Sequence[dict[str, Any]], run: SweepRun) -> float:
    """The share of the run's duration that has passed at its last record; 0 for a duration that is not valid."""
    if not records or not records[-1]["epoch"]:
        return 0.0
    step, epoch = records[-1]["step"], records[-1]["epoch"]
    try:
        duration = run.setting("trainer.duration")
        length = RunLength.of(duration, path="trainer.duration", steps_per_epoch=round(step / epoch))
    except UserError:
        return 0.0
    return min(1.0, step / length.total_steps)


def _left(run: SweepRun, records: Sequence[dict[str, Any]], done: float) -> float | None:
    """Seconds that are left at the pace since this session began, evaluations and start-up included."""
    try:
        session = read_json(run.folder.environment)["sessions"][-1]
        begun = datetime.datetime.fromisoformat(session["started"]).timestamp()
        seconds = run.folder.metrics.stat().st_mtime - begun
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return None
    if not records or done <= 0 or records[-1]["step"] <= session["step"] or seconds <= 0:
        return None
    here = done * (1 - session["step"] / records[-1]["step"])  # the share that this session has done
    return seconds * (1 - done) / here


def _asked(run: SweepRun) -> str | None:
    """The number that says which weights of the run are best, where its command names one."""
    return run.setting("trainer.best_metric")


def _last_validation(records: Sequence[dict[str, Any]], asked: str | None = None) -> str:
    """The result of the last evaluation on the validation images; a number that was not finite is None in the records."""
    parts = ({name.removeprefix("validation/"): value for name, value in record.items()
              if name.startswith("validation/") and value is not None} for record in reversed(records))  # fmt: skip
    last = next((numbers for numbers in parts if numbers), None)
    return f"validation {headline(last, asked=asked)}" if last else ""
