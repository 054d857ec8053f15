"""Draw a number of the summaries over one setting, with error bars over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hybrid.errors import UserError
from hybrid.reports.differences import labels, setting_text, telling_settings, varying
from hybrid.reports.groups import Group, as_text, sortable
from hybrid.reports.numbers import title
from hybrid.reports.style import COLOURS, SMALL, WIDE, legend_below, new_panels, paper_style, plain
from hybrid.runs.reading import full_name

_FAR = 20  # times larger: the axis is logarithmic
_MARGIN = 0.1  # of the axes, above and below the points: room for a line of text


@paper_style
def setting_figure(groups: Sequence[Group], *, over: str, metric: str) -> Figure:
    """Draw one line per configuration but for `over`; a bar is one standard deviation (n - 1) to each side.

    Every group leaves a mark. A note such as "3 of 5" says how many runs a mean has where some are not finished. A group
    without any finished run is a cross on the axis.

    Args:
        over: the setting on the horizontal axis; its values are numbers (a logarithmic axis where they span a factor of
            20), or else names.
        metric: a number of summary.json.

    Raises UserError where no group has the setting, only one value of it is there, or no run has the number.
    """
    valid = {name for group in groups for name in group.facts}
    over = full_name(over, valid, what="setting in x")
    values = list(dict.fromkeys(setting_text(group.fact(over)) for group in groups))
    if len(values) < 2:
        raise UserError(f"x={over}: all runs have {values[0]}; a figure needs two values or more.")
    if all(group.mean_std(metric) is None for group in groups):
        raise UserError(f"figure: no finished run has {metric}.")
    positions = _positions(groups, over)
    ((axes,),) = new_panels(WIDE, 3.0)
    for k, (label, members) in enumerate(_lines(groups, over)):
        _draw(axes, members, positions, over=over, metric=metric, colour=COLOURS[k % len(COLOURS)], label=label)
    _finish(axes, positions, over=over, metric=metric)
    return axes.figure


def _lines(groups: Sequence[Group], over: str) -> list[tuple[str, list[Group]]]:
    """Return a name and the groups of each line: those that differ in `over` alone."""
    names = [name for name in varying(groups, telling_settings(groups)) if name != over]
    lines: dict[str, list[Group]] = {}
    words: dict[str, str] = {}
    for group, label in zip(groups, labels(groups, without=[over]), strict=True):
        key = as_text([group.fact(name) for name in names])
        lines.setdefault(key, []).append(group)
        words.setdefault(key, label)
    return [(words[key], members) for key, members in lines.items()]


def _positions(groups: Sequence[Group], over: str) -> Mapping[str, float]:
    """Return the place of each value on the axis: the value itself if all are numbers, else 0, 1, 2, …"""
    facts: dict[str, Any] = {setting_text(group.fact(over)): group.fact(over) for group in groups}
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in facts.values()):
        return {text: float(value) for text, value in facts.items()}
    return {text: float(k) for k, text in enumerate(sorted(facts, key=lambda text: sortable(facts[text])))}


def _draw(
    axes: Axes,
    groups: Sequence[Group],
    positions: Mapping[str, float],
    *,
    over: str,
    metric: str,
    colour: str,
    label: str,
) -> None:
    ordered = sorted(groups, key=lambda group: positions[setting_text(group.fact(over))])
    points = [(positions[setting_text(group.fact(over))], group, group.mean_std(metric)) for group in ordered]
    known = [(x, found) for x, _, found in points if found is not None]
    axes.errorbar(
        [x for x, _ in known],
        [found.mean for _, found in known],
        yerr=[found.std or 0.0 for _, found in known],
        color=colour,
        marker="o",
        markersize=4,
        linewidth=1.4,
        capsize=3,
        label=label,
    )
    for x, group, found in points:
        if found is None:
            axis = axes.get_xaxis_transform()
            axes.plot([x], [0], "x", color=colour, markersize=7, markeredgewidth=2, transform=axis, clip_on=False)
            _note(axes, f"0 of {len(group.runs)}", (x, 0), colour=colour, xycoords=axis)
        elif found.n < len(group.runs):
            _note(axes, f"{found.n} of {len(group.runs)}", (x, found.mean), colour=colour)


def _note(axes: Axes, words: str, place: tuple[float, float], *, colour: str, **more: Any) -> None:
    """Write above and right of a point."""
    axes.annotate(plain(words), place, (5, 4), textcoords="offset points", color=colour, fontsize=SMALL, **more)


def _finish(axes: Axes, positions: Mapping[str, float], *, over: str, metric: str) -> None:
    axes.set(xlabel=plain(over, 90), ylabel=plain(title(metric), 90))
    places = list(positions.values())
    if min(places) > 0 and max(places) >= _FAR * min(places):
        axes.set_xscale("log")
    axes.set_xticks(places, [plain(each) for each in positions])
    axes.minorticks_off()
    axes.margins(y=_MARGIN)
    handles, names = axes.get_legend_handles_labels()
    if any(names):
        legend_below(axes.figure, handles, names)
