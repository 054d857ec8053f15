"""What theory says of the scattering transform and what was measured, six panels on one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import ArrayLike

from hybrid.reports.style import COLOURS, MARKERS, PAGE, QUIET, log_scale, new_panels, paper_style

_DASHED = (0, (4, 1.5))
_ENERGIES = {"S0": "order 0", "S1": "order 1", "S2": "order 2", "beyond": "order 3+", "lost": "lost"}
_CONSTANTS = {"pixels": "pixels", "fourier": "Fourier modulus", "scattering": "scattering"}


@dataclass(frozen=True)
class Panels:
    """All figures are by scale J, of the same length as `J`, unless it says otherwise.

    littlewood_paley: J -> (|ω|, smallest A, largest A) of rings; three of them are drawn. expansion: "W", "S" -> (len(J), 3), the
    least, median and largest ratio of pairs; bounds: the same keys -> (len(J),). energies: a key of _ENERGIES -> shares of 1.
    shifts: pixels -> relative changes; pixel_shifts: pixels -> the change of the pixels themselves, one number.
    packets, images: (frequencies, {"pixels", "fourier", "scattering": constants of these frequencies}).
    """

    J: Sequence[int]
    littlewood_paley: Mapping[int, tuple[ArrayLike, ArrayLike, ArrayLike]]
    expansion: Mapping[str, ArrayLike]
    bounds: Mapping[str, ArrayLike]
    energies: Mapping[str, ArrayLike]
    shifts: Mapping[float, ArrayLike]
    pixel_shifts: Mapping[float, float]
    packets: tuple[Sequence[float], Mapping[str, ArrayLike]]
    images: tuple[Sequence[float], Mapping[str, ArrayLike]]


@paper_style
def verification_figure(panels: Panels) -> Figure:
    """Littlewood-Paley sums, expansion of pairs, energies; translations, Lipschitz constants of wave packets and of images."""
    grid = new_panels(PAGE, 4.9, rows=2, columns=3, share=False)
    _littlewood_paley(grid[0, 0], panels)
    _expansion(grid[0, 1], panels)
    _energies(grid[0, 2], panels)
    _translations(grid[1, 0], panels)
    _constants(grid[1, 1], *panels.packets)
    _constants(grid[1, 2], *panels.images)
    titles = (
        "a  filter bank",
        "b  pairs of images",
        "c  energy",
        "d  translation",
        "e  wave packets",
        "f  bands of images",
    )
    for axes, title in zip(grid.flat, titles, strict=True):
        axes.set_title(title, loc="left", weight="bold")
    for axes in (grid[0, 1], grid[0, 2]):
        axes.set_xlabel("J")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlim(min(panels.J) - 0.4, max(panels.J) + 0.4)
    return grid[0, 0].figure


def _littlewood_paley(axes: Axes, panels: Panels) -> None:
    banks = list(panels.littlewood_paley.items())
    shown = sorted({0, len(banks) // 2, len(banks) - 1})  # more would hide each other
    for k, (J, (radius, low, high)) in enumerate(banks[place] for place in shown):
        colour = COLOURS[k % len(COLOURS)]
        axes.plot(radius, high, color=colour, label=f"J={J}", marker=MARKERS[k % len(MARKERS)], markevery=(k, 6))
        axes.plot(radius, low, color=colour, linestyle=_DASHED)
    axes.axhline(1, color=QUIET, linewidth=0.8)
    axes.set(xlabel="|ω| (radians per pixel)", ylabel="A(ω), least and largest", ylim=(0, 1.1))
    log_scale(axes, "x")
    axes.legend(frameon=False, loc="lower left", handlelength=1.6)


def _expansion(axes: Axes, panels: Panels) -> None:
    scales = np.asarray(panels.J, dtype=float)
    for k, (name, values) in enumerate(panels.expansion.items()):
        low, middle, high = np.asarray(values).T
        place, colour = scales + (k - 0.5) * 0.3, COLOURS[k]
        axes.vlines(place, low, high, color=colour, linewidth=2.5, alpha=0.5)
        axes.plot(place, middle, MARKERS[k], color=colour, label=name)
        bounds = np.asarray(panels.bounds[name])
        axes.hlines(bounds, place - 0.13, place + 0.13, color=colour, linewidth=1.4)
    axes.plot([], [], color=QUIET, label="bound of the bank")
    axes.set(ylabel="ratio of distances", ylim=(0, 1.18))
    axes.legend(frameon=False, loc="lower left", handlelength=1.4)


def _energies(axes: Axes, panels: Panels) -> None:
    for k, (name, label) in enumerate(_ENERGIES.items()):
        values = np.asarray(panels.energies[name], dtype=float)
        style = (
            {"color": QUIET, "linestyle": _DASHED} if name == "lost" else {"color": COLOURS[k], "marker": MARKERS[k]}
        )
        axes.plot(panels.J, np.where(values > 0, values, np.nan), label=label, **style)
    axes.set_ylabel("share of the energy")
    log_scale(axes)
    axes.set_ylim(top=80)  # room for the legend
    axes.set_yticks([tick for tick in axes.get_yticks() if axes.get_ylim()[0] <= tick <= 1])
    axes.yaxis.set_minor_locator(NullLocator())
    axes.legend(frameon=False, loc="upper left", ncols=2, handlelength=1.6, columnspacing=0.8)


def _translations(axes: Axes, panels: Panels) -> None:
    """Solid: measured; dashed: 2^-J |c|; the open marks on the left: pixels."""
    left = min(panels.J) - 1
    for k, (pixels, values) in enumerate(panels.shifts.items()):
        colour = COLOURS[k % len(COLOURS)]
        unit = "pixel" if pixels == 1 else "pixels"
        axes.plot(panels.J, values, color=colour, marker=MARKERS[k % len(MARKERS)], label=f"{pixels:g} {unit}")
        axes.plot(left, panels.pixel_shifts[pixels], MARKERS[k % len(MARKERS)], color=colour, markerfacecolor="white")
        axes.plot(panels.J, [pixels / 2**J for J in panels.J], color=colour, linestyle=_DASHED, linewidth=0.9)
    axes.plot([], [], color=QUIET, linestyle=_DASHED, linewidth=0.9, label="$2^{-J}|c|$")
    axes.set_xticks([left, *panels.J], ["pixels", *map(str, panels.J)])
    axes.set(xlabel="J", ylabel="relative change", xlim=(left - 0.6, max(panels.J) + 0.4))
    log_scale(axes)
    low = min(np.min(values) for values in panels.shifts.values())
    axes.set_ylim(low / 12, 2)
    axes.legend(frameon=False, loc="lower left", ncols=2, handlelength=1.6, columnspacing=0.8)


def _constants(axes: Axes, frequencies: Sequence[float], values: Mapping[str, ArrayLike]) -> None:
    """Pixels lie on top, as open marks, because for wave packets the Fourier modulus moves as much as they do."""
    for k, (name, label) in enumerate(_CONSTANTS.items()):
        style = {"linestyle": _DASHED, "markerfacecolor": "white", "zorder": 3} if name == "pixels" else {}
        axes.plot(frequencies, values[name], color=COLOURS[k], marker=MARKERS[k], label=label, **style)
    axes.set(xlabel="|ω| (radians per pixel)", ylabel="Lipschitz constant")
    log_scale(axes, "x")
    axes.set_yscale("log")
    drawn = np.concatenate([np.asarray(values[name]) for name in _CONSTANTS])
    axes.set_ylim(drawn.min() / 1.5, drawn.max() * 6)  # room for the legend
    log_scale(axes, "y")
    axes.legend(frameon=False, loc="upper left", handlelength=3)
