"""A table over runs: mean ± standard deviation over seeds, one row per configuration; and learning curves.

    hybrid report                                            # every run below outputs/
    hybrid report where=[data=cifar10,trainer.ema=null] by=[data.subset.n,optimizer.lr]
    hybrid report runs=outputs/mnist format=latex out=table.tex curves=curves.pdf
    hybrid report sweep=last over=data.subset.n figure=accuracy.png

Runs that differ in nothing but their seed are one row. Its columns say in which settings the rows differ, or the settings that
by= names; rows are then in their order, else the best by metric= comes first. Unfinished and failed runs are counted and
named, and are in no average; of a sweep also those that have not begun. Nothing in the runs' folders is changed.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hybrid.configuration.arguments import command, option
from hybrid.configuration.output_paths import PICTURES, check_file, writing
from hybrid.configuration.paths import folder
from hybrid.errors import UserError

if TYPE_CHECKING:  # loaded when it runs: a typo is answered without waiting for torch
    from hybrid.reports.groups import Group
    from hybrid.reports.tables import Table
    from hybrid.runs.reading import StoredRun


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
    metric: str = option("a number of summary.json: a column, and the order without by", default="test.top1")
    format: Literal["text", "markdown", "csv", "latex"] = option("of the table", default="text")
    out: str | None = option("write the table to this file instead of printing it", default=None)
    curves: str | None = option("also draw learning curves to this file: .png, .svg or .pdf", default=None)
    curve: str | None = option(
        "what the curves show, a name in metrics.jsonl; null: validation/top1, or train/loss without validation images",
        default=None,
    )

    figure: str | None = option("also draw metric over the setting over=, with error bars, to this file", default=None)
    over: str | None = option("the setting on the figure's axis, such as data.subset.n", default=None)

    def __post_init__(self) -> None:
        for name in ("curves", "figure"):
            check_file(name, getattr(self, name), endings=PICTURES)
        check_file("out", self.out)
        if self.debug and self.sweep is not None:
            raise UserError("debug has no effect with sweep=…: all runs of a sweep are shown.")
        if (self.figure is None) != (self.over is None):
            raise UserError("figure=FILE and over=SETTING belong together.")
        if self.curve is not None and self.curves is None:
            raise UserError("curve has no effect without curves=FILE.")


@command(Options)
def report(options: Options) -> None:
    """Read the runs, print or write the table, and draw the curves if they are wanted."""
    from hybrid.reports.groups import group_runs
    from hybrid.reports.tables import make_table, order

    groups = group_runs(_runs(options))
    groups = order(groups, metric=options.metric, by=options.by)
    table = make_table(groups, metric=options.metric, by=options.by)
    drawings = [(name, getattr(options, name), _drawing(options, name, groups)) for name in _wanted(options)]
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


def _drawing(options: Options, name: str, groups: list[Group]) -> bytes:
    from hybrid.reports.curves import curves_figure
    from hybrid.reports.setting_figure import setting_figure
    from hybrid.reports.style import picture

    if name == "curves":
        figure = curves_figure(groups, name=options.curve, by=options.by)
    else:
        figure = setting_figure(groups, over=options.over, metric=options.metric)
    return picture(figure, Path(getattr(options, name)).suffix.removeprefix("."))


def _show(options: Options, table: Table) -> None:
    from hybrid.reports.tables import WRITERS, text

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
    print(f"written: {path}", file=sys.stderr)
