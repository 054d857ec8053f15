"""A sweep as one job array of SLURM, submitted through submitit.

hydra-submitit-launcher, which uses submitit too, is not used: it composes a run on the node when its turn comes, so that an
edit meanwhile changes the run; it stops waiting for all jobs when one dies; and it requeues before the run can write its
checkpoint.
"""

from __future__ import annotations

import contextlib
import getpass
import io
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import Any, NamedTuple

from hybrid.configuration.paths import VARIABLE, named_folders
from hybrid.errors import UserError
from hybrid.escaping import say
from hybrid.runs.sweeps.folder import SweepFolder, SweepRun, counted
from hybrid.runs.sweeps.job import Job, Outcome, import_path
from hybrid.runs.sweeps.settings import SlurmSettings

_PAUSE = 2.0  # seconds between two questions to the controller
_PATIENCE = 300.0  # seconds for which one that is away is asked again
_SAY_AFTER = 60.0  # seconds in which no run has begun
_AWAY = ("Unable to contact", "Socket timed out", "Connection refused", "Transport endpoint", "Zero Bytes")
_AWAY += ("Unexpected message received for job",)  # of scontrol requeue, SLURM 22.05
_COMMANDS = ("sbatch", "srun", "scontrol", "squeue", "scancel")
_GOES_ON = ("RUNNING", "PREEMPTED")  # states of a job that nobody has cancelled


def not_in_queue(sweep: SweepFolder, runs: Sequence[SweepRun]) -> list[SweepRun]:
    """The runs that no process works on and that are not in SLURM's queue.

    Raises UserError where a job of the sweep is in the queue whose number the sweep was never told: it may hold any of them.
    """
    queued = jobs_in_queue(sweep)
    if unknown := sorted(queued.keys() - {run.job for run in sweep.runs()}):
        raise UserError(
            f"cluster=slurm: job {unknown[0]} of this sweep is in the queue, but SLURM's answer to its submission was lost. "
            f"Wait until it ends, or scancel {unknown[0].split('_')[0]}; then the same command submits what is left."
        )
    return [run for run in runs if run.job not in queued and not run.in_use]


def run_on_slurm(
    sweep: SweepFolder, runs: Sequence[SweepRun], settings: SlurmSettings, *, report: Callable[[SweepFolder], int]
) -> int:
    """Submit these runs; wait for the whole sweep if the settings say so; return the exit code."""
    if runs:
        jobs = submit(sweep, runs, settings)
        sweep.note_jobs(jobs)
        print(f"submitted: job {min(jobs.values()).split('_')[0]}, {counted(len(runs))}", flush=True)
    if not settings.wait:
        return 0
    try:
        _wait_for(sweep)
    except KeyboardInterrupt:
        print(f"no longer waiting; the jobs go on. To end them: scancel --name={job_name(sweep)}", file=sys.stderr)
        raise
    return report(sweep)


def _wait_for(sweep: SweepFolder) -> None:
    """Wait until no job is in the queue; while none runs, say after a minute, and whenever it changes, what SLURM waits for."""
    said, began = "", time.monotonic()
    while queue := jobs_in_queue(sweep):
        reasons = sorted({job.reason for job in queue.values() if job.state == "PENDING"} - {"", "None"})
        if any(job.state != "PENDING" for job in queue.values()):
            began = time.monotonic()
        elif reasons and time.monotonic() - began > _SAY_AFTER and (words := ", ".join(reasons)) != said:
            say(f"no run has begun; SLURM's reason: {words}")
            said = words
        time.sleep(_PAUSE)


