"""Durations carry their unit: "20 epochs", "500 steps", "30%" of the run. They are read here alone; a leaf without torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

from hybrid.errors import UserError

# A duration as a configuration has it. Numbers are admitted, so that the error can ask for their unit.
Written = str | int | float

_FORM = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(epochs?|ep|steps?|%)\s*")
_LARGEST = 1e12  # epochs or steps
_LONGEST = 500_000  # of a unit: about a year of minutes
_UNITS: dict[str, Literal["epochs", "steps", "%"]] = {"e": "epochs", "s": "steps", "%": "%"}


class Duration(NamedTuple):
    """A number and its unit, as they stand at `path` of a configuration; a `RunLength` makes steps of it."""

    number: float
    unit: Literal["epochs", "steps", "%"]
    text: str
    path: str

    @classmethod
    def read(cls, text: Duration | Written, *, path: str) -> Duration:
        """The duration that a text stands for. Raises UserError, naming `path`, for anything without a unit.

        A Duration comes back as it is, and so does its own path.
        """
        if isinstance(text, Duration):
            return text
        match = _FORM.fullmatch(str(text))
        if match is None:
            raise UserError(
                f"{path}={text}: a duration is a number and a unit, such as '20 epochs', '500 steps' or '30%'."
            )
        duration = cls(float(match[1]), _UNITS[match[2][0]], str(text), path)
        if duration.number > _LARGEST:
            raise duration.refused(f"a duration is at most {_LARGEST:g} epochs or steps")
        if duration.unit == "%" and duration.number > 100:
            raise duration.refused("a percentage of the run, 0 to 100, is valid only for parts of it")
        return duration

    def refused(self, reason: str) -> UserError:
        """The error for this duration."""
        return UserError(f"{self.path}={self.text}: {reason}.")


@dataclass(frozen=True)
class RunLength:
    """The length of a run: the steps (updates of the weights) of one epoch, and of the whole run."""

    steps_per_epoch: int
    total_steps: int

    @classmethod
    def of(cls, text: Duration | Written, *, steps_per_epoch: int, path: str = "duration") -> RunLength:
        """The length of a run that lasts for this duration. Raises UserError for a percentage, and for less than a step."""
        duration = Duration.read(text, path=path)
        if duration.unit == "%":
            raise duration.refused("a percentage of the run, 0 to 100, is valid only for parts of it")
        total = _rounded(duration, steps_per_epoch)
        if total < 1:
            raise UserError(
                f"{duration.path}={duration.text} is shorter than one step (an epoch has {steps_per_epoch})."
            )
        return cls(steps_per_epoch, total)

    @property
    def epochs(self) -> float:
        """The length in epochs."""
        return self.total_steps / self.steps_per_epoch

    def steps(self, text: Duration | Written, *, path: str = "duration") -> int:
        """The whole number of steps that a duration stands for in this run, rounded to the nearest.

        path: where the text stands in the configuration, for errors.
        """
        duration = Duration.read(text, path=path)
        if duration.unit == "%":
            return round(duration.number / 100 * self.total_steps)
        return _rounded(duration, self.steps_per_epoch)

    def every(self, text: Duration | Written, *, path: str = "duration") -> int:
        """The steps between two events; at least one, also where the duration is shorter than a step."""
        duration = Duration.read(text, path=path)
        if duration.number == 0:
            raise duration.refused("an interval is longer than nothing")
        return max(1, self.steps(duration))


def in_one_spelling(text: str) -> str:
    """One spelling for all ways to write a duration: "20epoch", "20 ep" -> "20 epochs", "1 steps" -> "1 step", "30 %" -> "30%".

    Any other text comes back as it is.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        return text
    whole, _, fraction = match[1].partition(".")
    number = ".".join(part for part in (whole.lstrip("0") or "0", fraction.rstrip("0")) if part)
    if match[2] == "%":
        return f"{number}%"
    unit = "epoch" if match[2].startswith("ep") else "step"
    return f"{number} {unit}" if number == "1" else f"{number} {unit}s"


def in_seconds(text: str | int | float | None, *, path: str) -> float:
    """The seconds that a time stands for: a number above 0 and a unit, seconds (s) or minutes (min)."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(seconds?|s|minutes?|min)\s*", str(text))
    if match is None or not 0 < float(match[1]) <= _LONGEST:
        raise UserError(
            f"{path}={text}: a time is a number above 0 and a unit, below a year: '30 seconds' or '2 minutes'."
        )
    return float(match[1]) * (60 if match[2].startswith("m") else 1)


def _rounded(duration: Duration, steps_per_epoch: int) -> int:
    return round(duration.number * steps_per_epoch if duration.unit == "epochs" else duration.number)
