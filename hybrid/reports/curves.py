"""Learning curves of groups of runs: the mean over seeds as a line, one standard deviation to each side as a band."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hybrid.errors import UserError, unknown_name
from hybrid.reports.divergence import below, top_of
from hybrid.reports.free_places import add_legend
from hybrid.reports.groups import Group, telling_settings
from hybrid.reports.runs import Run
from hybrid.reports.style import COLOURS, SMALL, STYLE, log_scale
from hybrid.reports.table import setting_text, title

_STROKES = ("-", (0, (5, 1.5)))
MOST_GROUPS = len(COLOURS) * len(_STROKES)
_STYLE = {**STYLE, "legend.title_fontsize": SMALL}
_LINE_WIDTH, _THIN = 1.6, 0.8
_FAR = 10  # times longer: drawn over one linear axis the shorter curve would be a stroke at its left end


@dataclasses.dataclass(frozen=True)
class Line:
    """How a group is drawn: what the legend calls it, to which the numbers of its runs are added, its colour and stroke."""

    group: Group
    label: str
    colour: str
    stroke: Any = "-"


def curves_figure(
    groups: Sequence[Group],
    *,
    name: str | None = None,
    by: Sequence[str] = (),
    over: Literal["epoch", "step"] = "epoch",
) -> Figure:
    """One line per group over the epochs or steps; groups beyond MOST_GROUPS are left out with a warning.

    Finished runs are averaged. Others are thin lines of their own in their group's colour. A run with a damaged
    metrics.jsonl is named in a warning and left out; a value that was not finite is a gap. The axis is logarithmic where
    finished runs are more than ten times as long as others.

    Args:
        name: a name in metrics.jsonl; None: "validation/top1" if it is there, or else "train/loss".
        by: the settings that the legend names, and others only where these do not tell all groups apart; none: those in
            which the groups differ.
        over: what the curves are drawn over; epochs of different numbers of images do not compare, steps do.

    Raises UserError where no run has such a value.
    """
    if len(groups) > MOST_GROUPS:
        warnings.warn(
            f"curves of the first {MOST_GROUPS} of {len(groups)} groups; choose others with where.", stacklevel=2
        )
        groups = groups[:MOST_GROUPS]
    settings = _legend_settings(groups, by)
    lines = [
        Line(
            group,
            ", ".join(_value(name, group) for name in settings),
            COLOURS[k % len(COLOURS)],
            _STROKES[k // len(COLOURS)],
        )
        for k, group in enumerate(groups)
    ]
    return lines_figure(lines, name=name, over=over, heading=heading_of(settings))


def lines_figure(
    lines: Sequence[Line], *, name: str | None = None, over: Literal["epoch", "step"] = "epoch", heading: str = ""
) -> Figure:
    """The same with labels, colours and strokes as given, and `heading` above the legend.

    The losses of runs that are not finished are drawn up to a little above those of the finished ones, and as far as they
    are finite: a diverging run would hide the others.
    """
    runs = [run for line in lines for run in line.group.runs]
    records = {run.path: _records(run) for run in runs}
    name = _name(name, [record for rows in records.values() for record in rows])
    points = {run.path: found for run in runs if (found := _points(records[run.path], name, over))}
    top = top_of(runs, points) if name.endswith("loss") else math.inf
    series = [
        [
            (run, *(found if run.state == "finished" else below(top, *found)))
            for run in line.group.runs
            if (found := points.get(run.path))
        ]
        for line in lines
    ]
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(5.2, 3.4), layout="constrained")
        axes = figure.subplots()
        for line, own in zip(lines, series, strict=True):
            style = {"color": line.colour, "linestyle": line.stroke}
            _draw(axes, own, style, label=_counted(line.label, [run for run, *_ in own]))
        _finish(axes, name, series, over=over, heading=heading)
    return figure


def average(curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Places, mean, standard deviation (n - 1; None for one curve) of curves (places, values), over epochs or steps.

    They are taken at the places of the sparsest curve, as far as all of them reach, interpolated where runs logged elsewhere.
    """
    grid = min((places for places, _ in curves), key=len)
    grid = grid[(grid >= max(places[0] for places, _ in curves)) & (grid <= min(places[-1] for places, _ in curves))]
    values = np.stack([np.interp(grid, *curve) for curve in curves])
    return grid, values.mean(0), values.std(0, ddof=1) if len(curves) > 1 else None


