"""docs/lab/protocols.md: every recipe beside the released code, setting by setting, from docs/lab/protocols/RECIPE.yaml."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

from omegaconf import OmegaConf

from hybrid.errors import UserError, unknown_name
from hybrid.reports.writers import markdown_lines

Verdict = Literal["equal", "differs", "unknown", "own"]
_WORDS = {"equal": "equal", "differs": "**differs**", "unknown": "not known", "own": "our own choice"}
_HEAD = """# Recipes beside the released code

`python scripts/results.py` writes this page from `docs/lab/protocols/`, a file for each recipe. A test composes each
recipe, builds its objects, reads the settings off them, and fails when one is not what the column *ours* says.
*Released* names the file and the line of the code that the publication came with, at the commit above the table. The
verdict is about the setting, not about the accuracy that it leads to. Most line numbers are those of an audit that ran
both sides; not all were looked up again when this page was made.
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """A line of a table.

    Attributes:
        setting: its name. released: its value there, and where that stands.
        reads: the name of what is read off our objects (`published.composed`). ours: what is read, as text.
        verdict: equal; differs, with the reason in `why`; unknown, where it is not known; own, where there is none.
    """

    setting: str
    reads: str
    ours: str
    verdict: Verdict
    released: str = "–"
    why: str = ""

    def __post_init__(self) -> None:
        if self.verdict not in _WORDS:
            raise unknown_name(self.verdict, _WORDS, what="verdict")
        if self.verdict == "differs" and not self.why:
            raise UserError(f"{self.setting}: a difference needs its reason, why.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Protocol:
    """A recipe beside its source. command: its overrides. images: shape (C, H, W) and classes, and how many images train."""

    recipe: str
    source: str
    command: tuple[str, ...]
    shape: tuple[int, int, int]
    classes: int
    train_images: int
    settings: tuple[Setting, ...]


def read_protocols(folder: Path) -> list[Protocol]:
    """The protocols of a folder, a file for each table. Raises UserError, naming the file, for what is wrong in one."""
    return [_read(path) for path in sorted(folder.glob("*.yaml"))]


def protocols_page(protocols: list[Protocol]) -> str:
    """The page as Markdown."""
    parts = [_HEAD.strip()]
    for each in protocols:
        head = ["setting", "released", "ours as composed", "verdict"]
        rows = [[s.setting, s.released, s.ours, _verdict(s)] for s in each.settings]
        about = f"`{' '.join(each.command)}`  \nReleased: {each.source}"
        parts += [
            f"## {each.recipe}",
            about,
            "\n".join(markdown_lines(head, rows)),
        ]
    return "\n\n".join(parts) + "\n"


def _verdict(setting: Setting) -> str:
    return f"{_WORDS[setting.verdict]}{': ' if setting.why else ''}{setting.why}"


def _read(path: Path) -> Protocol:
    content: Any = OmegaConf.to_container(OmegaConf.load(path))
    try:
        settings = tuple(
            Setting(**{key: _text(value) for key, value in row.items()}) for row in content.pop("settings")
        )
        lists = {name: tuple(content.pop(name)) for name in ("command", "shape")}
        return Protocol(**content, **lists, recipe=path.stem, settings=settings)
    except (TypeError, KeyError, UserError) as error:
        raise UserError(f"{path}: {error}") from error


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)
