"""Check that a value from a yaml file or the command line fits a Python annotation, with errors in a user's words."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Union

from hybrid.plain import plain

_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null"}


def convert(value: Any, annotation: Any) -> Any:
    """Convert `value` to `annotation`: an int to a float, a list to a tuple, NumPy's to Python's. Any value passes where the
    annotation is not one of plain data.

    Raises ValueError, with the expectation in words, if it does not fit. Numbers in quotes are text, and true is no number:
    a schedule that silently took 1 for "yes" would be worse than an error.
    """
    if annotation is typing.Any or not _is_plain(annotation):
        return value
    value, annotation = plain(value), bare(annotation)
    origin = typing.get_origin(annotation)
    if origin in (Union, types.UnionType):
        return _convert_union(value, typing.get_args(annotation), annotation)
    if origin is Literal:
        if any(value == choice and type(value) is type(choice) for choice in typing.get_args(annotation)):
            return value
        raise _misfit(value, annotation)
    if origin in (tuple, list) or annotation in (tuple, list):
        return _convert_sequence(value, annotation)
    if origin is dict or annotation is dict:
        if isinstance(value, Mapping):
            return value
        raise _misfit(value, annotation)
    if annotation is float and type(value) is int:
        return float(value)
    if type(value) is annotation:
        return value
    raise _misfit(value, annotation)


def expectation(annotation: Any) -> str:
    """The values that an annotation admits, in words: "a whole number or null" for `int | None`."""
    annotation = bare(annotation)
    origin = typing.get_origin(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(expectation(choice) for choice in typing.get_args(annotation))
    if origin is Literal:
        return " or ".join(str(choice) for choice in typing.get_args(annotation))
    if origin in (tuple, list) or annotation in (tuple, list):
        items = [item for item in typing.get_args(annotation) if item is not Ellipsis]
        if origin is tuple and Ellipsis not in typing.get_args(annotation):
            return "a list [" + ", ".join(expectation(item) for item in items) + "]"
        return _list_of(items[0]) if items else "a list"
    if origin is dict or annotation is dict:
        return "a mapping"
    return _NAMES.get(annotation, str(annotation))


def bare(annotation: Any) -> Any:
    """The type in an `Annotated`; any other annotation as it is."""
    return typing.get_args(annotation)[0] if typing.get_origin(annotation) is Annotated else annotation


def _list_of(item: Any) -> str:
    item = bare(item)
    if item in (int, float, str):
        return f"a list of {_NAMES[item].removeprefix('a ')}s"
    return f"a list (each {expectation(item)})"


def _is_plain(annotation: Any) -> bool:
    """Whether an annotation consists of numbers, text, choices and lists of them, which a yaml file can hold."""
    annotation = bare(annotation)
    origin = typing.get_origin(annotation)
    if origin is Literal or annotation in (int, float, bool, str, type(None), tuple, list, dict) or origin is dict:
        return True
    if origin in (Union, types.UnionType, tuple, list):
        return all(item is Ellipsis or _is_plain(item) for item in typing.get_args(annotation))
    return False


def _convert_union(value: Any, choices: tuple[Any, ...], annotation: Any) -> Any:
    # exact types first, so that `int | float` leaves an int alone
    of_lists = []
    for choice in sorted(choices, key=lambda choice: bare(choice) is not type(value)):
        try:
            return convert(value, choice)
        except ValueError as error:
            if isinstance(value, list) and typing.get_origin(bare(choice)) in (tuple, list):
                of_lists.append(error)
    raise of_lists[0] if len(of_lists) == 1 else _misfit(value, annotation)  # that of the list names the wrong element


def _convert_sequence(value: Any, annotation: Any) -> Any:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise _misfit(value, annotation)
    items, kind = typing.get_args(annotation), typing.get_origin(annotation) or annotation
    if not items:
        return kind(value)
    if kind is tuple and Ellipsis not in items:
        if len(items) != len(value):
            raise _misfit(value, annotation)
        return tuple(convert(item, wanted) for item, wanted in zip(value, items, strict=True))
    return kind(convert(item, items[0]) for item in value)


def _misfit(value: Any, annotation: Any) -> ValueError:
    close = get_close_matches(value, _words(annotation), n=1) if isinstance(value, str) else []
    hint = f" (did you mean {close[0]}?)" if close else ""
    return ValueError(f"{value!r} is not {expectation(annotation)}{hint}")


def _words(annotation: Any) -> list[str]:
    """The words that an annotation admits."""
    arguments = typing.get_args(bare(annotation))
    if typing.get_origin(annotation) is Literal:
        return [name for name in arguments if isinstance(name, str)]
    return [word for argument in arguments for word in _words(argument)]
