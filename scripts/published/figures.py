"""The page's figures of one table: accuracy by number of labels, learning curves, contraction and complexity by depth."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hybrid.reports.depth_figures import curves_by_depth
from hybrid.reports.style import COLOURS, MARKERS, QUIET, STROKES, legend_below, new_panels, paper_style
from published.archive import LAYERS
from published.changes import in_short
from published.curve_lines import curves_of
from published.entries import Entry, Rows

_PARALLEL = ("S0", "S1", "S2")  # orders of the scattering transform: side by side, no line leads through them
_Point = tuple[int, float, float | None]  # labelled images, mean, standard deviation
_DODGE, _WIDEST = (
    0.008,
    0.02,
)  # of the axis: from one point to the next at a number of labels, and from the first to the last
_KINDS: dict[str, dict[str, Any]] = {  # how figures are drawn, by whose they are
    "published": {"linestyle": STROKES[1], "markerfacecolor": "white", "linewidth": 1},
    "ours": {"zorder": 4},
    "ours, settings changed": {"marker": "x", "linestyle": "none", "zorder": 4},
}
_MOST_NETWORKS = len(STROKES)  # that strokes tell apart
_DEPTH = {  # picture -> (y axis, {curve: the column of an analysis's table})
    "contraction": (
        "‖Φx − Φx'‖ / ‖x − x'‖, median",
        {"same class": "contraction.same", "different classes": "contraction.different"},
    ),
    "complexity": (
        "boundary points (% of the images)",
        {"k = 1": "boundary.nested_1", "k = 30": "boundary.nested_30"},
    ),
}


def section_figures(rows: Rows) -> dict[str, tuple[str, Figure]]:
    """name of the picture -> (what it shows, figure), of those that the runs of this table have the numbers for."""
    drawn: dict[str, tuple[str, Figure]] = {}
    finished = [entry for _, found in rows for entry in found if entry.group.finished]
    if finished and len({row.labels for row, _ in rows if row.labels}) > 1:
        drawn["labels"] = ("Accuracy by number of labels, published and ours", labels_figure(rows))
    if curves := curves_of(rows):
        drawn["curves"] = curves
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
    small crosses without a line. Points at the same number of labels stand side by side; the legend names what is drawn.
    """
    ((axes,),) = new_panels(5.2, 3.2)
    ticks = sorted({row.labels for row, _ in rows if row.labels})
    series = _series(rows)
    networks = {name: _look(k) for k, name in enumerate(dict.fromkeys(row.name for row, _ in rows if row.labels))}
    for name, kind, points in series:
        labels, means, stds = zip(*points, strict=True)
        places = [each * (ticks[-1] / ticks[0]) ** _aside((name, kind), each, series) for each in labels]
        more = {"markersize": 4.5, "capsize": 2.5, "elinewidth": 1}
        axes.errorbar(places, means, yerr=[std or 0.0 for std in stds], **{**networks[name], **more, **_KINDS[kind]})
    axes.set(xscale="log", xlabel="labelled images", ylabel="test accuracy (%)")
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    axes.grid(axis="x", color="0.9", linewidth=0.6)  # which points are at one number of labels
    drawn = {name: networks[name] for name, _, _ in series}
    grey = {"color": QUIET, "marker": "o"}
    drawn |= {kind: {**grey, **look} for kind, look in _KINDS.items() if any(kind == each for _, each, _ in series)}
    legend_below(axes.figure, [Line2D([], [], **look) for look in drawn.values()], list(drawn))
    return axes.figure


def _series(rows: Rows) -> list[tuple[str, str, list[_Point]]]:
    """(network, kind, its points by number of labels), of those that have points."""
    found: dict[tuple[str, str], list[_Point]] = {}
    for name in dict.fromkeys(row.name for row, _ in rows):
        own = sorted(
            ((row, of) for row, of in rows if row.name == name and row.labels), key=lambda pair: pair[0].labels
        )
        points = [("published", row, row.figure) for row, _ in own]
        points += [(_kind(entry), row, _figure(entry)) for row, of in own for entry in of]
        for kind in _KINDS:
            known = [(row.labels, *figure) for each, row, figure in points if each == kind and figure is not None]
            if known:
                found[name, kind] = known
    return [(name, kind, points) for (name, kind), points in found.items()]


def _aside(own: tuple[str, str], labels: int, series: Sequence[tuple[str, str, list[_Point]]]) -> float:
    """How far a point stands from its number of labels, as a share of the axis: all that are there stand close around it."""
    there = [(name, kind) for name, kind, points in series if labels in [point[0] for point in points]]
    step = min(_DODGE, _WIDEST / max(1, len(there) - 1))
    return step * (there.index(own) - (len(there) - 1) / 2)


def _kind(entry: Entry) -> str:
    return "ours, settings changed" if entry.changes else "ours"


def _look(k: int) -> dict[str, Any]:
    return {"color": COLOURS[k % len(COLOURS)], "marker": MARKERS[k % len(MARKERS)]}


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
    """{network: {curve: [(layer, value), …]}} of the first networks that have been analysed, with what they change."""
    networks: dict[str, tuple[str, dict[str, list[tuple[str, float]]]]] = {}
    for entry in found:
        curves = {label: curve for label, column in columns.items() if (curve := _layer_means(entry, column))}
        if curves and len(networks) < _MOST_NETWORKS:
            networks.setdefault(entry.row.name, (", ".join([entry.row.name, *in_short(entry.changes)]), curves))
    return dict(networks.values())


def _figure(entry: Entry) -> tuple[float, float | None] | None:
    figure = entry.group.mean_std("test.top1")
    return figure and (figure.mean, figure.std)
