"""Order, shorten and colour the names of layers for figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure

from hybrid.errors import UserError
from hybrid.reports.style import SMALL, plain

# Words for "the non-linearity in here": a tick can do without them.
_GENERIC = ("relu", "act", "activation", "nonlinearity", "rho")
_LONGEST = 16  # letters of a shortened name
_MOST_TICKS = 20  # names that fit below a column
_TICK = 8.5  # points from one name beside a colour to the next


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
    shown = tick_numbers(count, int(0.8 * share * figure.get_figheight() * 72 / _TICK))
    short = short_names(names)
    bar.set_ticks(shown, labels=[plain(short[k]) for k in shown])
    bar.ax.tick_params(length=0, pad=2, labelsize=SMALL - 1 if count > 10 else SMALL)
    bar.ax.minorticks_off()
    bar.outline.set_linewidth(0)
    bar.ax.invert_yaxis()


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
