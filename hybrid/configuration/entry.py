"""How a command that composes a configuration starts and ends: a user's mistake is one line and exit code 2.

    @main()
    def train(cfg): ...

`train()` reads sys.argv, `train(["seed=1"])` takes the arguments that it is given; both end the process.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from hybrid.configuration.class_paths import make_importable
from hybrid.configuration.combinations import composing_one_of, expand
from hybrid.configuration.composition import compose, composing, in_one_line, own_hydra
from hybrid.configuration.explain import meant
from hybrid.configuration.help import print_help
from hybrid.configuration.hydra_arguments import (
    config_folders_apart,
    is_display,
    is_sweep,
    read_whole,
    refuse_cluster,
    refuse_deletions,
    refuse_flags,
    refuse_many_processes,
    section_of,
)
from hybrid.configuration.paths import CONFIGS, add_folder, replaced_by_project
from hybrid.distributed.launch import Launch
from hybrid.errors import PeerLost, Stopped, UserError, is_of_the_disk, is_out_of_memory, memory_words
from hybrid.escaping import OneLine, for_terminal
from hybrid.streams import discard, is_patient, outliving_readers, output_lost
from hybrid.version import __version__

USER_ERROR, INTERRUPTED = 2, 130
_LET_SPEAK = 2.0  # seconds

Task = Callable[[DictConfig], Any]
Sweep = Callable[[Sequence[str]], Any]


def main(config_name: str = "train", *, sweep: Sweep | None = None) -> Callable[[Task], Callable[..., NoReturn]]:
    """Decorate a command's function(cfg): the result takes the command's arguments (by default sys.argv's) and ends the process.

    `--from FILE` reads the whole configuration from a file, such as a run's config.yaml, instead of composing one.
    `--config-dir DIR` adds a folder of the user's own configurations. With `-m`, `sweep` is called with the other arguments;
    a command without `sweep` does its task for every combination, one after the other. A command whose output nobody reads
    any more, as after `| head`, goes on in silence.

    Exit codes: 0; 2 for a user's mistake (one line on stderr); 130 after Ctrl-C, 143 after SIGTERM, 138 after SIGUSR1, 129
    after SIGHUP; the code of a SystemExit that the function raises; 1, with the traceback, for anything unforeseen.
    HYBRID_TRACEBACK=1 shows the traceback of a user's mistake too.
    """

    def decorate(task: Task) -> Callable[..., NoReturn]:
        @functools.wraps(task)
        def command(arguments: Sequence[str] | None = None) -> NoReturn:
            given = sys.argv[1:] if arguments is None else list(arguments)
            with outliving_readers():
                code = _Start(task, config_name, sweep).run(given)
                sys.exit(code or USER_ERROR * output_lost())

        return command

    return decorate


class _Start:
    """A command that composes a configuration: its task, the configuration's name, and the function for its sweeps."""

    def __init__(self, task: Task, config_name: str, sweep: Sweep | None) -> None:
        self.task, self.config_name, self.sweep = task, config_name, sweep

    def run(self, arguments: Sequence[str]) -> int:
        """Run the command with these arguments; return the exit code."""
        rest, folders = config_folders_apart(arguments)
        overrides = [text for text in rest if not text.startswith("-")]
        action = functools.partial(self._act, rest, overrides)
        return guarded(action, overrides=overrides, config_name=self.config_name, folders=folders)

    def _act(self, arguments: Sequence[str], overrides: Sequence[str]) -> None:
        if "--version" in arguments:
            print(f"hybrid {__version__}")
        elif any(flag in ("--help", "-h") for flag in arguments):
            self._explain(overrides)
        elif arguments[:1] == ["--from"]:
            self.task(read_whole(arguments[1:], self.config_name))
        elif is_sweep(arguments):
            refuse_many_processes()
            self._refuse(arguments)
            self._many([text for text in arguments if text not in ("-m", "--multirun")])
        else:
            self._refuse(arguments)
            if self.sweep is not None:
                refuse_cluster(arguments)
            if is_display(arguments):
                _display(arguments, self.config_name)
            else:
                self.task(compose(arguments, config_name=self.config_name))

    def _refuse(self, arguments: Sequence[str]) -> None:
        refuse_flags(arguments, lambda name: meant(name, compose(config_name=self.config_name)))
        refuse_deletions(arguments, self.config_name)

    def _explain(self, overrides: Sequence[str]) -> None:
        document = sys.modules[self.task.__module__].__doc__ or ""
        choices = compose(overrides, config_name=self.config_name).choices
        print_help(document, self.config_name, choices)

    def _many(self, arguments: Sequence[str]) -> None:
        """Do every combination of the values. All are composed before the first begins, so that a typo costs nothing."""
        if self.sweep is not None:
            self.sweep(arguments)
            return
        combinations = expand(arguments)
        configurations = []
        for overrides in combinations:
            with composing_one_of(overrides, arguments, config_name=self.config_name):
                configurations.append(compose(overrides, config_name=self.config_name))
        failures = []
        for overrides, cfg in zip(combinations, configurations, strict=True):
            try:
                self.task(cfg)
            except Stopped:
                raise
            except Exception as error:
                failures.append(error)
                _report_failure(overrides, error)
        if len(failures) > 1:
            raise UserError(f"{len(failures)} of {len(combinations)} failed.")
        if failures:
            raise failures[0]


def _display(arguments: Sequence[str], config_name: str) -> None:
    """Let Hydra print the configuration (`--cfg`) or its sources (`--info`); the task is not done."""
    if config_name != "train" and any(section_of(text) == "experiment" for text in arguments):
        raise UserError("experiment=… is composed for training: hybrid train experiment=… --cfg job prints it.")
    sys.argv[1:] = arguments
    os.environ["HYDRA_FULL_ERROR"] = "1"  # let errors of the composition through instead of printing them
    with own_hydra(), composing():
        hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=config_name)(lambda cfg: None)()


