"""Numbers, words and lists of NumPy as Python's own, for every door that takes settings; a leaf that imports nothing."""

from __future__ import annotations

from typing import Any


def plain(value: Any) -> Any:
    """Return NumPy's numbers, truth values, words and arrays as Python's own, in lists, tuples and dicts too.

    An array without dimensions is its one number, any other a list. Everything else stays as it is.
    """
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return value.tolist()
    if type(value) in (list, tuple):
        return type(value)(map(plain, value))
    if type(value) is dict:
        return {name: plain(each) for name, each in value.items()}
    return value
