"""A table over runs: mean ± standard deviation over seeds, one row per configuration; and learning curves.

    python scripts/report.py                                            # every run below outputs/
    python scripts/report.py where=[data=cifar10,trainer.ema=null] by=[data.subset.n,optimizer.lr]
    python scripts/report.py runs=outputs/sweep format=latex out=table.tex curves=curves.pdf

Runs that differ in nothing but their seed are one row. Its columns say in which settings the rows differ, or the settings that
by= names; rows are then in their order, else the best by metric= comes first. Unfinished and failed runs are counted and
named, and are in no average. Nothing in the runs' folders is changed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hybrid.configuration.arguments import command, option
from hybrid.errors import UserError

if TYPE_CHECKING:  # loaded when it runs: a typo is answered without waiting for torch
    from hybrid.reports.groups import Group
    from hybrid.reports.table import Table

PICTURES = (".png", ".svg", ".pdf")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line may say."""

    runs: str = option("a folder; runs are looked for in it and everywhere below", default="outputs")
    where: tuple[str, ...] = option(
        "only runs with these settings: [model=scat_wrn,optimizer.lr=0.1,seed=0]", default=()
    )
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

    def __post_init__(self) -> None:
        if self.curves is not None and Path(self.curves).suffix not in PICTURES:
            raise UserError(f"curves={self.curves} has none of the endings {', '.join(PICTURES)}.")
        if self.curve is not None and self.curves is None:
            raise UserError("curve has no effect without curves=FILE.")


@command(Options)
def report(options: Options) -> None:
    """Read the runs, print or write the table, and draw the curves if they are wanted."""
    from hybrid.reports.groups import group_runs
    from hybrid.reports.runs import read_runs
    from hybrid.reports.table import make_table, order

    groups = group_runs(read_runs(options.runs, where=options.where))
    groups = order(groups, metric=options.metric, by=options.by)
    table = make_table(groups, metric=options.metric, by=options.by)
    drawing = _drawing(options, groups) if options.curves else None
    if drawing is not None:
        _write("curves", options.curves, drawing)
    _show(options, table)


def _drawing(options: Options, groups: list[Group]) -> bytes:
    from hybrid.reports.curves import curves_figure
    from hybrid.reports.style import picture

    figure = curves_figure(groups, name=options.curve, by=options.by)
    return picture(figure, Path(options.curves).suffix.removeprefix("."))


def _show(options: Options, table: Table) -> None:
    from hybrid.reports.table_formats import WRITERS, print_terminal

    if options.out is None and options.format == "text" and sys.stdout.isatty():
        print_terminal(table)
        return
    document = WRITERS[options.format](table)
    if options.out is None:
        print(document)
    else:
        _write("out", options.out, f"{document}\n".encode())
    if options.format == "csv":  # its file has no place for them
        print(*table.notes, sep="\n", file=sys.stderr)


def _write(name: str, path: str, content: bytes) -> None:
    from hybrid.tracking.files import write_atomically

    try:
        write_atomically(Path(path), lambda file: file.write(content))
    except OSError as error:
        raise UserError(f"{name}={path} cannot be written: {error.strerror}.") from error
    print(f"written: {path}", file=sys.stderr)


if __name__ == "__main__":
    report()