def _records(run: Run) -> list[dict[str, Any]]:
    try:
        return run.records()
    except UserError as error:
        warnings.warn(f"{error} Its run is left out of the curves.", stacklevel=2)
        return []


def _name(name: str | None, records: Sequence[dict[str, Any]]) -> str:
    valid = {key for record in records for key in record} - {"step", "epoch"}
    valid -= {key for key in valid if key.startswith("test/")}  # one point
    if not valid:
        raise UserError("curves: the runs have logged nothing yet.")
    if name is None:
        name = "validation/top1" if "validation/top1" in valid else "train/loss"
    if name not in valid:
        raise unknown_name(name, valid, what="curve")
    return name


def _points(records: Sequence[dict[str, Any]], name: str, over: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Epochs or steps, and values; NaN for a value that was not finite."""
    points = [(record[over], record[name]) for record in records if name in record]
    return tuple(np.array(points, dtype=float).T) if points else None


def _draw(axes: Axes, runs: Sequence[tuple[Run, np.ndarray, np.ndarray]], style: dict[str, Any], *, label: str) -> None:
    finished = [points for run, *points in runs if run.state == "finished"]
    if finished:
        places, mean, std = average(finished)
        axes.plot(places, mean, linewidth=_LINE_WIDTH, marker="o" if len(places) == 1 else None, label=label, **style)
        if std is not None:
            axes.fill_between(places, mean - std, mean + std, color=style["color"], alpha=0.2, linewidth=0)
    for run, places, values in runs:
        if run.state != "finished":
            axes.plot(places, values, linewidth=_THIN, marker="x", markevery=[-1], markersize=4, label=label, **style)
            label = None  # one entry in the legend is enough
        elif finished:
            label = None


def _finish(axes: Axes, name: str, series: Sequence[Sequence[tuple]], *, over: str, heading: str) -> None:
    axes.set(xlabel=over, ylabel=title(name).replace("top-1 (%)", "accuracy (%)"))
    axes.grid(axis="y", color="0.9", linewidth=0.6)
    if _far_apart(series):
        log_scale(axes, "x")
    else:
        axes.set_xlim(left=0)
    values = np.concatenate([values for runs in series for _, _, values in runs])
    values = values[np.isfinite(values)]
    if name.endswith("loss") and len(values) and values.min() > 0 and values.max() > 20 * values.min():
        axes.set_yscale("log")
    add_legend(axes, heading)


def _far_apart(series: Sequence[Sequence[tuple]]) -> bool:
    """Whether finished runs have so different lengths that a linear axis shows only the long ones."""
    ends = [places[-1] for runs in series for run, places, _ in runs if run.state == "finished"]
    return bool(ends) and 0 < _FAR * min(ends) < max(ends)


def heading_of(settings: Sequence[str]) -> str:
    """The settings' names as short as they are distinct: what stands above a legend of their values."""
    short = [name.rpartition(".")[2] for name in settings]
    return ", ".join(short if len(set(short)) == len(short) else settings)


def _counted(label: str, drawn: Sequence[Run]) -> str:
    states = [run.state for run in drawn]
    finished = states.count("finished")
    parts = [f"{finished} seed{'s' * (finished != 1)}"] if finished else []
    parts += [
        f"{states.count(state)} {state}" for state in ("unfinished", "failed", "damaged", "missing") if state in states
    ]
    return f"{label} ({', '.join(parts)})"


def _value(name: str, group: Group) -> str:
    """As it is typed, but for the number of images, whose null says nothing to whoever sees the picture alone."""
    value = group.fact(name)
    return "all" if name == "data.subset.n" and value is None else setting_text(value)


def _legend_settings(groups: Sequence[Group], by: Sequence[str]) -> list[str]:
    """What tells the lines apart, those of `by` first; of a single group its model and data."""
    names = telling_settings(groups, by)
    chosen = [name for name in names if len({setting_text(group.fact(name)) for group in groups}) > 1]
    for name in telling_settings(groups) if by else ():
        if _distinct(groups, [*chosen, name]) > _distinct(groups, chosen):
            chosen.append(name)
    return chosen or names[:2]


def _distinct(groups: Sequence[Group], settings: Sequence[str]) -> int:
    return len({tuple(setting_text(group.fact(name)) for name in settings) for group in groups})
