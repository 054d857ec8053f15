"""Draw learning curves of groups of runs: the mean over seeds is a line, one standard deviation to each side a band.

The band goes no further than the runs themselves, so it never leaves the range of the values.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hybrid.errors import UserError, unknown_name
from hybrid.reports.differences import labels
from hybrid.reports.groups import SEED, Group
from hybrid.reports.numbers import title
from hybrid.reports.style import COLOURS, WIDE, legend_below, log_scale, new_panels, paper_style, plain
from hybrid.runs.reading import StoredRun

_STROKES = ("-", (0, (5, 1.5)))
MOST_GROUPS = len(COLOURS) * len(_STROKES)
_LINE_WIDTH, _THIN = 1.6, 0.8
_FAR = 10  # times longer: drawn over one linear axis the shorter curve would be a stroke at its left end
_FAR_LOSSES = 20
_ROOM = 1.2  # times the largest loss of the finished runs: the top of the axis


@dataclasses.dataclass(frozen=True)
class Line:
    """A group with its label, to which the numbers of its runs are added, its colour and its stroke."""

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
    """Draw one line per group over the epochs or steps; groups beyond MOST_GROUPS are left out with a warning.

    Finished runs are averaged. Every other run is a thin line in its group's colour. A run with a damaged metrics.jsonl is
    named in a warning and left out; a value that was not finite is a gap. The axis is logarithmic where finished runs are
    more than ten times as long as others.

    Args:
        name: a name in metrics.jsonl; None: "validation/top1" if it is there, or else "train/loss".
        by: the settings that the legend names first. Others follow only where these do not tell all groups apart. Without
            `by` the legend names the settings in which the groups differ.
        over: the x axis. Steps can be compared between runs of different numbers of images, epochs cannot.

    Raises UserError where no run has such a value.
    """
    if len(groups) > MOST_GROUPS:
        warnings.warn(
            f"curves of the first {MOST_GROUPS} of {len(groups)} groups; choose others with where.", stacklevel=2
        )
        groups = groups[:MOST_GROUPS]
    names = labels(groups, by=by)
    lines = [
        Line(group, label, COLOURS[k % len(COLOURS)], _STROKES[k // len(COLOURS)])
        for k, (group, label) in enumerate(zip(groups, names, strict=True))
    ]
    return lines_figure(lines, name=name, over=over)


@paper_style
def lines_figure(
    lines: Sequence[Line], *, name: str | None = None, over: Literal["epoch", "step"] = "epoch", heading: str = ""
) -> Figure:
    """Draw learning curves with labels, colours and strokes as given, and `heading` above the legend.

    The losses of finished runs say how high the axis reaches: a run that diverges leaves the picture at its top.
    """
    records = {run.path: _records(run) for line in lines for run in line.group.runs}
    name = _name(name, [record for rows in records.values() for record in rows])
    series = [
        [(run, *points) for run in line.group.runs if (points := _points(records[run.path], name, over))]
        for line in lines
    ]
    ((axes,),) = new_panels(WIDE, 3.0)
    for line, own in zip(lines, series, strict=True):
        style = {"color": line.colour, "linestyle": line.stroke}
        one = "seed" if line.group.over == SEED else "run"
        _draw(axes, own, style, label=_counted(line.label, [run for run, *_ in own], one))
    axes.set(xlabel=over, ylabel=plain(title(name).replace("top-1 (%)", "accuracy (%)"), 90))
    if _far_apart(series):
        log_scale(axes, "x")
    else:
        axes.set_xlim(left=0)
    if name.endswith("loss"):
        _scale_losses(axes, series)
    legend_below(axes.figure, *axes.get_legend_handles_labels(), heading=heading)
    return axes.figure


def extremes(curves: Sequence[tuple[np.ndarray, np.ndarray]], grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The smallest and the largest value of the curves at each place of `grid`, interpolated as for `average`."""
    values = np.stack([np.interp(grid, *curve) for curve in curves])
    return values.min(0), values.max(0)


def average(curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Average curves (places, values): places, mean, standard deviation (n - 1; None for one curve).

    Places are epochs or steps. Curves are compared at the places of the sparsest one, as far as all of them reach, and
    interpolated where a run logged elsewhere.
    """
    grid = min((places for places, _ in curves), key=len)
    grid = grid[(grid >= max(places[0] for places, _ in curves)) & (grid <= min(places[-1] for places, _ in curves))]
    values = np.stack([np.interp(grid, *curve) for curve in curves])
    return grid, values.mean(0), values.std(0, ddof=1) if len(curves) > 1 else None


def _records(run: StoredRun) -> list[dict[str, Any]]:
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
    """Return epochs or steps, and values; a value that was not finite is NaN."""
    points = [(record[over], record[name]) for record in records if name in record]
    return tuple(np.array(points, dtype=float).T) if points else None


def _draw(
    axes: Axes, runs: Sequence[tuple[StoredRun, np.ndarray, np.ndarray]], style: dict[str, Any], *, label: str
) -> None:
    finished = [points for run, *points in runs if run.state == "finished"]
    if finished:
        places, mean, std = average(finished)
        axes.plot(places, mean, linewidth=_LINE_WIDTH, marker="o" if len(places) == 1 else None, label=label, **style)
        if std is not None:
            low, high = extremes(finished, places)
            band = np.maximum(mean - std, low), np.minimum(mean + std, high)
            axes.fill_between(places, *band, color=style["color"], alpha=0.2, linewidth=0)
    for run, places, values in runs:
        if run.state != "finished":
            axes.plot(places, values, linewidth=_THIN, marker="x", markevery=[-1], markersize=4, label=label, **style)
            label = None  # one entry in the legend is enough
        elif finished:
            label = None


def _scale_losses(axes: Axes, series: Sequence[Sequence[tuple]]) -> None:
    """Show the smallest loss to a little above the largest of the finished runs and the first losses of the others."""
    runs = [(run.state == "finished", values) for own in series for run, _, values in own]
    told = [values if finished or not any(f for f, _ in runs) else values[:1] for finished, values in runs]
    told = np.concatenate(told)
    known = np.concatenate([values for _, values in runs])
    if not np.isfinite(told).any():
        return
    low, high = known[np.isfinite(known)].min(), _ROOM * told[np.isfinite(told)].max()
    far = 0 < _FAR_LOSSES * low < high
    if low < high:
        axes.set_ylim(low / _ROOM if far else low - 0.05 * (high - low), high)
    if far:
        log_scale(axes)


def _far_apart(series: Sequence[Sequence[tuple]]) -> bool:
    """Return whether finished runs differ so much in length that a linear axis would show only the long ones."""
    ends = [places[-1] for runs in series for run, places, _ in runs if run.state == "finished"]
    return bool(ends) and 0 < _FAR * min(ends) < max(ends)


def _counted(label: str, drawn: Sequence[StoredRun], one: str) -> str:
    states = [run.state for run in drawn]
    finished = states.count("finished")
    parts = [f"{finished} {one}{'s' * (finished != 1)}"] if finished else []
    parts += [
        f"{states.count(state)} {state}" for state in ("unfinished", "failed", "damaged", "missing") if state in states
    ]
    return f"{label} ({', '.join(parts)})"
