"""docs/results/figures.yaml: every published figure, once, with what its ± is, its source, and whether it was read there."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Literal

from omegaconf import OmegaConf

from hybrid.errors import UserError, unknown_name

_NAME = re.compile(r"\{([a-z0-9_]+)\}")
_ERROR = "standard error"
_SHORT = {_ERROR: "s.e.", "standard deviation": "s.d."}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure:
    """A published accuracy in %.

    Attributes:
        value: the number as it is published.
        source: the publication. where: its page, table or line. images: of which data. metric: what is counted.
        read: opened, in the source that `where` names; or memory, where nobody of this project could open it.
        spread: the number after ±. of: what it is, a standard deviation or a standard error. over: the runs that it is over.
        words: after the number, such as its network.
    """

    value: str
    source: str
    where: str
    images: str
    metric: str
    read: Literal["opened", "memory"]
    spread: str | None = None
    of: str | None = None
    over: str | None = None
    words: str | None = None

    def __post_init__(self) -> None:
        if self.read not in ("opened", "memory"):
            raise unknown_name(self.read, ("opened", "memory"), what="read")
        if (self.spread is None) != (self.of is None) or (self.of is not None and self.of not in _SHORT):
            raise UserError(f"{self.value}: a number after ± needs `of`: {' or '.join(_SHORT)}.")

    @property
    def number(self) -> str:
        """The value with its ±: 36.01 ± 0.55."""
        return self.value if self.spread is None else f"{self.value} ± {self.spread}"

    @property
    def text(self) -> str:
        """As a table has it: 36.01 ± 0.55 (s.e.)."""
        short = f" ({_SHORT[self.of]})" if self.is_standard_error else ""
        return f"{self.number}{short}{f' {self.words}' if self.words else ''}"

    @property
    def is_standard_error(self) -> bool:
        """Whether the number after ± is a standard error of the mean."""
        return self.of == _ERROR


def read_figures(path: Path) -> dict[str, Figure]:
    """Name -> figure; none where there is no such file."""
    if not path.is_file():
        return {}
    content = OmegaConf.to_container(OmegaConf.load(path))
    return {name: Figure(**fields) for name, fields in content.items()}


def with_figures(text: str, figures: dict[str, Figure]) -> str:
    """Put the figures into a text: {name} is the number with its ±, {name_value} the number alone.

    Raises UserError for a name that is not in the list.
    """

    def number(match: re.Match[str]) -> str:
        name = match[1]
        if name in figures:
            return figures[name].number
        if name.removesuffix("_value") in figures:
            return figures[name.removesuffix("_value")].value
        raise unknown_name(name, figures, what="published figure")

    return _NAME.sub(number, text)
