"""Draw the figures of a table: accuracy by number of labels, learning curves, contraction and complexity by depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hybrid.reports.curves import Line, lines_figure
from hybrid.reports.depth_figures import curves_by_depth
from hybrid.reports.style import COLOURS, MARKERS, QUIET, STROKES, WIDE, legend_below, new_panels, paper_style, shades
from hybrid.runs.reading import StoredRun
from published.archive import LAYERS
from published.matching import Entry, Rows, in_short

_PARALLEL = ("S0", "S1", "S2")  # orders of the scattering transform: side by side, no line leads through them
_Point = tuple[int, float, float | None]  # labelled images, mean, standard deviation
# Of the axis: from one point to the next at a number of labels, and at most from the first to the last.
_DODGE, _WIDEST = 0.008, 0.02
_KINDS: dict[str, dict[str, Any]] = {  # how points are drawn, by whose they are
    "published": {"linestyle": STROKES[1], "markerfacecolor": "white", "linewidth": 1},
    "ours": {"zorder": 4},
    "ours, settings changed": {"marker": "x", "linestyle": "none", "zorder": 4},
}
_MOST_CURVES, _MOST_SHADES = 14, 6  # in a picture, and of one colour
_MOST_NETWORKS = len(STROKES)  # that strokes tell apart
_DEPTH = {  # picture -> (its caption, its y axis, {curve: the column of an analysis's table})
    "contraction": (
        "contraction of pairs of images",
        "‖Φx − Φx'‖ / ‖x − x'‖, median",
        {"same class": "contraction.same", "different classes": "contraction.different"},
    ),
    "complexity": (
        "boundary points; maps are averaged over positions",
        "boundary points (% of images)",
        {"k = 1": "boundary.nested_1", "k = 30": "boundary.nested_30"},
    ),
}


def section_figures(rows: Rows) -> dict[str, tuple[str, Figure]]:
    """Draw every figure for which the runs of this table have the numbers: name of the picture -> (caption, figure)."""
    drawn: dict[str, tuple[str, Figure]] = {}
    finished = [entry for _, found in rows for entry in found if entry.group.finished]
    if finished and len({row.labels for row, _ in rows if row.labels}) > 1:
        drawn["labels"] = ("Accuracy by number of labels, published and ours", labels_figure(rows))
    if curves := _curves(rows):
        drawn["curves"] = curves
    for name, (caption, ylabel, columns) in _DEPTH.items():
        if layers := _layers(finished, columns):
            drawn[name] = (f"By depth: {caption}", curves_by_depth(layers, ylabel=ylabel))
    return drawn


@paper_style
def labels_figure(rows: Rows) -> Figure:
    """Draw accuracy in % over the number of labelled images; bars are one standard deviation to each side.

    A colour per network. Published accuracies are hollow and dashed, ours full; runs with other settings than the row's
    are crosses without a line. Points at the same number of labels stand side by side; the legend names what is drawn.
    """
    ((axes,),) = new_panels(WIDE, 3.2)
    ticks = sorted({row.labels for row, _ in rows if row.labels})
    series = _series(rows)
    looks = zip(dict.fromkeys(row.name for row, _ in rows if row.labels), _looks(), strict=False)
    networks = dict(looks)
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


def _looks() -> list[dict[str, Any]]:
    most = len(COLOURS) * len(MARKERS)
    return [{"color": COLOURS[k % len(COLOURS)], "marker": MARKERS[k % len(MARKERS)]} for k in range(most)]


def _series(rows: Rows) -> list[tuple[str, str, list[_Point]]]:
    """Return (network, kind, its points by number of labels), for those that have points."""
    points: dict[tuple[str, str], list[_Point]] = {}
    for name in dict.fromkeys(row.name for row, _ in rows):
        for kind in _KINDS:
            own = [
                (row.labels, *found)
                for row, entries in sorted(rows, key=lambda pair: pair[0].labels or 0)
                if row.name == name and row.labels
                for found in _of_kind(kind, row.mean_std, entries)
            ]
            if own:
                points[name, kind] = own
    return [(name, kind, own) for (name, kind), own in points.items()]


def _of_kind(kind: str, published: tuple | None, entries: Sequence[Entry]) -> list[tuple[float, float | None]]:
    if kind == "published":
        return [published] if published else []
    own = [entry.group.mean_std("test.top1") for entry in entries if bool(entry.changes) == (kind != "ours")]
    return [(found.mean, found.std) for found in own if found is not None]


def _aside(own: tuple[str, str], labels: int, series: Sequence[tuple[str, str, list[_Point]]]) -> float:
    """Return the distance of a point from its number of labels, as a share of the axis: points there stand side by side."""
    there = [(name, kind) for name, kind, points in series if labels in [point[0] for point in points]]
    step = min(_DODGE, _WIDEST / max(1, len(there) - 1))
    return step * (there.index(own) - (len(there) - 1) / 2)


def _curves(rows: Rows) -> tuple[str, Figure] | None:
    """Draw the curves of every run that has logged something while training: (caption, figure); None where none has.

    A colour per row, or per network where there are more rows than colours; shades of it for runs that change settings. Of
    more curves than eyes can follow the ones that change most are left out, and it is said how many.
    """
    found = [[entry for entry in own if any(map(_has_curve, entry.group.runs))] for _, own in rows]
    if not any(found):
        return None
    families = _families(found)
    drawn = [entry for own in families for entry in own]
    words = ["Learning curves"]
    if any(run.state != "finished" for entry in drawn for run in entry.group.runs):
        words.append("thin, ending in ×: runs that failed or are not finished")
    if left := sum(map(len, found)) - len(drawn):
        words.append(f"not drawn: {left} more with other settings, in the table")
    parts = [_parts(entry) for entry in drawn]
    shared = [part for part in parts[0] if all(part in own for own in parts)] if len(parts) > 1 else []
    lines = [
        Line(
            entry.group,
            ", ".join(part for part in _parts(entry) if part not in shared) or "the recipe's",
            shade,
            stroke,
        )
        for own, colour in zip(families, COLOURS * 2, strict=False)
        for entry, shade, stroke in zip(own, shades(colour, len(own)), STROKES * 2, strict=False)
    ]
    return "; ".join(words), lines_figure(lines, over="step", heading=", ".join(shared))


def _families(found: Sequence[Sequence[Entry]]) -> list[list[Entry]]:
    """Group entries by colour: the first of every row, then the second of every row, and so on, until there are enough."""
    by_network = sum(map(bool, found)) > len(COLOURS)
    families: dict[str, list[Entry]] = {}
    for entry in (own[k] for k in range(max(map(len, found))) for own in found if k < len(own)):
        own = families.setdefault(entry.row.name if by_network else f"{entry.row.name}, {entry.row.labels}", [])
        if len(own) < _MOST_SHADES and sum(map(len, families.values())) < _MOST_CURVES:
            own.append(entry)
    return [own for own in families.values() if own]


def _parts(entry: Entry) -> list[str]:
    """Return the parts of a label in the legend: the row, its number of labels, the changes."""
    labels = [f"{entry.row.labels:,} labels"] if entry.row.labels else []
    return [entry.row.name, *labels, *in_short(entry.changes)]


def _has_curve(run: StoredRun) -> bool:
    """Return whether it has logged more than its test; a support vector machine logs no more than that."""
    return any(not key.startswith("test/") for record in run.records() for key in record.keys() - {"step", "epoch"})


def _layers(found: Sequence[Entry], columns: Mapping[str, str]) -> dict[str, dict[str, list[tuple[str, float]]]]:
    """Return {network: {curve: [(layer, value), …]}} of the first networks that have been analysed."""
    networks: dict[str, tuple[str, dict[str, list[tuple[str, float]]]]] = {}
    for entry in found:
        curves = {label: curve for label, column in columns.items() if (curve := _layer_means(entry, column))}
        if curves and len(networks) < _MOST_NETWORKS:
            networks.setdefault(entry.row.name, (", ".join([entry.row.name, *in_short(entry.changes)]), curves))
    return dict(networks.values())


def _layer_means(entry: Entry, column: str) -> list[tuple[str, float]]:
    """Average a column of the layers' tables over the finished runs: (layer, mean) for the layers that all of them have."""
    files = [path for run in entry.group.finished if (path := run.path / LAYERS).is_file()]
    tables = [_named(table, column) for path in files if column in (table := pandas.read_csv(path, index_col="layer"))]
    if not tables:
        return []
    values = pandas.concat([table[column] for table in tables], axis=1, join="inner").drop(
        list(_PARALLEL), errors="ignore"
    )
    return list(values.dropna().mean(axis=1).items())


def _named(table: pandas.DataFrame, column: str) -> pandas.DataFrame:
    """Call the pixels of earlier tables, which do not say how their vectors were made, what was measured: their average."""
    whole = "vectors" in table or column.startswith(("contraction.", "step."))
    return table if whole else table.rename(index={"pixels": "mean colour"})
