"""The exceptions that a command answers with one line: the user can mend this; a signal ended this; another process died."""

from __future__ import annotations

import difflib
import errno
import re
import signal
import traceback
from collections.abc import Iterable
from pathlib import Path


class UserError(ValueError):
    """A mistake in a configuration, a file or a command.

    The message is one line that says what is wrong, where, and what is valid. Commands print it without a traceback and
    exit with code 2; library users catch it as the ValueError that it is.
    """


_orders: list[str] = []  # of the run that this process works on


def note_order(order: str | None) -> None:
    """Remember an order of the command, such as run.restart=true, that would not continue the run; None: it has none."""
    _orders[:] = [order] if order else []


def same_command() -> str:
    """The words for the command that continues the run: it is the same, but for an order that would begin again."""
    return "the same command" + "".join(f", without {order}," for order in _orders)


class Stopped(Exception):
    """A signal asked a run to stop, and its checkpoint is written."""

    def __init__(self, number: signal.Signals, step: int) -> None:
        super().__init__(f"stopped by {number.name} at step {step}, checkpoint written; {same_command()} continues")
        self.exit_code = 128 + number


class StoppedAtOnce(KeyboardInterrupt):
    """A signal stopped a run that did not wait for its next checkpoint."""

    def __init__(self, words: str, exit_code: int) -> None:
        super().__init__(words)
        self.exit_code = exit_code


LOST = 75  # exit code where another process died: "try again", as sysexits.h has it


class PeerLost(Exception):
    """Another process of a distributed run failed or died, so this one cannot go on.

    `speaker` is the rank that tells the user; all others end in silence.
    """

    def __init__(self, message: str, *, speaker: int, exit_code: int = LOST) -> None:
        super().__init__(message)
        self.speaker, self.exit_code = speaker, exit_code

    @property
    def line(self) -> str:
        """The line that the user is told."""
        return f"error: {self}; {same_command()} continues from the last checkpoint"


def unknown_name(name: str, valid: Iterable[str], *, what: str) -> UserError:
    """The error for a name that does not exist: it names the closest valid one, then lists all of them.

    `what` says what kind of name it is and where it stands, for example ``key in trainer``.
    """
    valid = sorted(valid)
    close = closest_name(name, valid)
    hint = f" Did you mean {close}?" if close else ""
    return UserError(f"unknown {what}: {name}.{hint} Valid: {', '.join(valid) or 'none'}.")


def closest_name(name: str, valid: Iterable[str]) -> str | None:
    """The valid name that was probably meant: one that ends so, one that is abbreviated, or one spelt alike; None without one."""
    valid = sorted(valid)
    ends = [each for each in valid if each.endswith((f".{name}", f"/{name}"))]
    short = [each for each in valid if _abbreviates(name, each)]
    return next(iter(ends or short or difflib.get_close_matches(name, valid, n=1)), None)


def _abbreviates(name: str, whole: str) -> bool:
    """Whether each word of `name` begins the word of `whole` at its place: bal_acc is balanced_accuracy."""
    short, words = (re.split(r"[._/-]", text.lower()) for text in (name, whole))
    if len(short) != len(words) or len(words) < 2:
        return False
    return all(part and word.startswith(part) for part, word in zip(short, words, strict=True))


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def is_of_the_disk(error: BaseException) -> bool:
    """Whether a disk has refused something: a file that cannot be read or written, or no room for what is printed."""
    return isinstance(error, OSError) and (error.filename is not None or error.errno in _FULL)


def is_one_line(error: BaseException) -> bool:
    """Whether a command answers with one line and exit code 2: a user's mistake, a disk's refusal, no memory left."""
    return isinstance(error, UserError) or is_of_the_disk(error) or is_out_of_memory(error)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: Python's error, NumPy's, torch's of a GPU, or the RuntimeError that torch has for a CPU."""
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))


def memory_words(error: BaseException) -> str:
    """How much memory an error `is_out_of_memory` asked for, as far as it says it, and the function of ours that did."""
    text = str(error)
    asked = re.search(r"(?:[Tt]ried to allocate|Unable to allocate) (\d+(?:\.\d+)?) ?([KMGT]?i?B|bytes)", text)
    amount = f" ({_gib(asked[1], asked[2])} more)" if asked else ""
    ours = [
        frame for frame, _ in traceback.walk_tb(error.__traceback__) if "hybrid" in Path(frame.f_code.co_filename).parts
    ]
    where = f" in {ours[-1].f_code.co_name} ({Path(ours[-1].f_code.co_filename).name})" if ours else ""
    return f"there is not enough memory{amount}{where}"


def _gib(number: str, unit: str) -> str:
    return f"{float(number) / 2**30:.3g} GiB" if unit == "bytes" else f"{number} {unit}"


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or the name of its class where it has no message.

    The message of a UserError is one line: a line break in it is part of a name.
    """
    if isinstance(error, UserError):
        return str(error)
    return (str(error).splitlines() or [type(error).__name__])[0]
