"""Order, shorten and colour the names of layers for figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure

from hybrid.errors import UserError
from hybrid.reports.style import SMALL, plain

# Words for "the non-linearity in here": a tick can do without them.
_GENERIC = ("relu", "act", "activation", "nonlinearity", "rho")
_LONGEST = 16  # letters of a shortened name
_MOST_TICKS = 20  # names that fit below a column
_SHARE_OF_HEIGHT = 0.78  # of a row of panels: the axes alone
LABEL_POINTS = 8.5  # from one name beside a colour, or at the end of a line, to the next


def by_run(data: Any, *, inner: type = Sequence) -> dict[str, Any]:
    """Return {run: its data}; data of a single run, which have the type `inner`, become those of a run named "".

    Raises UserError where there is no layer to draw.
    """
    runs = dict(data) if isinstance(data, Mapping) else {"": data}
    if inner is Mapping and not all(isinstance(value, Mapping) for value in runs.values()):
        runs = {"": data}
    filled = [part for value in runs.values() for part in (value.values() if inner is Mapping else [value])]
    if not all(runs.values()) or not filled or not all(map(len, filled)):
        raise UserError("a figure needs at least one layer per run; there is nothing to draw.")
    return runs


def layer_order(curves: Iterable[Sequence[str]]) -> list[str]:
    """Merge the layers of curves, which may leave some out, in depth order: those of the longest curve first.

    Raises UserError where a curve names a layer twice.
    """
    order: list[str] = []
    for names in sorted(curves, key=len, reverse=True):
        if len(set(names)) < len(names):
            twice = next(name for name in names if list(names).count(name) > 1)
            raise UserError(f"a curve has the layer {twice} twice; each layer is one point.")
        place = 0
        for name in names:
            if name not in order:
                order.insert(place, name)
            place = order.index(name) + 1
    return order


def short_names(names: Sequence[str]) -> list[str]:
    """Shorten names to at most 16 letters: drop the module that all share and a last "relu", where names stay different.

    ["pixels", "head.stem.2", "head.stages.0.0.relu1"] -> ["pixels", "stem.2", "stages.0.0.relu1"]; "layer1.0.relu#2" ->
    "layer1.0#2". Longer names lose their middle, or keep it where two would become the same.
    """
    modules = [name for name in names if "." in name]
    shared = {name.split(".")[0] for name in modules}
    if len(shared) == 1 and len(modules) > 1:
        start = f"{shared.pop()}."
        if not any(name.startswith(start) and name[len(start)].isdigit() for name in names):  # "0.1" says nothing
            names = _if_different(names, [name.removeprefix(start) for name in names])
    names = _if_different(names, [_without_generic(name) for name in names])
    return _if_different(names, [_cut(name) for name in names])


def tick_numbers(count: int, most: int = _MOST_TICKS) -> list[int]:
    """Choose the layers that get a name: all of `count`, or at most `most`, evenly from the first on."""
    return list(range(0, count, -(-count // most)))


def layer_colours(count: int) -> np.ndarray:
    """Return (count, 4) RGBA colours of equal perceptual steps, dark for the first layer, without pale yellow."""
    return matplotlib.colormaps["viridis"](np.linspace(0, 0.93, count))


def layer_bar(figure: Figure, axes: Sequence[Axes], names: Sequence[str]) -> None:
    """Add a colour bar beside the axes: the colour of each layer with its name, the first on top."""
    count = len(names)
    norm = BoundaryNorm(np.arange(count + 1) - 0.5, count)
    bar = figure.colorbar(
        ScalarMappable(norm, ListedColormap(layer_colours(count))), ax=list(axes), pad=0.02, aspect=25, fraction=0.05
    )
    places = [each.get_subplotspec() for each in axes]
    share = len({place.rowspan.start for place in places}) / places[0].get_gridspec().nrows
    shown = tick_numbers(count, int(0.8 * share * figure.get_figheight() * 72 / LABEL_POINTS))
    short = short_names(names)
    bar.set_ticks(shown, labels=[plain(short[k]) for k in shown])
    bar.ax.tick_params(length=0, pad=2, labelsize=SMALL - 1 if count > 10 else SMALL)
    bar.ax.minorticks_off()
    bar.outline.set_linewidth(0)
    bar.ax.invert_yaxis()


def label_lines(axes: Axes, names: Sequence[str]) -> None:
    """Write the layers' names to the right of the axes, each joined to the end of its line, without overlaps.

    Call it after the lines are drawn, in the order of `names`, and after the axes have their scales and limits.
    """
    lines, short = axes.lines[: len(names)], short_names(names)
    ends = [axes.transLimits.transform(axes.transScale.transform(line.get_xydata()[-1]))[1] for line in lines]
    places = _spread(ends, LABEL_POINTS / (72 * _SHARE_OF_HEIGHT * axes.figure.get_figheight() / _rows(axes)))
    size = SMALL - 1 if len(names) > 10 else SMALL
    joints = [[(1.0, end), (1.03, end), (1.06, place), (1.08, place)] for end, place in zip(ends, places, strict=True)]
    joined = {"colors": [line.get_color() for line in lines], "linewidths": 0.8, "clip_on": False}
    axes.add_collection(LineCollection(joints, transform=axes.transAxes, **joined), autolim=False)
    for name, place in zip(short, places, strict=True):
        axes.text(1.09, place, plain(name), transform=axes.transAxes, size=size, va="center")


def _rows(axes: Axes) -> int:
    return axes.get_subplotspec().get_gridspec().nrows


def _spread(wanted: Sequence[float], gap: float) -> np.ndarray:
    """Return places as near to the wanted ones as a distance of `gap` allows, in the same order, from 0 to 1 if they fit there.

    Neighbours that are too close become a block of equal distances around their mean place (isotonic regression).
    """
    order = np.argsort(wanted, kind="stable")  # from below
    blocks: list[list[float]] = []  # [sum of the places less their number in the order times the gap, count]
    for rank, place in enumerate(np.asarray(wanted, dtype=float)[order]):
        blocks.append([place - rank * gap, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] >= blocks[-1][0] / blocks[-1][1]:
            total, count = blocks.pop()
            blocks[-1] = [blocks[-1][0] + total, blocks[-1][1] + count]
    starts = np.concatenate([np.full(int(count), total / count) for total, count in blocks])
    room = max(0.0, 1 - gap * (len(starts) - 1))
    places = np.empty(len(starts))
    places[order] = np.clip(starts, 0, room) + np.arange(len(starts)) * gap
    return places


def _if_different(names: Sequence[str], shorter: Sequence[str]) -> list[str]:
    """Return the shorter names if they tell the layers apart as well as the others do."""
    return list(shorter if len(set(shorter)) == len(set(names)) and all(shorter) else names)


def _without_generic(name: str) -> str:
    path, number, call = name.partition("#")
    head, _, last = path.rpartition(".")
    return head + number + call if head and last in _GENERIC else name


def _cut(name: str) -> str:
    if len(name) <= _LONGEST:
        return name
    return name[: _LONGEST // 2 - 3] + "…" + name[-(_LONGEST // 2 + 2) :]
