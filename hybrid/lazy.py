"""Names of a package that are imported when they are first used, so that `import hybrid` costs nothing (PEP 562)."""

from __future__ import annotations

import contextlib
import gc
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any


@contextlib.contextmanager
def collecting_later() -> Iterator[None]:
    """A context without garbage collections: these look again and again at objects that modules keep for ever.

    torch is imported an eighth faster in it.
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def lazy_names(package: str, modules: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The `__getattr__` and `__dir__` of a package whose names come from other modules.

    Args:
        package: the package's own `__name__`.
        modules: name -> the module that defines it, as a full path.
    """

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        with collecting_later():
            value = getattr(importlib.import_module(modules[name]), name)
        setattr(sys.modules[package], name, value)  # it is found without this function from now on
        return value

    return get, lambda: sorted(modules)


class LazyModule:
    """A module that is imported when one of its names is first used: mistakes in settings are found before torch is loaded.

    torch = LazyModule("torch")
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if (module := self.__dict__.get("module")) is None:
            module = self.__dict__["module"] = importlib.import_module(self._name)
        return getattr(module, name)
