"""Compare runs: a table with means over seeds or other keys, a paired test of two settings, curves, and a page to send.

    hybrid report                                            # every run below outputs/
    hybrid report where=[data=cifar10,trainer.ema=null] by=[data.subset.n,optimizer.lr]
    hybrid report sweep=last over=seed,fold compare=[optimizer.lr=0.1,optimizer.lr=0.2]
    hybrid report runs=outputs/mnist format=latex out=table.tex curves=curves.pdf
    hybrid report sweep=last x=data.subset.n figure=accuracy.png
    hybrid report runs=outputs/digits-scat_resnet-seed0-1a2b3c4d html=page.html

Runs that differ in nothing but the keys in over= are one row: mean ± standard deviation, and the confidence interval of the
mean. The columns say in which settings the rows differ, or the settings that by= names; rows are then in their order, else the
best by metric= comes first. A setting may be called by its last part: fold for data.fold. Unfinished and failed runs are
counted and named, and are in no average; of a sweep also those that have not begun. The runs' folders are not changed.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hybrid.configuration.arguments import check_not_empty, command, option
from hybrid.configuration.output_paths import PICTURES, check_file, writing
from hybrid.configuration.resolvers import folder
from hybrid.errors import UserError, first_line
from hybrid.escaping import say
from hybrid.lazy import collecting_later

if TYPE_CHECKING:  # loaded when it runs: a typo is answered without waiting for torch
    from matplotlib.figure import Figure

    from hybrid.analysis.result import Analysis
    from hybrid.reports.groups import Group
    from hybrid.reports.layout import Table
    from hybrid.reports.page import Drawing
    from hybrid.runs.reading import StoredRun

SEED = ("seed",)


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command line."""

    runs: str = option(
        "a folder; runs are looked for in it and everywhere below", default=folder("HYBRID_OUTPUTS", "outputs")
    )
    sweep: str | None = option(
        "only the runs of this sweep: its name in runs=FOLDER/sweeps, its folder, or last", default=None
    )
    where: tuple[str, ...] = option(
        "only runs with these settings: [model=scat_wrn,optimizer.lr=0.1,seed=0]", default=()
    )
    debug: bool = option("whether runs of a debug mode (debug=fast …) are shown, too", default=False)
    by: tuple[str, ...] = option(
        "the settings to show, and to order by; none: those in which the groups differ", default=()
    )
    over: tuple[str, ...] = option("what means are taken over: [seed,data.fold]", default=SEED)
    metric: str | None = option(
        "a number of summary.json: a column, and the order without by; null: the main result of each run's task",
        default=None,
    )
    columns: tuple[str, ...] = option(
        "more columns than six: numbers of summary.json and settings, [test.top5,train.loss]; or all", default=()
    )
    confidence: float | None = option("the level of the confidence interval, in %; null: none", default=95.0)
    compare: tuple[str, ...] = option(
        "a paired test of the metric between two settings: [model=scat_wrn,model=wrn_16_8]", default=()
    )
    format: Literal["text", "markdown", "csv", "latex"] = option("of the table", default="text")
    out: str | None = option("write the table to this file instead of printing it", default=None)
    curves: str | None = option("also draw learning curves to this file: .png, .svg or .pdf", default=None)
    curve: str | None = option(
        "what the curves show, a name in metrics.jsonl; null: validation/top1, or train/loss without validation images",
        default=None,
    )

    figure: str | None = option("also draw metric over the setting x=, with error bars, to this file", default=None)
    x: str | None = option(
        "the setting on the figure's axis, such as data.subset.n; over=SETTING alone says it, too", default=None
    )
    html: str | None = option(
        "also write one self-contained page of the runs to this file: table, curves, confusion, layers, settings",
        default=None,
    )

    def __post_init__(self) -> None:
        for name in ("curves", "figure"):
            check_file(name, getattr(self, name), endings=PICTURES)
        check_file("html", self.html, endings=(".html", ".htm"))
        check_file("out", self.out)
        if self.debug and self.sweep is not None:
            raise UserError("debug has no effect with sweep=…: all runs of a sweep are shown.")
        check_not_empty(self, "over")
        if self.figure is not None and self.x is None and len(self.over) == 1 and self.over != SEED:
            object.__setattr__(self, "x", self.over[0])
            object.__setattr__(self, "over", SEED)
        if (self.figure is None) != (self.x is None):
            raise UserError("figure=FILE and x=SETTING belong together.")
        if self.curve is not None and self.curves is None:
            raise UserError("curve has no effect without curves=FILE.")
        if self.confidence is not None and not 0 < self.confidence < 100:
            raise UserError(
                f"confidence={self.confidence:g} is not valid: it is a level in % between 0 and 100, or null."
            )