def submit(sweep: SweepFolder, runs: Sequence[SweepRun], settings: SlurmSettings) -> dict[str, str]:
    """Submit one job array. Returns run's name -> job number. Raises UserError if SLURM refuses it."""
    submitit = import_submitit()
    check_commands()
    _check_array(len(runs))
    executor = submitit.AutoExecutor(
        folder=sweep.slurm / "%j", cluster="slurm", slurm_max_num_timeout=settings.requeues
    )
    setup = [*settings.setup, *_variables()]
    executor.update_parameters(name=job_name(sweep), slurm_setup=setup, **settings.sbatch())
    try:
        with contextlib.redirect_stderr(io.StringIO()) as said:  # of a refusal the last line is enough
            jobs = executor.map_array(ArrayTask(), list(runs))
    except submitit.core.utils.FailedJobError as error:
        reason = str(error).strip().splitlines()[-1]
        if any(words in reason for words in _AWAY):  # not asked again: an answer that was lost may have been a yes
            raise UserError(f"SLURM's controller is away ({reason}); the same command submits the sweep.") from error
        raise UserError(f"SLURM refuses the sweep: {reason}") from error
    print(said.getvalue(), end="", file=sys.stderr)
    return {run.name: job.job_id for run, job in zip(runs, jobs, strict=True)}


def check_commands() -> None:
    """Raise UserError, naming them, where commands of SLURM are absent: a login node has all of them."""
    if missing := [name for name in _COMMANDS if shutil.which(name) is None]:
        raise UserError(f"cluster=slurm: there is no {', '.join(missing)} here. Start it on a cluster's login node.")


def _check_array(runs: int) -> None:
    """Raise UserError for more runs than SLURM allows in one job array."""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", _ask("scontrol", "show", "config").stdout, re.MULTILINE)
    if found is not None and runs > int(found[1]):
        raise UserError(
            f"cluster=slurm: the sweep would submit {runs} runs, and a job array of this cluster has at most {found[1]} "
            "(MaxArraySize). Give it in parts, such as seed=0,1 and then seed=2,3."
        )


def _variables() -> list[str]:
    """Lines of shell: where the nodes find hybrid, and the user's own configurations and classes.

    A job begins in the folder of the command, whose classes are found too, but no file there takes a module's place.
    """
    lines = ["export PYTHONSAFEPATH=1"]  # of submitit's process, from Python 3.11 on
    if places := import_path():
        lines.append(f'export PYTHONPATH={shlex.quote(os.pathsep.join(places))}"${{PYTHONPATH:+:$PYTHONPATH}}"')
    if named := named_folders():
        lines.append(f"export {VARIABLE}={shlex.quote(named)}")
    return lines


class QueuedJob(NamedTuple):
    """A job that has not ended: its state (PENDING, RUNNING, …), and why it is pending, in SLURM's word."""

    state: str
    reason: str


def jobs_in_queue(sweep: SweepFolder) -> dict[str, QueuedJob]:
    """The sweep's jobs that have not ended, by their numbers.

    A controller that does not answer is asked again for up to five minutes. Raises UserError if there is no SLURM.
    """
    command = ["squeue", "--noheader", "--array", f"--user={getpass.getuser()}", f"--name={job_name(sweep)}"]
    answer = _ask(*command, "--format=%i %T %r")
    if answer.returncode:
        raise UserError(
            f"cluster=slurm: SLURM did not respond ({_reason(answer)}). Start it on a cluster's login node."
        )
    rows = (line.split(maxsplit=2) for line in answer.stdout.splitlines())
    return {number: QueuedJob(state, "".join(reason)) for number, state, *reason in rows}


def _ask(*command: str) -> subprocess.CompletedProcess[str]:
    """SLURM's answer or refusal. A controller that is away, as during a restart, is asked again for five minutes."""
    until = None
    while True:
        try:
            answer = subprocess.run(command, capture_output=True, text=True)
        except FileNotFoundError:
            raise UserError(
                f"cluster=slurm: there is no {command[0]} here. Start it on a cluster's login node."
            ) from None
        if not answer.returncode or not any(words in answer.stderr for words in _AWAY):
            return answer
        if until is None:
            until = time.monotonic() + _PATIENCE
            words = f"waiting up to {_PATIENCE / 60:g} minutes for SLURM's controller ({_reason(answer)})"
            print(words, file=sys.stderr, flush=True)
        elif time.monotonic() > until:
            return answer
        time.sleep(_PAUSE)


def _reason(answer: subprocess.CompletedProcess[str]) -> str:
    return (answer.stderr.strip().splitlines() or ["no message"])[-1]


def job_name(sweep: SweepFolder) -> str:
    """The name of the sweep's jobs in SLURM."""
    return f"hybrid-{sweep.name}"


