"""Where a legend or a note stands so that it covers no data: among a few places inside the axes, else a legend goes below."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from matplotlib.axes import Axes
from matplotlib.path import Path
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

_CORNERS = ("upper right", "upper left", "lower right", "lower left", "center right", "center left")
_MARGIN = 0.04  # inches between a legend and data: half of a marker
_MOST_ENTRIES, _MOST_LETTERS = 4, 34  # of a legend that may stand inside
_LETTERS = 78  # of the legend's size, in the figure's width
_SIDES = (
    ("left", 5, -11),
    ("left", 5, 4),
    ("right", -5, -11),
    ("right", -5, 4),
)  # alignment, points to the right and up


def add_legend(axes: Axes, heading: str = "") -> None:
    """Inside where it is small and covers no data; else below, in a figure that grows with it.

    Call it last: the limits and scales of the axes decide what it would cover.
    """
    labels = axes.get_legend_handles_labels()[1]
    longest = max(map(len, labels))
    if len(labels) <= _MOST_ENTRIES and max(longest, len(heading)) <= _MOST_LETTERS and _add_inside(axes, heading):
        return
    columns = max(1, min(3, len(labels), _LETTERS // (longest + 6)))
    heading = textwrap.fill(heading, _LETTERS)
    rows = -(-len(labels) // columns) + heading.count("\n") + 1
    axes.figure.set_figheight(axes.figure.get_figheight() + 0.17 * rows)
    axes.figure.legend(title=heading, loc="outside lower left", ncols=columns, frameon=False, alignment="left")


def move_to_free_places(notes: list[Annotation]) -> None:
    """Each beside its point, on the first side where it covers no data and no other note and lies inside the axes.

    A note is of one line, and its distance from its point is in points ("offset points"). One that is free nowhere stands
    at the first side that is inside. The limits of the axes must be set.
    """
    if notes:
        notes[0].axes.figure.draw_without_rendering()  # the layout is known only then
    for note in notes:
        others = [other for other in notes if other is not note]
        inside = [side for side in _SIDES if _inside(note.axes, _box(note, side))]
        free = (side for side in inside if not _covers(note.axes, _box(note, side), others))
        _box(note, next(free, (inside or _SIDES)[0]))


def _box(note: Annotation, side: tuple[str, float, float]) -> Bbox:
    """Where it then is, in pixels, after it has been moved to that side."""
    alignment, *distance = side
    note.set(ha=alignment, position=distance)
    return note.get_window_extent()


def _add_inside(axes: Axes, heading: str) -> bool:
    """Whether there is a free corner, in which it then stands."""
    axes.figure.draw_without_rendering()
    margin = _MARGIN * axes.figure.dpi
    white = {"facecolor": "white", "edgecolor": "none", "framealpha": 1}  # over the lines of the grid
    for corner in _CORNERS:
        legend = axes.legend(title=heading, loc=corner, alignment="left", **white)
        if not _covers(axes, legend.get_window_extent().padded(margin), axes.texts):
            return True
    legend.remove()
    return False


def _inside(axes: Axes, box: Bbox) -> bool:
    low, high = axes.bbox.get_points()
    return bool((box.get_points() >= low).all() and (box.get_points() <= high).all())


def _covers(axes: Axes, box: Bbox, notes: list[Annotation]) -> bool:
    """Whether the box, in pixels, lies over a curve, a point, an error bar, a band or one of the notes.

    matplotlib's own loc="best" looks at the corners of the curves alone, and takes the least bad place where none is free.
    """
    return any(path.intersects_bbox(box, filled) for path, filled in _drawn(axes)) or any(
        box.overlaps(note.get_window_extent()) for note in notes
    )


def _drawn(axes: Axes) -> Iterator[tuple[Path, bool]]:
    """The outlines of what is drawn, in pixels, and whether they are filled."""
    for line in axes.lines:
        path = line.get_path().transformed(line.get_transform())
        joined = line.get_linestyle() != "None"
        yield from [(path, False)] if joined else ((Path([point]), False) for point in path.vertices)
    for collection in axes.collections:
        for path in collection.get_paths():
            yield path.transformed(collection.get_transform()), bool(len(collection.get_facecolor()))
