"""Where the time of a training step goes: this package beside the plain loop with kymatio's transform."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from hybrid.reports.style import COLOURS, PAGE, SMALL, legend_below, new_panels, paper_style, plain

_PARTS = {"data": COLOURS[2], "front-end": COLOURS[1], "head, backward, optimizer": COLOURS[0]}


@paper_style
def step_figure(rows: Sequence[Mapping[str, Any]], *, settings: Sequence[str] = ()) -> Figure:
    """One bar per row of scripts/bench_training.py, as long as its step in percent of the plain loop's, in three parts.

    settings: those of the third side, by whose values it is called.
    """
    third = ", ".join(["ours", *(setting.partition("=")[2] for setting in settings)])
    axes = new_panels(PAGE, 0.6 + 0.24 * len(rows))[0, 0]
    places, names, place, handles = [], [], 0.0, []
    for number, row in enumerate(rows):
        place += 1.0 if number and row["case"] == rows[number - 1]["case"] else 1.6
        places.append(place)
        names.append(f"{row['case']}, {third if row['side'] == 'set' else row['side']}")
        whole = 100 / row["ratio"]
        parts = [row["data"], row["front_end"], max(0.0, 1 - row["data"] - row["front_end"])]
        left = 0.0
        for part, colour in zip(parts, _PARTS.values(), strict=True):
            bar = axes.barh(place, part * whole, left=left, height=0.8, color=colour)
            left += part * whole
            handles = [*handles, bar][: len(_PARTS)]
        axes.annotate(
            plain(f"{row['images_per_second']:,.0f} images/s"), (left, place), (4, 0), textcoords="offset points",
            va="center", fontsize=SMALL,
        )  # fmt: skip
    axes.set_yticks(places, map(plain, names))
    axes.invert_yaxis()
    axes.set(xlabel="time of a step, % of the plain loop's", xlim=(0, 125))
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color="0.9", linewidth=0.6)
    legend_below(axes.figure, handles, list(_PARTS))
    return axes.figure
