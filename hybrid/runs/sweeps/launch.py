"""`hybrid train -m …`: compose every run, note them in the sweep's folder, run those that are not finished, report."""

from __future__ import annotations

import contextlib
import shlex
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from hybrid.configuration import build_record
from hybrid.configuration.combinations import parse_overrides
from hybrid.configuration.composition import compose
from hybrid.errors import UserError, unknown_name
from hybrid.escaping import say
from hybrid.runs.sweeps.folder import SweepFolder, SweepRun, counted
from hybrid.runs.sweeps.local import LocalPool
from hybrid.runs.sweeps.plan import Planned, plan_runs
from hybrid.runs.sweeps.settings import LocalSettings, SlurmSettings

_RECORDS = {"local": LocalSettings, "slurm": SlurmSettings}
_MOST = 100  # the largest exit code that counts failures


def launch(arguments: Sequence[str]) -> None:
    """Run a sweep. Ends the process with the number of unfinished runs (at most 100) as exit code, if there are any.

    Raises UserError, before anything is written, if a run cannot be composed; SystemExit with 130 or 143 after a signal.
    """
    cluster = [text for text in arguments if _key(text).split(".")[0] == "cluster"]
    settings = cluster_settings(cluster)
    with contextlib.ExitStack() as stack:
        pool = LocalPool(settings) if isinstance(settings, LocalSettings) else None

        def several(run: Planned) -> None:  # torch is loaded while the others are composed
            if pool is not None and not run.folder.finished:
                pool.jobs.warm_up()
                stack.callback(pool.jobs.close)

        runs = plan_runs(_training_arguments(arguments, cluster), several=several)
        sweep = SweepFolder.of(runs, name=settings.name)
        sweep.lock()
        stack.callback(sweep.unlock)
        sweep.write(runs, command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]))
        code = _launch(sweep, runs, settings if pool is None else pool)
    if code:
        raise SystemExit(code)


def cluster_settings(overrides: Sequence[str]) -> LocalSettings | SlurmSettings:
    """The settings that these overrides of `cluster` give. Raises UserError for a sweep over them."""
    if swept := [override.input_line for override in parse_overrides(overrides) if override.is_sweep_override()]:
        raise UserError(f"{swept[0]}: cluster says where the runs run, once for all of them.")
    config = compose(overrides, config_name="sweep").cluster
    if config.get("where") not in _RECORDS:
        raise unknown_name(str(config.get("where")), _RECORDS, what="cluster.where")
    return build_record(_RECORDS[config.where], config, path="cluster")


def _key(argument: str) -> str:
    return argument.lstrip("+~").split("=")[0]


def _training_arguments(arguments: Sequence[str], cluster: Sequence[str]) -> list[str]:
    for text in arguments:
        if text.startswith("-"):
            raise UserError(f"{text} cannot be combined with -m.")
        if _key(text).split(".")[0].split("/")[0] == "hydra":
            raise UserError(f"{text} has no effect on a sweep: cluster=local or cluster=slurm says where its runs run.")
    return [text for text in arguments if text not in cluster]


def _launch(sweep: SweepFolder, planned: Sequence[Planned], place: LocalPool | SlurmSettings) -> int:
    runs = sweep.runs()
    busy = [run for run in runs if not run.folder.finished and run.in_use]
    waiting = [run for run in runs if not run.folder.finished and run not in busy]
    if isinstance(place, SlurmSettings):
        from hybrid.runs.sweeps.slurm import not_in_queue, run_on_slurm

        unfinished = [*busy, *waiting]
        waiting = not_in_queue(sweep, unfinished)  # which says so where there is no SLURM, before anything else is said
        _announce(sweep, finished=len(runs) - len(unfinished))
        if len(waiting) < len(unfinished):
            print(f"{counted(len(unfinished) - len(waiting))} in the queue or running already", flush=True)
        _submit(sweep, planned, waiting)
        return run_on_slurm(sweep, waiting, place, report=_report)
    _announce(sweep, finished=len(runs) - len(busy) - len(waiting))
    for run in busy:
        warnings.warn(f"another process is working on {run.path}: it is left alone.", stacklevel=2)
    _submit(sweep, planned, waiting)
    with place as pool:
        for count, (run, outcome) in enumerate(pool.run(waiting), start=1):
            say(f"[{count}/{len(waiting)}] {outcome.state}: {sweep.label(run)}: {outcome.words}")
    return _report(sweep, interrupted=int(pool.signal or 0))


def _announce(sweep: SweepFolder, *, finished: int) -> None:
    count = len(sweep.runs())
    state = "finished already" if finished else "not finished yet"
    if count > 1:
        state = f"{finished or 'none'} of them finished already"
    say(f"{counted(count)}, {state}", sweep.path)


def _submit(sweep: SweepFolder, planned: Sequence[Planned], runs: Sequence[SweepRun]) -> None:
    names = {run.name for run in runs}
    sweep.submit([run for run in planned if run.name in names])


def _report(sweep: SweepFolder, *, interrupted: int = 0) -> int:
    """Print the closing lines; return the exit code."""
    runs = sweep.runs()
    missing = [run for run in runs if not run.folder.finished]
    if not missing:
        words = f"all {len(runs)} runs are finished" if len(runs) > 1 else "the run is finished"
        say(f"{words}: {_command('report', sweep)}")
        return 0
    failed = sum(run.folder.error.is_file() for run in missing)
    if len(runs) > 1:
        words = f"{len(missing)} of {len(runs)} runs are not finished, {failed} of them failed"
    else:
        words = "the run failed" if failed else "the run is not finished"
    words += f"; the same command tries again: {_command('sweep-status', sweep)}"
    say(words, file=sys.stderr)
    if interrupted:
        return 128 + interrupted
    return min(len(missing), _MOST)


def _command(name: str, sweep: SweepFolder) -> str:
    """A command about the sweep, to be typed into a shell."""
    return shlex.join(["hybrid", name, f"sweep={sweep.path}"])