def import_submitit() -> Any:
    """The package submitit; UserError, naming the extra that installs it, where it is absent."""
    try:
        import submitit
    except ImportError:
        raise UserError("cluster=slurm needs submitit: pip install 'hybrid-scattering[slurm]'.") from None
    return submitit


class ArrayTask:
    """The task of one job of the array. SLURM starts it once for each process of the run, and again after a requeue.

    It may be stopped early:
    - by SLURM's warning before the time limit: submitit calls `checkpoint`, then requeues;
    - by SIGTERM or SIGUSR1, from a preemption or `scancel --signal`: the run writes its checkpoint and ends, and is requeued
      here unless SLURM does that;
    - by SIGTERM because the user has cancelled the job: it ends.
    A killed run (out of memory, say) is requeued only if it has written a checkpoint since it was started: otherwise it would
    be killed again and again.
    """

    def __init__(self) -> None:
        self._job: Job | None = None

    def __call__(self, run: SweepRun) -> Outcome:
        rank = int(os.environ.get("SLURM_PROCID", 0))
        log = run.log if rank == 0 else run.log.with_suffix(f".rank{rank}.log")
        before = _last_checkpoint(run)
        for number in (signal.SIGTERM, signal.SIGUSR1):  # in place of submitit's, which only notes them
            signal.signal(number, self._pass_on)
        outcome = self._wait(Job(run, environment=_threads(), log=log))
        say(f"{run.name} {outcome.state}: {outcome.words}")
        goes_on = outcome.state == "stopped" or (outcome.state == "killed" and _last_checkpoint(run) != before)
        if goes_on and rank == 0 and _state() in _GOES_ON:
            requeue()
        return outcome

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        if self._job is not None:
            self._job.stop(signal.Signals(number))

    def checkpoint(self, run: SweepRun) -> Any:
        """submitit's hook before it requeues: let the run end with its checkpoint; then the same again."""
        from submitit.helpers import DelayedSubmission

        if self._job is not None:
            self._wait(self._job, stop=True)
        _state()  # submitit asks to requeue only once: wait until the controller answers
        return DelayedSubmission(ArrayTask(), run)

    def _wait(self, job: Job, *, stop: bool = False) -> Outcome:
        self._job = job
        if stop:
            job.stop(signal.SIGTERM)
        while (outcome := job.outcome()) is None:
            time.sleep(0.1)
        return outcome


def requeue() -> None:
    """Put this job back into the queue, and end."""
    number = own_job()
    answer = _ask("scontrol", "requeue", number)
    if answer.returncode > 0:  # below 0: it was ended with the job, which was requeued before it could say so
        warnings.warn(f"job {number} cannot be requeued: {answer.stderr.strip()}", stacklevel=2)
        return
    raise SystemExit(f"requeued as job {number}")


def _threads() -> dict[str, str]:
    """As many threads as the process has cores: on some clusters it sees the cores of other jobs too."""
    cores = os.environ.get("SLURM_CPUS_PER_TASK")
    return {"OMP_NUM_THREADS": cores} if cores and "OMP_NUM_THREADS" not in os.environ else {}


def _last_checkpoint(run: SweepRun) -> int | None:
    """When the last checkpoint was written, in nanoseconds; None if there is none."""
    try:
        return (run.folder.checkpoints / "last.pt").stat().st_mtime_ns
    except OSError:
        return None


def own_job(environment: Mapping[str, str] | None = None) -> str:
    """The number of this job alone, such as "12_3": the bare number of an array's last element names the whole array."""
    variables = os.environ if environment is None else environment
    array, element = variables.get("SLURM_ARRAY_JOB_ID"), variables.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{element}" if array and element else variables.get("SLURM_JOB_ID", "")


def _state() -> str:
    """The state of this job, such as RUNNING. Raises UserError where SLURM describes no job, or several."""
    number = own_job()
    answer = _ask("scontrol", "show", "job", "--oneliner", number)
    states = re.findall(r"\bJobState=(\S+)", answer.stdout)
    if len(states) != 1:
        raise UserError(
            f"scontrol show job {number} describes {len(states)} jobs, not one: {answer.stderr.strip()[:200]}"
        )
    return states[0]
