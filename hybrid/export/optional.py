"""Packages that only an export needs."""

from __future__ import annotations

import importlib
from types import ModuleType

from hybrid.errors import UserError


def need(package: str, *, what: str) -> ModuleType:
    """Import a package of the extra `export`; UserError that says how to install it, naming `what` needs it."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise UserError(f"{what} needs {package}: pip install 'hybrid-scattering[export]'") from error