def _report_failure(overrides: Sequence[str], error: Exception) -> None:
    """Print the overrides of a failed combination and its error: one line, or the traceback if it was unforeseen."""
    if not isinstance(error, UserError):
        traceback.print_exception(error)
    print(for_terminal(f"failed: {' '.join(overrides)}: {error}"), file=sys.stderr)


def guarded(
    action: Callable[[], Any],
    *,
    overrides: Sequence[str] = (),
    config_name: str = "train",
    folders: Sequence[str] = (),
) -> int:
    """Run a command's action; print a user's mistake, and each warning, as one line; return the exit code.

    `folders` are those of `--config-dir`, in which configurations are looked for first.
    """
    _print_every_name()
    try:
        with warnings.catch_warnings(), _logging_in_one_line():
            warnings.showwarning = _show_warning
            for path in reversed(folders):  # so that the first one comes first
                add_folder(path)
            make_importable()
            _warn_of_replaced()
            action()
            if sys.stdout is not None:
                sys.stdout.flush()  # here, where a full disk is a line
    except KeyboardInterrupt as interrupt:
        _say(str(interrupt) or "stopped")
        return getattr(interrupt, "exit_code", INTERRUPTED)
    except BrokenPipeError:
        if is_patient() or sys.stdout is None:  # then it is another pipe that broke
            raise
        discard(sys.stdout)  # the reader, such as `head`, has seen enough
        return 0
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        if os.environ.get("HYBRID_TRACEBACK") == "1":
            traceback.print_exc()
        _say(f"error: {memory_words(error)}. HYBRID_TRACEBACK=1 shows the calls.")
        return USER_ERROR
    except Stopped as stopped:
        _say(str(stopped))
        return stopped.exit_code
    except PeerLost as lost:
        _say(lost.line, speaker=lost.speaker)
        return lost.exit_code
    except (UserError, HydraException, OmegaConfBaseException, YAMLError) as error:
        if os.environ.get("HYBRID_TRACEBACK") == "1":
            traceback.print_exc()
        _say(f"error: {in_one_line(error, overrides, config_name=config_name)}")
        return USER_ERROR
    except OSError as error:  # a folder that cannot be written, a full disk; after Hydra's, some of which are OSErrors
        if not is_of_the_disk(error):
            raise
        if error.filename is None:
            discard(sys.stdout)  # or Python would complain again when it ends
            _say(f"error: the output cannot be written: {error.strerror}")
            return USER_ERROR
        _say(f"error: {error.filename}: {error.strerror}")
        return USER_ERROR
    return 0


@contextlib.contextmanager
def _logging_in_one_line() -> Iterator[None]:
    """A context in which what is logged, and has no handler of the user's own, is printed as one harmless line each."""
    before = logging.lastResort.formatter
    logging.lastResort.setFormatter(before or OneLine())
    try:
        yield
    finally:
        logging.lastResort.setFormatter(before)


def _print_every_name() -> None:
    """Names of files that are no UTF-8, and letters that a terminal lacks, are printed as they are typed: caf\\udce9."""
    if (change := getattr(sys.stdout, "reconfigure", None)) is not None:
        change(errors="backslashreplace")


def _warn_of_replaced() -> None:
    """Say which of hybrid's own configurations the files of the current project take the place of."""
    if replaced := replaced_by_project():
        warnings.warn(f"in place of hybrid's own: {', '.join(map(str, replaced))}.", stacklevel=2)


def _say(text: str, *, speaker: int = 0) -> None:
    """Print one line. In a distributed run the rank `speaker` alone prints it.

    The other ranks wait, because torchrun ends all processes as soon as one has ended.
    """
    if _rank() == speaker:
        print(for_terminal(text), file=sys.stderr, flush=True)
    else:
        time.sleep(_LET_SPEAK)


def _rank() -> int:
    with contextlib.suppress(UserError):  # of incomplete variables: training says it
        return Launch.read().rank
    return 0


def _show_warning(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
    """Print a warning as one line; a warning of another kind than UserWarning with its place in the code."""
    if _rank():
        return
    where = "" if category is UserWarning else f" ({category.__name__}, {':'.join(str(part) for part in place[:2])})"
    print(for_terminal(f"warning: {' '.join(str(message).split())}{where}"), file=sys.stderr)
