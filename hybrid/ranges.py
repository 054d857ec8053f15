"""The range of a number, written beside its type; a leaf without torch.

    dropout: Annotated[float, Range(0, 1, below=True)] = 0.0
    hidden: Annotated[tuple[int, ...], Range(1, 1_000_000)] = ()

A range holds for every number within the value, in lists and sections too. `hybrid.configuration` compares a configuration
with the annotations of the constructor that it calls; a dataclass that Python users make themselves calls `check_ranges`.
NaN and infinity lie in no range.
"""

from __future__ import annotations

import functools
import math
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from hybrid.errors import UserError


class OutOfRange(ValueError):
    """A number outside its range. The message begins with the value, so that a name and "=" stand before it."""


@dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`; with `above` without `low` itself, with `below` without `high`."""

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False

    def __contains__(self, number: float) -> bool:
        if not math.isfinite(number) or not self.low <= number <= self.high:
            return False
        return not (self.above and number == self.low or self.below and number == self.high)

    def __str__(self) -> str:
        return self.words()

    def words(self, number: float = math.nan) -> str:
        """What is valid, for an error about `number`; a limit that nobody comes near is named only to those who exceed it."""
        low, high = _shown(self.low), _shown(self.high)
        far = self.high >= _FAR and not self.high < number < math.inf
        finite = "finite and " if math.isinf(number) or math.isnan(number) else ""
        if far and self.low <= -_FAR:
            return "a finite number"
        if far:
            return f"{finite}above {low}" if self.above else f"{finite}at least {low}"
        if self.above:
            return f"above {low} and {'below' if self.below else 'at most'} {high}"
        return f"from {low} to {'below ' * self.below}{high}"

    def check(self, value: Any) -> None:
        """Raises OutOfRange for a value with a number outside."""
        wrong = next((number for number in _numbers(value) if number not in self), None)
        if wrong is None:
            return
        it = "it" if isinstance(value, int | float) else "each number"
        raise OutOfRange(f"{_shown(value)} is not valid: {it} must be {self.words(wrong)}")


def check_ranges(record: Any, *, path: str) -> None:
    """Compare the fields of a dataclass with their annotations. `path` is its place in a configuration, for errors.

    Raises UserError for the first number out of range.
    """
    for name, value_range in _of_record(type(record)).items():
        try:
            value_range.check(getattr(record, name))
        except OutOfRange as error:
            raise UserError(f"{path}.{name}={error}.") from error


def range_of(annotation: Any) -> Range | None:
    """The first range in an annotation, wherever in it: that of `Count | None` is that of Count."""
    for item in (*getattr(annotation, "__metadata__", ()), *typing.get_args(annotation)):
        if isinstance(item, Range):
            return item
        if (inner := range_of(item)) is not None:
            return inner
    return None


def ranges_of(function: Callable[..., Any]) -> dict[str, Range]:
    """The ranges of a function's or class's arguments, by their names."""
    hints = typing.get_type_hints(function, include_extras=True)
    return {name: found for name, hint in hints.items() if (found := range_of(hint)) is not None}


_of_record = functools.cache(ranges_of)


def _numbers(value: Any) -> Iterator[int | float]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield value
    elif isinstance(value, Mapping):
        yield from (number for each in value.values() for number in _numbers(each))
    elif isinstance(value, list | tuple):
        yield from (number for each in value for number in _numbers(each))


def _shown(value: Any) -> str:
    """As one writes it on a command line."""
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_shown, value))}]"
    return f"{value:.12g}" if isinstance(value, float) else str(value)


_FAR = 2**31 - 1

# float32 holds these numbers, and their products with usual ones.
LARGEST = 1e30
ANY = Range(-LARGEST, LARGEST)
NOT_NEGATIVE, POSITIVE = Range(0, LARGEST), Range(0, LARGEST, above=True)
BELOW_ONE, WITHIN_ONE = Range(0, 1, below=True), Range(0, 1, above=True, below=True)

Rate = Annotated[float, BELOW_ONE]  # of dropout, and of what a share is kept
Share = Annotated[float, Range(0, 1)]
Positive = Annotated[float, POSITIVE]
Count = Annotated[int, Range(1, 2**31 - 1)]  # of images, steps …
Level = Annotated[int, Range(0, 2**31 - 1)]  # such a number, or 0 for none
Width = Annotated[int, Range(1, 1_000_000)]  # channels or features of a layer
Widths = Annotated[tuple[int, ...], Range(1, 1_000_000)]
Side = Annotated[int, Range(1, 65_536)]  # pixels
Workers = Annotated[int, Range(0, 1024)]  # processes
Momentum = Annotated[float, Range(0, 1, above=True)]  # of batch norm: the weight of the newest batch
Seed = Annotated[int, Range(0, 2**63 - 1)]  # as torch takes it
Seed32 = Annotated[int, Range(0, 2**32 - 1)]  # as NumPy's RandomState takes it
