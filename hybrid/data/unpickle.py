"""Read a pickle that may hold arrays, lists, dictionaries, text and numbers, and nothing else.

A pickle is a program: the plain unpickler imports and calls whatever the file names. Here a file can name only the handful
of functions with which NumPy's pickles rebuild an array, and even these are not called: the reader records what the file asks
for, and afterwards copies bytes into arrays of plain number types. Any other name ends the reading before anything runs.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hybrid.errors import UserError

_NUMBERS = frozenset(f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)) | {"f4", "f8", "b1"}


def read_pickle(path: Path) -> dict[str, Any]:
    """The dictionary in a pickle of Python 2 or 3 (NumPy 1 or 2). UserError, naming the file, for anything but that."""
    try:
        with path.open("rb") as stream:
            content = _Budget(path.stat().st_size).plain(_Unpickler(stream, encoding="bytes").load())
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


class _Call:
    """A call that the pickle asked for, recorded and not made; `state` is what it then wants to set on the result."""

    def __init__(self, name: str, arguments: tuple[Any, ...]) -> None:
        self.name, self.arguments, self.state = name, arguments, None

    def __setstate__(self, state: Any) -> None:
        self.state = state


_RECORDED = {  # encode(text, "latin1") is how Python 3 writes bytes for Python 2, and bytes() is how it writes b""
    "numpy.core.multiarray": ("_reconstruct", "scalar"),
    "numpy.core.numeric": ("_frombuffer",),
    "numpy": ("ndarray", "dtype"),
    "_codecs": ("encode",),
    "__builtin__": ("bytes",),
}


class _Unpickler(pickle._Unpickler):  # that in C makes room for as many values as the number of one says
    def find_class(self, module: str, name: str) -> Any:
        if name not in _RECORDED.get(module.replace("numpy._core", "numpy.core"), ()):  # NumPy 2 renamed it
            if not self._file_read(1):
                raise EOFError("it ends within a name")
            raise _RefusedError(f"{module}.{name}")
        return lambda *arguments: _Call(
            name, arguments
        )  # a new one each time, so that no file can leave anything in it


class _Budget:
    """A file of N bytes has at most N values, and at most N bytes in its arrays: names for what was read stand for it once."""

    def __init__(self, size: int) -> None:
        self._values, self._bytes = size, 2 * size  # Python 3 writes some bytes as two

    def plain(self, value: Any) -> Any:
        """Recorded calls to arrays and numbers, byte strings to text; ValueError for anything that is not plain data."""
        self._values -= 1
        found = _plain(value, self.plain)
        self._bytes -= found.nbytes if isinstance(found, np.ndarray) else len(found) if isinstance(found, str) else 0
        if min(self._values, self._bytes) < 0:
            raise ValueError("it stands for more values than it has bytes")
        return found


def _plain(value: Any, plain: Callable[[Any], Any]) -> Any:
    match value:
        case _Call(name="_reconstruct", state=(_, shape, dtype, by_columns, content)):
            return _array(content, dtype, shape, "F" if by_columns else "C")
        case _Call(name="_frombuffer", arguments=(content, dtype, shape, order)):
            return _array(content, dtype, shape, _text(order))
        case _Call(name="scalar", arguments=(dtype, content)):
            return _array(content, dtype, (), "C").item()
        case _Call(name="encode" | "bytes") | bytes():
            return _text(_bytes(value))
        case dict():
            return {plain(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case None | str() | int() | float():
            return value
    raise ValueError(f"an unexpected {type(value).__name__}")


def _array(content: Any, dtype: Any, shape: Any, order: str) -> np.ndarray:
    match dtype:
        case _Call(name="dtype", arguments=(code, *_), state=state) if _text(code) in _NUMBERS:
            kind = np.dtype(_text(code)).newbyteorder("|" if state is None else _text(state[1]))
            return np.frombuffer(_bytes(content), kind).reshape(shape, order=order).copy()
    raise ValueError("an array that is not made of numbers")


def _bytes(value: Any) -> bytes:
    match value:
        case bytes() | bytearray():
            return value
        case _Call(name="encode", arguments=(str() as text, "latin1" | b"latin1")):
            return text.encode("latin1")
        case _Call(name="bytes", arguments=()):
            return b""
    raise ValueError("bytes in an unexpected form")


def _text(value: Any) -> Any:
    return value.decode("latin1") if isinstance(value, bytes) else value
