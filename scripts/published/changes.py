"""What runs change of their row's command, as overrides -> the row's own value: in short, in full, and in which order."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

DURATION = "trainer.duration"
_OF_A_SCHEDULE = (DURATION, "trainer.evaluate_every", "schedule")
_OF_A_MACHINE = ("trainer.precision", "model.frontend.engine")
_QUOTED = set(' ,[](){}*;&|<>$"')
_LETTERS = 40  # of a row's value: a longer one is a list, of which the first entries say enough


def key(override: str) -> str:
    """The setting's name."""
    return override.strip("'").partition("=")[0]


def of_a_schedule(override: str) -> bool:
    """Whether it says how long, or with which learning rate when."""
    return key(override) in _OF_A_SCHEDULE or key(override).startswith("schedule.")


def of_a_machine(override: str) -> bool:
    """Whether it says how the same thing is computed: a shorter schedule on a smaller machine may do it otherwise."""
    return key(override) in _OF_A_MACHINE


def quoted(override: str) -> str:
    """key=value as a shell takes it: trainer.duration='20 epochs'."""
    name, equals, value = override.partition("=")
    return f"{name}{equals}'{value}'" if set(value) & _QUOTED else override


def duration(words: str) -> tuple[float, str]:
    """Number and unit, steps or epochs, of what may be written 20 epochs, 20ep or 1 step."""
    number, unit = re.match(r"\s*([\d.]+)\s*(\w)", words).groups()
    return float(number), "epochs" if unit == "e" else "steps"


def in_short(changes: Mapping[str, str]) -> tuple[str, ...]:
    """A name for a line or a curve, in parts: k=2, 300 epochs, other schedule, precision=bf16."""
    others = [change for change in changes if not of_a_schedule(change)]
    return (
        *(_short(change, changes) for change in others if not of_a_machine(change)),
        *([] if _wanted_duration(changes) is None else [_number_of(_value(_of_duration(changes)))]),
        *(["other schedule"] if any(key(change).startswith("schedule") for change in changes) else []),
        *(_short(change, changes) for change in others if of_a_machine(change)),
    )


def beside_the_row_s(changes: Mapping[str, str]) -> tuple[str, ...]:
    """The same, but the duration together with the row's own: 300 of 20,000 epochs."""
    wanted = _wanted_duration(changes)
    if wanted is None:
        return in_short(changes)
    made = _value(_of_duration(changes))
    words = f"{_number_of(made)} instead of {_number_of(wanted)}"
    if duration(made)[1] == duration(wanted)[1]:
        words = f"{duration(made)[0]:,.10g} of {_number_of(wanted)}"
    return tuple(words if part == _number_of(made) else part for part in in_short(changes))


def in_full(changes: Mapping[str, str]) -> str:
    """Every override, and what the row has instead, as Markdown."""
    return "; ".join(f"`{change}` instead of {_cut(wanted)}" for change, wanted in changes.items())


def place(changes: Mapping[str, str]) -> tuple:
    """By what the lines of a row are sorted: what changes the network or its training first by how much, then by duration."""
    own = [change for change in changes if not of_a_schedule(change) and not of_a_machine(change)]
    length = -1.0 if _wanted_duration(changes) is None else duration(_value(_of_duration(changes)))[0]
    return len(own), own, length, len(changes), list(changes)


def _short(change: str, changes: Mapping[str, str]) -> str:
    """The last part of the name, where no other change has the same."""
    name = key(change)
    last = re.split(r"[./]", name)[-1]
    twins = [other for other in changes if re.split(r"[./]", key(other))[-1] == last]
    return f"{last if len(twins) == 1 else name}={_value(change)}"


def _value(override: str) -> str:
    return override.partition("=")[2].strip("'")


def _of_duration(changes: Mapping[str, str]) -> str:
    return next(change for change in changes if key(change) == DURATION)


def _wanted_duration(changes: Mapping[str, str]) -> str | None:
    """The row's own; None where it is not changed."""
    return next((wanted for change, wanted in changes.items() if key(change) == DURATION), None)


def _number_of(words: str) -> str:
    """4,800 epochs; 1 step."""
    number, unit = duration(words)
    return f"{number:,.10g} {unit.removesuffix('s') if number == 1 else unit}"


def _cut(value: str) -> str:
    if len(value) <= _LETTERS or not value.startswith("["):
        return value
    first: Sequence[str] = value[1:-1].split(",")
    return f"[{','.join(first[:2])}, … {len(first)} in all]"