@command(Options)
def report(options: Options) -> None:
    """Read the runs, print or write the table, and draw the curves if they are wanted."""
    from hybrid.reports.comparison import comparison_lines
    from hybrid.reports.groups import group_runs
    from hybrid.reports.ranking import default_metric, main_results, order
    from hybrid.reports.tables import make_table

    with collecting_later():  # settings of hundreds of runs are many objects, and all are kept
        groups = group_runs(_runs(options), over=options.over)
    metric = options.metric or default_metric(groups)
    groups = order(groups, metric=metric, by=options.by)
    mains = main_results(groups, metric) if options.metric is None else []
    table = make_table(
        groups, metric=metric, by=options.by, columns=options.columns, level=options.confidence, mains=mains
    )
    if options.compare:
        lines = comparison_lines(groups, options.compare, metric=metric, level=options.confidence)
        table.notes.extend(line for line in lines if line not in table.notes)
    drawings = [(name, getattr(options, name), _drawing(options, name, groups, metric)) for name in _wanted(options)]
    if options.html is not None:
        drawings.append(("html", options.html, _page(options, groups, table).encode()))
    for name, path, drawing in drawings:
        _write(name, path, drawing)
    _show(options, table)


def _runs(options: Options) -> list[StoredRun]:
    from hybrid.runs.reading import find_runs, sweep_runs
    from hybrid.runs.sweeps.folder import SweepFolder

    if options.sweep is None:
        return find_runs(options.runs, where=options.where, debug=options.debug)
    return sweep_runs(SweepFolder.find(options.sweep, root=options.runs), where=options.where)


def _wanted(options: Options) -> list[str]:
    return [name for name in ("curves", "figure") if getattr(options, name) is not None]


def _drawing(options: Options, name: str, groups: list[Group], metric: str) -> bytes:
    from hybrid.reports.curves import curves_figure
    from hybrid.reports.setting_figure import setting_figure
    from hybrid.reports.style import picture

    if name == "curves":
        figure = curves_figure(groups, name=options.curve, by=options.by)
    else:
        figure = setting_figure(groups, over=options.x, metric=metric)
    return picture(figure, Path(getattr(options, name)).suffix.removeprefix("."))


def _page(options: Options, groups: list[Group], table: Table) -> str:
    from hybrid.reports.page import page
    from hybrid.runs.sweeps.folder import SweepFolder

    runs = [run for group in groups for run in group.runs]
    place = f"{len(runs)} runs in {options.runs}"
    if options.sweep is not None:
        place = f"{len(runs)} runs of {SweepFolder.find(options.sweep, root=options.runs).path.name}"
    heading = runs[0].path.resolve().name if len(runs) == 1 else place
    return page(groups, table, heading=heading, by=options.by, layers=_layers)


def _layers(groups: Mapping[str, Group]) -> list[Drawing]:
    """Draw the last analysis of one finished run of each group."""
    from hybrid.reports.page import Drawing

    found = {name: analysis for name, group in groups.items() if (analysis := _analysis(group)) is not None}
    drawn, names = _drawn(found)
    of = names[0] if len(names) == 1 else "one run of each row"
    return [Drawing(figure, f"{name.replace('_', ' ')}: {of}") for name, figure in drawn.items()]


def _analysis(group: Group) -> Analysis | None:
    """The last analysis of the group's first finished run that has a whole one."""
    from hybrid.analysis.result import Analysis
    from hybrid.runs.folder import RunFolder

    for run in group.finished:
        if (file := RunFolder(run.path).last_analysis) is not None:
            try:
                return Analysis.load(file)
            except UserError as error:
                warnings.warn(f"{error} It is left out.", stacklevel=2)
    return None


def _drawn(analyses: Mapping[str, Analysis]) -> tuple[dict[str, Figure], list[str]]:
    """The figures of these analyses, and the names of those that are in them: foreign numbers may be none that can be drawn."""
    from hybrid.reports.analysis_figures import MAIN_FIGURES, analysis_figures

    def draw(chosen: Mapping[str, Analysis]) -> dict[str, Figure]:
        own = {"": next(iter(chosen.values()))} if len(chosen) == 1 else chosen
        return analysis_figures(own, only=MAIN_FIGURES) if own else {}

    try:
        return draw(analyses), list(analyses)
    except Exception as error:  # whatever foreign numbers make a figure raise
        whole = {}
        for name, analysis in analyses.items():
            with contextlib.suppress(Exception):
                draw({name: analysis})
                whole[name] = analysis
        left = ", ".join(name for name in analyses if name not in whole) or "all of them together"
        warnings.warn(f"analyses that cannot be drawn are left out ({left}): {first_line(error)[:120]}", stacklevel=2)
        return _drawn(whole) if whole and len(whole) < len(analyses) else ({}, [])


def _show(options: Options, table: Table) -> None:
    from hybrid.reports.writers import WRITERS, text

    if options.out is None and options.format == "text" and sys.stdout.isatty():
        print(text(table, width=shutil.get_terminal_size().columns))
        return
    document = WRITERS[options.format](table)
    if options.out is None:
        print(document)
    else:
        _write("out", options.out, f"{document}\n".encode())
    if options.format == "csv":  # its file has no place for them
        print(*table.notes, sep="\n", file=sys.stderr)


def _write(name: str, path: str, content: bytes) -> None:
    from hybrid.files import write_atomically

    with writing(name, path):
        write_atomically(Path(path), lambda file: file.write(content))
    say(f"written: {path}", file=sys.stderr)
