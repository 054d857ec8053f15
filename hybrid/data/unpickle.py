"""Read a pickle that may hold arrays, lists, dictionaries, text and numbers, and nothing else.

A pickle is a program: the plain unpickler imports and calls whatever the file names. Here a file can name only the handful
of functions with which NumPy's own pickles rebuild an array, and even these are stand-ins of ours, which copy bytes into an
array of a plain number type. Anything else ends the reading before it runs.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from hybrid.errors import UserError

_NUMBER_TYPES = frozenset(f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)) | {"f4", "f8", "b1"}


def read_pickle(path: Path) -> dict[str, Any]:
    """The dictionary in a pickle of Python 2 or 3 (NumPy 1 or 2). UserError, naming the file, for anything but that."""
    try:
        with path.open("rb") as stream:
            content = _plain(_Unpickler(stream, encoding="bytes").load())
    except _RefusedError as error:
        raise UserError(
            f"{path}: it asks to run {error}, which no data set needs: refused, and nothing was run."
        ) from error
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}.") from error
    except Exception as error:  # a damaged pickle can make the unpickler raise nearly anything
        raise UserError(f"{path}: damaged or truncated ({type(error).__name__}: {error}).") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: it holds no dictionary, so it is not a batch of this data set.")
    return content


class _RefusedError(Exception):
    """Carries the name that the pickle asked for."""


class _Dtype:
    """Stands in for numpy.dtype while reading: remembers code and byte order."""

    __slots__ = ("code", "order")

    def __init__(self, code: Any, *_: Any) -> None:
        self.code, self.order = _text(code), "|"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = _text(state[1])

    def numpy(self) -> np.dtype[Any]:
        if self.code not in _NUMBER_TYPES or self.order not in ("<", ">", "|", "="):
            raise ValueError(f"an array of type {self.code!r} instead of numbers")
        return np.dtype(self.code).newbyteorder(self.order)


class _Array:
    """Stands in for numpy.ndarray while reading: gets its content through the pickle's state."""

    __slots__ = ("array",)

    def __init__(self, *_: Any) -> None:
        self.array: np.ndarray | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, column_major, content = state
        self.array = _from_bytes(content, dtype, shape, "F" if column_major else "C")


def _from_bytes(content: Any, dtype: Any, shape: Any, order: Any = "C") -> np.ndarray:
    if not isinstance(dtype, _Dtype) or not isinstance(content, (bytes, bytearray)) or not isinstance(shape, tuple):
        raise ValueError("an array that is not made of numbers")
    return np.frombuffer(content, dtype.numpy()).reshape(shape, order=_text(order)).copy()


def _frombuffer(content: Any, dtype: Any, shape: Any, order: Any = "C") -> _Array:
    stand_in = _Array()
    stand_in.array = _from_bytes(content, dtype, shape, order)
    return stand_in


def _scalar(dtype: Any, content: Any) -> Any:
    return _from_bytes(content, dtype, ()).item()


def _latin1(text: Any, encoding: Any) -> bytes:
    """How Python 3 writes bytes for Python 2: the only codec that it uses there."""
    if not isinstance(text, str) or _text(encoding) != "latin1":
        raise ValueError("text in an unexpected encoding")
    return text.encode("latin1")


def _empty() -> bytes:
    """How Python 3 writes b"" for Python 2: a call of bytes without arguments."""
    return b""


def _reconstruct(*_: Any) -> _Array:
    return _Array()


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        base = module.replace("numpy._core", "numpy.core")  # NumPy 2 renamed it
        allowed = {
            ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
            ("numpy.core.multiarray", "scalar"): _scalar,
            ("numpy.core.numeric", "_frombuffer"): _frombuffer,
            ("numpy", "ndarray"): _Array,
            ("numpy", "dtype"): _Dtype,
            ("_codecs", "encode"): _latin1,
            ("__builtin__", "bytes"): _empty,
        }
        if (base, name) not in allowed:
            raise _RefusedError(f"{module}.{name}")
        return allowed[base, name]


def _plain(value: Any) -> Any:
    """Stand-ins to arrays, byte strings of Python 2 to text; ValueError for anything that is not plain data."""
    if isinstance(value, _Array) and value.array is not None:
        return value.array
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return _text(value)
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise ValueError(f"an unexpected {type(value).__name__}")


def _text(value: Any) -> Any:
    return value.decode("latin1") if isinstance(value, bytes) else value
