"""How `fuzz.py` judges a try: right, one line, a traceback, or a wrong result; and its counts."""

from __future__ import annotations

import contextlib
import io
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hybrid.commands.evaluate import evaluate
from hybrid.configuration.composition import compose
from hybrid.configuration.entry import guarded
from hybrid.training import run as training

ALWAYS_RIGHT, LINE, TRACEBACK, WRONG = "right", "one line", "traceback", "wrong"


@dataclass
class Fuzzer:
    """A folder to work in, a finished run in it, and the counts so far."""

    folder: Path
    random: random.Random
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    odd: list[str] = field(default_factory=list)

    def note(self, kind: str, name: str, result: str, said: str = "") -> None:
        self.counts.setdefault(kind, Counter())[result] += 1
        if result in (TRACEBACK, WRONG):
            self.odd.append(f"{kind}: {name}: {result}: {said.strip()[-400:]}")

    def judged(self, kind: str, name: str, code: int, said: str) -> None:
        """Note a command that ended with this code, having said this on stderr."""
        errors = [line for line in said.splitlines() if line and not line.startswith("warning: ")]
        if code == 0:
            self.note(kind, name, ALWAYS_RIGHT)
        elif code == 2 and len(errors) == 1:
            self.note(kind, name, LINE)
        else:
            self.note(kind, name, TRACEBACK, said)

    def starts(self, kind: str, overrides: list[str], folders: tuple[str, ...] = ()) -> None:
        """Start a run of these overrides, which trains not at all."""
        full = [f"run.root={self.folder / 'none'}", *overrides]
        code, said = caught(lambda: guarded(lambda: training.run(compose(full)), overrides=full, folders=folders))
        self.judged(kind, " ".join(overrides), code, said)
        if list((self.folder / "none").rglob("*.pt")):
            self.note(kind, " ".join(overrides), WRONG, "a checkpoint was written")

    def evaluated(self, kind: str, name: str, run: Path, expected: str) -> None:
        """Evaluate a run; a result that differs without a word is wrong."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            code, said = caught(lambda: evaluate([f"run={run}"]))
        if code == 0 and numbers_in(out.getvalue()) != expected and not said:
            self.note(kind, name, WRONG, out.getvalue())
        else:
            self.judged(kind, name, code, said)


def caught(action: Callable[[], int | None]) -> tuple[int, str]:
    """The exit code of an action and what it says on stderr; 1 and the error for one that raises."""
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors):
        try:
            return action() or 0, errors.getvalue()
        except SystemExit as end:
            return int(end.code or 0), errors.getvalue()
        except Exception as error:
            return 1, f"{errors.getvalue()}{type(error).__name__}: {error}"


def numbers_in(text: str) -> str:
    """The words of an evaluation without the place of the run."""
    return " ".join(word for word in text.split() if "/" not in word)
