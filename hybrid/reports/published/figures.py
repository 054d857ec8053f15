"""The page's figures of one table: accuracy by number of labels, learning curves, contraction and complexity by depth."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hybrid.reports.analysis_figures import curves_by_depth
from hybrid.reports.curves import MOST_GROUPS, curves_figure
from hybrid.reports.published.archive import LAYERS
from hybrid.reports.published.entries import Entry, Rows
from hybrid.reports.published.rows import Section
from hybrid.reports.style import COLOURS, MARKERS, QUIET, STROKES, legend_above, new_panels, paper_style

_PARALLEL = ("S0", "S1", "S2")  # orders of the scattering transform: side by side, no line leads through them
_MOST_NETWORKS = len(STROKES)  # that strokes tell apart
_DEPTH = {  # picture -> (y axis, {curve: the column of an analysis's table})
    "contraction": (
        "‖Φx − Φx'‖ / ‖x − x'‖, median",
        {"same class": "contraction.same", "different class": "contraction.different"},
    ),
    "complexity": (
        "boundary points (% of the images)",
        {"k = 1": "boundary.nested_1", "k = 30": "boundary.nested_30"},
    ),
}


def section_figures(section: Section, rows: Rows) -> dict[str, tuple[str, Figure]]:
    """name of the picture -> (what it shows, figure), of those that the runs of this table have the numbers for."""
    drawn: dict[str, tuple[str, Figure]] = {}
    finished = [entry for _, found in rows for entry in found if entry.group.finished]
    if finished and len({row.labels for row, _ in rows if row.labels}) > 1:
        drawn["labels"] = ("Accuracy by number of labels, published and ours", labels_figure(rows))
    if any(run.records() for entry in finished for run in entry.group.runs):
        drawn["curves"] = ("Learning curves", _curves(section, finished))
    for name, (ylabel, columns) in _DEPTH.items():
        layers = _layers(finished, columns)
        if layers:
            words = "contraction of pairs of images" if name == "contraction" else "boundary points"
            drawn[name] = (f"By depth: {words}", curves_by_depth(layers, ylabel=ylabel))
    return drawn


@paper_style
def labels_figure(rows: Rows) -> Figure:
    """Accuracy in % over the number of labelled images; bars are one standard deviation to each side.

    A colour per network. Published figures are hollow and dashed, ours full; those with other settings than the row's are
    small crosses without a line.
    """
    ((axes,),) = new_panels(5.2, 3.2)
    names = list(dict.fromkeys(row.name for row, _ in rows if row.labels))
    for k, name in enumerate(names):
        own = sorted(((row, found) for row, found in rows if row.name == name), key=lambda pair: pair[0].labels)
        runs = [(row.labels, _figure(entry), bool(entry.changes)) for row, found in own for entry in found]
        look = {"color": COLOURS[k % len(COLOURS)], "marker": MARKERS[k % len(MARKERS)], "markersize": 4.5}
        look |= {"capsize": 2.5, "elinewidth": 1}
        hollow = {"linestyle": STROKES[1], "markerfacecolor": "white", "linewidth": 1}
        _errorbars(axes, [(row.labels, row.figure) for row, _ in own], **look, **hollow)
        _errorbars(axes, [(labels, figure) for labels, figure, changed in runs if not changed], **look, zorder=4)
        crosses = {**look, "marker": "x", "linestyle": "none", "zorder": 4}
        _errorbars(axes, [(labels, figure) for labels, figure, changed in runs if changed], **crosses)
    axes.set(xscale="log", xlabel="labelled images", ylabel="test accuracy (%)")
    ticks = sorted({row.labels for row, _ in rows if row.labels})
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    handles = [
        Line2D([], [], color=COLOURS[k % len(COLOURS)], marker=MARKERS[k % len(MARKERS)]) for k in range(len(names))
    ]
    handles += [
        Line2D([], [], color=QUIET, marker="o", markerfacecolor="white", linestyle=STROKES[1]),
        Line2D([], [], color=QUIET, marker="o"),
        Line2D([], [], color=QUIET, marker="x", linestyle="none"),
    ]
    words = [*names, "published", "ours", "ours, settings changed"]
    legend_above(axes.figure, handles, words, letters=70)
    return axes.figure


def _layer_means(entry: Entry, column: str) -> list[tuple[str, float]]:
    """(layer, mean over the finished runs) of a column of their layers' tables; only layers that all of them have."""
    tables = [
        _read_layers(path.read_text(), column) for run in entry.group.finished if (path := run.path / LAYERS).is_file()
    ]
    if not tables:
        return []
    return [
        (layer, sum(table[layer] for table in tables) / len(tables))
        for layer in tables[0]
        if all(layer in table for table in tables)
    ]


def _read_layers(text: str, column: str) -> dict[str, float]:
    rows = csv.DictReader(io.StringIO(text))
    return {row["layer"]: float(row[column]) for row in rows if row["layer"] not in _PARALLEL and row.get(column)}


def _layers(found: Sequence[Entry], columns: Mapping[str, str]) -> dict[str, dict[str, list[tuple[str, float]]]]:
    """{network: {curve: [(layer, value), …]}} of the first networks that have been analysed."""
    networks: dict[str, dict[str, list[tuple[str, float]]]] = {}
    for entry in found:
        curves = {label: curve for label, column in columns.items() if (curve := _layer_means(entry, column))}
        if curves and len(networks) < _MOST_NETWORKS:
            networks.setdefault(entry.row.name, curves)
    return networks


def _curves(section: Section, found: Sequence[Entry]) -> Figure:
    known = [set(entry.group.facts) for entry in found]
    by = [name for name in (*section.keys, "trainer.duration") if any(name in facts for facts in known)]
    return curves_figure([entry.group for entry in found[:MOST_GROUPS]], by=by)


def _figure(entry: Entry) -> tuple[float, float | None] | None:
    figure = entry.group.figure("test.top1")
    return figure and (figure.mean, figure.std)


def _errorbars(axes: Axes, points: Sequence[tuple[int, tuple[float, float | None] | None]], **look: object) -> None:
    known = [(x, *figure) for x, figure in points if figure is not None]
    if known:
        x, mean, std = zip(*known, strict=True)
        axes.errorbar(x, mean, yerr=[value or 0.0 for value in std], **look)
