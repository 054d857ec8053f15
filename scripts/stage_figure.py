"""Where the time of a scattering transform goes: the stages of the engine for CPUs, and kymatio's functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from hybrid.reports.style import COLOURS, PAGE, legend_below, new_panels, paper_style, plain

_COLOURS: dict[int | None, str] = {0: COLOURS[2], 1: COLOURS[1], 2: COLOURS[0], None: "0.6"}
_NAMES: dict[int | None, str] = {0: "the image", 1: "maps of order 1", 2: "maps of order 2", None: "all maps"}


@paper_style
def stage_figure(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """A panel per engine and case of scripts/profile_scattering.py; a bar per stage, in percent of the panel's time, by order."""
    cases, engines = (list(dict.fromkeys(row[key] for row in rows)) for key in ("case", "engine"))
    stages = {name: list(dict.fromkeys(row["stage"] for row in rows if row["engine"] == name)) for name in engines}
    heights = [0.19 * len(names) + 0.5 for names in stages.values()]
    grid = new_panels(PAGE, sum(heights), rows=len(engines), columns=len(cases), heights=heights, share="row")
    handles: dict[int | None, BarContainer] = {}
    widest = 0.0
    for line, engine in zip(grid, engines, strict=True):
        for axes, case in zip(line, cases, strict=True):
            chosen = [row for row in rows if (row["engine"], row["case"]) == (engine, case)]
            widest = max(widest, _bars(axes, chosen, stages[engine], handles))
            side, J = chosen[0]["side"], chosen[0]["J"]
            axes.set_title(plain(f"{engine}, {side}×{side}, J = {J}"), loc="left")
        line[0].set_yticks(range(len(stages[engine])), [plain(name.replace("_", " ")) for name in stages[engine]])
        line[0].invert_yaxis()
    for axes in grid.flat:
        axes.set_xlim(0, 1.05 * widest)
    for axes in grid[-1]:
        axes.set_xlabel("% of its time")
    legend_below(grid[0, 0].figure, list(handles.values()), [_NAMES[order] for order in handles])
    return grid[0, 0].figure


def _bars(
    axes: Axes, rows: Sequence[Mapping[str, Any]], stages: Sequence[str], handles: dict[int | None, BarContainer]
) -> float:
    """Orders one behind the other; the length of the longest bar."""
    ends = dict.fromkeys(stages, 0.0)
    for row in rows:
        share, order = 100 * row["share"], row["order"]
        place = stages.index(row["stage"])
        bar = axes.barh(place, share, left=ends[row["stage"]], height=0.75, color=_COLOURS[order])
        ends[row["stage"]] += share
        handles.setdefault(order, bar)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color="0.9", linewidth=0.6)
    return max(ends.values())
