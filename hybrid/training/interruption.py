"""A signal sets a flag; between two steps the trainer looks at it, writes a checkpoint and leaves: all ranks at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from hybrid import distributed
from hybrid.data.file_loader import is_stalled
from hybrid.errors import StoppedAtOnce, same_command
from hybrid.training import checkpoint


class Interruption:
    """A context in which the first SIGINT, SIGTERM, SIGUSR1 or SIGHUP only sets `signal`.

    A second Ctrl-C raises StoppedAtOnce, and so does any signal while the loader waits for workers that give nothing.
    A third signal ends the process, whatever it is waiting for. SIGHUP stays
    ignored where it was, as after `nohup`.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._count = 0
        self._before: dict[int, object] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
                if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._count += 1
        if self._count > 2:
            os._exit(128 + number)
        if is_stalled() or (self.signal is not None and number == signal.SIGINT):
            raise StoppedAtOnce("stopped", 128 + number)
        self.signal = signal.Signals(number)


def stopped_at_once(checkpoints: Path, interrupt: KeyboardInterrupt) -> StoppedAtOnce:
    """What a signal that did not wait for a checkpoint tells the user: from where the run of these checkpoints goes on."""
    words = "stopped before the first checkpoint; the same command begins again"
    if checkpoint.present(checkpoints):
        words = f"stopped at once; {same_command()} continues from the last checkpoint"
    return StoppedAtOnce(words, getattr(interrupt, "exit_code", 128 + signal.SIGINT))


class StopVote:
    """All ranks stop at the same step, whichever of them got the signal.

    The votes of a step are counted while the next one runs, so nobody waits for them: the ranks stop one step later than a
    process alone, which stops at once.
    """

    def __init__(self, interruption: Interruption) -> None:
        self._interruption = interruption
        self._count: Callable[[], int] = lambda: 0

    def asked(self) -> bool:
        """Whether this rank has got a signal, or knows of another that has: not yet an agreement, as some know it earlier."""
        return distributed.heard("stop", say=self._interruption.signal is not None)

    def agree(self, *, last: bool = False) -> signal.Signals | None:
        """The signal that all ranks stop for, if any; all of them call this after every step.

        last: wait for the votes of this very step, as there is no next one.
        """
        number = self._interruption.signal
        if distributed.size() == 1:
            return number
        agreed = self._count()
        if not agreed:
            self._count = distributed.max_later(int(number or 0))
            agreed = self._count() if last else 0
        return signal.Signals(agreed) if agreed else None
