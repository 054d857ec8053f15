"""Names that are imported when they are first used."""

from __future__ import annotations

import sys
import types

import pytest

from hybrid.lazy import lazy_names


def test_a_name_is_looked_up_once(monkeypatch):
    package = types.ModuleType("lazy_package")
    monkeypatch.setitem(sys.modules, "lazy_package", package)
    package.__getattr__, package.__dir__ = lazy_names("lazy_package", {"dumps": "json"})
    assert "dumps" in dir(package) and "dumps" not in vars(package)
    found = package.dumps
    assert found([1]) == "[1]" and vars(package)["dumps"] is found
    with pytest.raises(AttributeError, match="module 'lazy_package' has no attribute 'loads'"):
        _ = package.loads
