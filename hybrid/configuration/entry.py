"""How a command starts: Hydra composes its configuration, and a user's mistake is one line and exit code 2.

@main()
def train(cfg): ...

if __name__ == "__main__":
    train()
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from hybrid.configuration.composition import compose, composing, in_one_line, with_choices
from hybrid.configuration.help import print_help
from hybrid.configuration.hydra_arguments import (
    choosable_groups,
    is_sweep,
    read_whole,
    refuse_cluster,
    refuse_deletions,
    refuse_flags,
    refuse_many_processes,
)
from hybrid.configuration.paths import CONFIGS
from hybrid.distributed.launch import Launch
from hybrid.errors import PeerLost, Stopped, UserError
from hybrid.streams import discard, is_patient, outliving_readers
from hybrid.version import __version__

USER_ERROR, INTERRUPTED = 2, 130
_LET_SPEAK = 2.0  # seconds


def main(
    config_name: str = "train", *, sweep: Callable[[Sequence[str]], Any] | None = None
) -> Callable[[Callable[[DictConfig], Any]], Callable[[], None]]:
    """Decorate a script's function(cfg): the result takes no arguments, reads sys.argv and ends the process.

    `--from FILE` takes the configuration whole from a file, such as a run's config.yaml, instead of composing one. `sweep`
    is called with the other arguments for `-m`; without it Hydra runs the combinations one after the other. A command whose
    output nobody reads any more, as after `| head`, goes on in silence.

    Exit codes: 0; 2 for a user's mistake (one line on stderr); 130 after Ctrl-C, 143 after SIGTERM, 138 after SIGUSR1;
    what the function raises as SystemExit; 1, with the traceback, for anything unforeseen. HYBRID_TRACEBACK=1 shows the
    traceback of a user's mistake too.
    """

    def decorate(task: Callable[[DictConfig], Any]) -> Callable[[], None]:
        @functools.wraps(task)
        def command() -> None:
            with outliving_readers():
                sys.exit(_start(task, sys.argv[1:], config_name, sweep))

        return command

    return decorate


def _start(
    task: Callable[[DictConfig], Any],
    arguments: Sequence[str],
    config_name: str,
    sweep: Callable[[Sequence[str]], Any] | None,
) -> int:
    """Do what the arguments ask for; the exit code."""
    if "--version" in arguments:
        return guarded(lambda: print(f"hybrid {__version__}"))
    if any(flag in ("--help", "-h") for flag in arguments):
        overrides = [text for text in arguments if not text.startswith("-")]
        action = functools.partial(_explain_all, task, overrides, config_name)
        return guarded(action, overrides=overrides, config_name=config_name)
    if arguments[:1] == ["--from"]:
        return guarded(lambda: task(read_whole(arguments[1:], config_name)))
    several = is_sweep(arguments)
    others = [text for text in arguments if text not in ("-m", "--multirun")]

    def act() -> None:
        if several:
            refuse_many_processes()
        refuse_flags(arguments)
        refuse_deletions(arguments, config_name)
        if several and sweep is not None:
            sweep(others)
            return
        if sweep is not None:
            refuse_cluster(arguments)
        if several:
            sys.argv[1:] = ["-m", *others]  # Hydra knows it only in front
        _run_hydra(task, config_name)

    return guarded(act, overrides=others, config_name=config_name)


def _explain_all(task: Callable[[DictConfig], Any], overrides: Sequence[str], config_name: str) -> None:
    document = sys.modules[task.__module__].__doc__ or ""
    choices = compose(overrides, config_name=config_name).choices
    print_help(document, CONFIGS, config_name, choices, groups=choosable_groups(config_name))


def guarded(action: Callable[[], Any], *, overrides: Sequence[str] = (), config_name: str = "train") -> int:
    """Run a command's action; print a user's mistake as one line, and a warning too; return the exit code.

    A user's own classes, named in a yaml, are found in the current folder and beside train.py.
    """
    sys.path += [os.getcwd(), str(CONFIGS.parent)]
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            action()
    except KeyboardInterrupt as interrupt:
        _say(str(interrupt) or "stopped")
        return INTERRUPTED
    except BrokenPipeError:
        if is_patient() or sys.stdout is None:  # then it is another pipe that broke
            raise
        discard(sys.stdout)  # the reader, such as `head`, has seen enough
        return 0
    except MemoryError as error:
        _say(f"error: not enough memory: {error}")
        return USER_ERROR
    except Stopped as stopped:
        _say(str(stopped))
        return stopped.exit_code
    except PeerLost as lost:
        _say(f"error: {lost}; the same command continues from the last checkpoint", speaker=lost.speaker)
        return lost.exit_code
    except (UserError, HydraException, OmegaConfBaseException) as error:
        if os.environ.get("HYBRID_TRACEBACK") == "1":
            traceback.print_exc()
        _say(f"error: {in_one_line(error, overrides, config_name=config_name)}")
        return USER_ERROR
    except OSError as error:  # a folder that cannot be written, a full disk; after Hydra's, some of which are OSErrors
        if error.filename is None:
            raise
        _say(f"error: {error.filename}: {error.strerror}")
        return USER_ERROR
    return 0


def _say(text: str, *, speaker: int = 0) -> None:
    """One line to the user; of the processes of a distributed run, one alone says it.

    torchrun ends all processes as soon as one has ended, so the others let it speak first.
    """
    if _rank() == speaker:
        print(text, file=sys.stderr, flush=True)
    else:
        time.sleep(_LET_SPEAK)


def _rank() -> int:
    with contextlib.suppress(UserError):  # of incomplete variables: training says it
        return Launch.read().rank
    return 0


def _run_hydra(task: Callable[[DictConfig], Any], config_name: str) -> None:
    failures: list[Exception] = []

    @functools.wraps(task)
    def job(cfg: DictConfig) -> Any:
        if any(isinstance(failure, Stopped) for failure in failures):
            return None  # a sweep that was asked to stop begins no further run
        try:
            return task(with_choices(cfg, HydraConfig.get().runtime.choices))
        except Exception as error:  # kept from Hydra, which would announce it in its own words
            failures.append(error)
            if HydraConfig.get().mode == RunMode.MULTIRUN and not isinstance(error, Stopped):
                _report_job(HydraConfig.get().overrides.task, error)

    os.environ["HYDRA_FULL_ERROR"] = "1"  # let errors of the composition through instead of printing them
    with composing():
        hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=config_name)(job)()
    stops = [failure for failure in failures if isinstance(failure, Stopped)]
    if stops:
        raise stops[0]
    if len(failures) > 1:
        raise UserError(f"{len(failures)} runs of the sweep failed.")
    if failures:
        raise failures[0]


def _report_job(overrides: Sequence[str], error: Exception) -> None:
    """A failed run of a sweep, which goes on: its overrides, and the error in one line or, if it is unforeseen, whole."""
    if not isinstance(error, UserError):
        traceback.print_exception(error)
    print(f"failed: {' '.join(overrides)}: {error}", file=sys.stderr)


def _show_warning(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
    """Our own warnings are meant for the user: one line without the place in the code. Others keep it."""
    if _rank():
        return
    where = "" if category is UserWarning else f" ({category.__name__}, {':'.join(str(part) for part in place[:2])})"
    print(f"warning: {' '.join(str(message).split())}{where}", file=sys.stderr)
