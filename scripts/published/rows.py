"""docs/results/published.yaml: which published figures there are, and which command repeats each of them."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from hybrid.configuration.hydra_arguments import Script
from hybrid.errors import UserError, unknown_name
from published.figures_list import Figure, read_figures, with_figures

T = TypeVar("T")
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)(?: ± (\d+(?:\.\d+)?))?")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One published figure, or one that belongs beside it.

    Attributes:
        name: the network, in the words of the publication.
        run: the command's overrides, as typed after `program`; None: no recipe repeats this figure.
        script: the command: train, svm or classify.
        takes: what a run would take (hardware, time), or why there is no recipe.
        labels: how many labelled images it learns from, in tables by that number.
        published: accuracy in %, "38.9 ± 1.2", and words after it; None: nothing is published.
        mark: read in a source that was opened; or from memory of it, unverified.
        figure: the name of the published accuracy in figures.yaml, which gives `published`, `mark` and `standard_error`.
        standard_error: whether the number after ± is a standard error, and no standard deviation.
        repeats: setting -> its values, over which runs are averaged as over seeds: the folds of STL-10.
        main: also a row of the README's table.
    """

    name: str
    takes: str
    run: str | None = None
    script: Script = "train"
    labels: int | None = None
    published: str | None = None
    mark: Literal["read", "memory"] | None = None
    figure: str | None = None
    standard_error: bool = False
    repeats: Mapping[str, Sequence[Any]] = dataclasses.field(default_factory=dict)
    main: bool = False

    def __post_init__(self) -> None:
        if (self.published is None) != (self.mark is None):
            raise UserError(f"{self.name}: a published figure needs a mark (read, memory), and a mark a figure.")
        if self.script not in get_args(Script):
            raise unknown_name(self.script, get_args(Script), what="script")
        if self.mark not in (None, "read", "memory"):
            raise unknown_name(self.mark, ("read", "memory"), what="mark")
        if self.published is not None and not _NUMBER.match(self.published):
            raise UserError(
                f"{self.name}: published must begin with a number, such as 38.9 ± 1.2, not {self.published}."
            )

    @property
    def overrides(self) -> tuple[str, ...]:
        """The command's words, without a shell's quotes."""
        return tuple(shlex.split(self.run or ""))

    @property
    def mean_std(self) -> tuple[float, float | None] | None:
        """Mean and standard deviation of the published accuracy, in %."""
        if self.published is None:
            return None
        mean, std = _NUMBER.match(self.published).groups()
        return float(mean), None if std is None else float(std)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
    """A table of the page.

    Attributes:
        name: of its pictures' files.
        text: what the figures say, in Markdown, written by hand.
        keys: settings or config groups that tell its rows apart, beside the data. A run that agrees with a row in
            these, but in other settings not, is shown below the row, with what it changes.
    """

    name: str
    title: str
    source: str
    rows: tuple[Row, ...]
    keys: tuple[str, ...] = ("model",)
    text: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Page:
    """The whole list: what reproduces and what does not (Markdown, by hand), and the tables."""

    text: str
    sections: tuple[Section, ...]


def read_page(path: Path) -> Page:
    """Raises UserError, naming the file, for what cannot be read, unknown or missing entries, and names given twice."""
    try:
        content = OmegaConf.to_container(OmegaConf.load(path))
        figures = read_figures(path.with_name("figures.yaml"))
    except (OSError, YAMLError, OmegaConfBaseException) as error:
        raise UserError(f"{path} cannot be read: {str(error).splitlines()[0]}.") from error
    try:
        content = _with_figures(content, figures)
        sections = [
            _build(
                Section,
                {**section, "rows": tuple(_build(Row, _with_figure(row, figures)) for row in section.get("rows", ()))},
            )
            for section in content.pop("sections", ())
        ]
        page = _build(Page, {**content, "sections": tuple(sections)})
        _check_names([section.name for section in page.sections])
        for section in page.sections:
            _check_names([f"{row.name}, {row.labels}" for row in section.rows])
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return page


def _with_figures(content: Any, figures: dict[str, Figure]) -> Any:
    """Put published figures into the texts of the page and its sections."""
    texts = {key: with_figures(value, figures) for key, value in content.items() if key == "text"}
    sections = [
        {key: with_figures(value, figures) if key in ("text", "source") else value for key, value in section.items()}
        for section in content.get("sections", ())
    ]
    return {**content, **texts, "sections": sections}


def _with_figure(row: Mapping[str, Any], figures: dict[str, Figure]) -> Mapping[str, Any]:
    name = row.get("figure")
    if name is None:
        return row
    if name not in figures:
        raise unknown_name(name, figures, what="published figure")
    figure = figures[name]
    mark = "memory" if figure.read == "memory" else "read"
    return {**row, "published": figure.text, "mark": mark, "standard_error": figure.is_standard_error}


def _build(kind: type[T], content: Mapping[str, Any]) -> T:
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for name in content:
        if name not in fields:
            raise unknown_name(name, fields, what=f"entry of a {kind.__name__.lower()}")
    for name, field in fields.items():
        optional = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        if not optional and content.get(name) in (None, ""):
            raise UserError(f"{content.get('name', kind.__name__.lower())}: {name} is missing.")
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in content.items()})


def _check_names(names: Sequence[str]) -> None:
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UserError(f"{min(twice)} is there twice.")
