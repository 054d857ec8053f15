"""The parts that the C++ and the CUDA sources have in common."""

from __future__ import annotations

from importlib.resources import files
from typing import Literal

Direction = Literal["forward", "backward"]
DIRECTIONS: tuple[Direction, ...] = ("forward", "backward")


def shared_text(name: str) -> str:
    """The text of a C++ file that both sources include."""
    return (files("hybrid.scattering.compiled") / name).read_text()
