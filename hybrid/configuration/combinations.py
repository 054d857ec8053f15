"""Command lines with several values for a setting, in Hydra's syntax: every combination of the values."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from hybrid.configuration.composition import in_one_line
from hybrid.configuration.hydra_arguments import taken_as_they_are
from hybrid.configuration.paths import ConfigFolders
from hybrid.errors import UserError


def expand(arguments: Sequence[str]) -> list[tuple[str, ...]]:
    """Every combination of the values that the arguments list: ["a=1,2", "b=3"] -> [("a=1", "b=3"), ("a=2", "b=3")].

    The syntax is Hydra's: commas, choice(…), range(…), glob(…). Raises UserError for intervals, which only a search can try.
    """
    return [tuple(combination) for combination in itertools.product(*map(_values, parse_overrides(arguments)))]


@contextlib.contextmanager
def composing_one_of(
    overrides: Sequence[str], arguments: Sequence[str], *, config_name: str = "train"
) -> Iterator[None]:
    """A context that composes one combination of these arguments: an error names the values that are its own.

    Values that Hydra refuses may be valid in other combinations.
    """
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        own = " ".join(text for text in overrides if text not in arguments)
        words = in_one_line(error, overrides, config_name=config_name)
        raise UserError(f"{own}: {words}" if own else words) from error


def parse_overrides(arguments: Sequence[str]) -> list[Override]:
    """The arguments as Hydra reads them."""
    return OverridesParser.create().parse_overrides(taken_as_they_are(arguments))


def _values(override: Override) -> list[str]:
    if not override.is_sweep_override():
        return [override.input_line]
    if not override.is_discrete_sweep():
        raise UserError(f"{override.input_line}: a sweep needs values one by one; `hybrid search` takes intervals.")
    key = override.get_key_element()
    listed = override.value()
    if isinstance(listed, Glob):
        values = listed.filter(ConfigFolders.read().options(override.key_or_group))
    else:
        values = list(override.sweep_string_iterator())
    if not values:
        raise UserError(f"{override.input_line} gives no value to try.")
    return [f"{key}={value}" for value in values]
