"""Parts of a network by their names: `frontend`, `head.layer1`, `head.stages.*`, as in `model.named_modules()`."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from torch import nn

from hybrid.errors import unknown_name

_DEPTH = 3  # of the names that an error lists


def matches(name: str, pattern: str) -> bool:
    """Whether a module or parameter is the one that the pattern names, or lies within it. `*` stands for any characters."""
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")


def trainable(model: nn.Module, pattern: str, *, path: str) -> dict[str, nn.Parameter]:
    """The trainable parameters that a pattern stands for, by name.

    Raises UserError, naming `path`, the place of the pattern in the configuration, where there is none.
    """
    named = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    found = {name: parameter for name, parameter in named.items() if matches(name, pattern)}
    if not found:
        raise unknown_name(pattern, _parts(named), what=f"part with trainable parameters in {path}")
    return found


def _parts(names: Iterable[str]) -> set[str]:
    """The modules that these parameters lie in, down to a depth."""
    modules = [name.split(".")[:-1] for name in names]
    return {".".join(parts[:depth]) for parts in modules for depth in range(1, min(_DEPTH, len(parts)) + 1)}
