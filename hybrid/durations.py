"""Durations carry their unit: "20 epochs", "500 steps", "30%" of the run. One place reads them; a leaf without torch."""

from __future__ import annotations

import re

from hybrid.errors import UserError

Duration = str | int | float  # as written: a number alone is admitted here so that the error can ask for its unit

_FORM = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(epochs?|ep|steps?|%)\s*")


def in_one_spelling(text: str) -> str:
    """The spelling for all ways to write a duration: "20epoch", "20 ep" -> "20 epochs", "1 steps" -> "1 step", "30 %" -> "30%".

    What is no duration comes back as it is.
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


def in_steps(text: Duration, *, path: str, steps_per_epoch: int, total_steps: int | None = None) -> int:
    """The whole number of steps that a duration stands for, rounded to the nearest.

    Args:
        text: a number and a unit: epochs (or ep), steps, or % of the run.
        path: where it stands in the configuration, for errors.
        steps_per_epoch: updates of the weights in one epoch.
        total_steps: the length of the run; None where a percentage makes no sense.
    """
    match = _FORM.fullmatch(str(text))
    if match is None:
        raise UserError(f"{path}={text}: a duration is a number and a unit, such as '20 epochs', '500 steps' or '30%'.")
    number, unit = float(match[1]), match[2]
    if unit == "%":
        if total_steps is None or number > 100:
            raise UserError(f"{path}={text}: a percentage of the run, 0 to 100, is valid only for parts of it.")
        return round(number / 100 * total_steps)
    return round(number * steps_per_epoch) if unit.startswith("ep") else round(number)


def run_length(text: Duration, *, path: str, steps_per_epoch: int) -> int:
    """The steps of the whole run; at least one."""
    steps = in_steps(text, path=path, steps_per_epoch=steps_per_epoch)
    if steps < 1:
        raise UserError(f"{path}={text} is shorter than one step (an epoch has {steps_per_epoch}).")
    return steps


def interval(text: Duration, *, path: str, steps_per_epoch: int, total_steps: int) -> int:
    """The steps between two events; at least one, also where the duration is shorter than a step."""
    steps = in_steps(text, path=path, steps_per_epoch=steps_per_epoch, total_steps=total_steps)
    if not re.search("[1-9]", str(text)):
        raise UserError(f"{path}={text}: an interval is longer than nothing.")
    return max(1, steps)


def in_seconds(text: Duration | None, *, path: str) -> float:
    """The seconds that a time stands for: a number above 0 and a unit, seconds (s) or minutes (min)."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(seconds?|s|minutes?|min)\s*", str(text))
    if match is None or float(match[1]) == 0:
        raise UserError(f"{path}={text}: a time is a number above 0 and a unit, such as '30 seconds' or '2 minutes'.")
    return float(match[1]) * (60 if match[2].startswith("m") else 1)
