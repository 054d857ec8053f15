"""Many pictures and words on one figure, at places in inches.

All of them share one axes of matplotlib: making an axes takes some ten times as long as drawing a small picture.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text
from numpy.typing import ArrayLike


class Place(NamedTuple):
    """A rectangle on a sheet, in inches from its left and upper edges."""

    left: float
    top: float
    width: float
    height: float


class Sheet:
    """An empty figure, on which pictures and words are put."""

    def __init__(self, width: float, height: float) -> None:
        """width, height: in inches."""
        self.figure = Figure(figsize=(width, height))
        self.figure.suppressComposite = True  # in vector files each picture keeps its own pixels
        self._axes = self.figure.add_axes((0, 0, 1, 1))
        self._axes.set(xlim=(0, width), ylim=(height, 0), autoscale_on=False)
        self._axes.set_axis_off()

    def picture(self, values: ArrayLike, place: Place, **look: Any) -> AxesImage:
        """Fill the place with (H, W) values or (H, W, 3) colours; `look` is what matplotlib's imshow takes."""
        left, top, width, height = place
        extent = (left, left + width, top + height, top)
        return self._axes.imshow(np.asarray(values), extent=extent, aspect="auto", **look)

    def words(self, text: str, left: float, top: float, **look: Any) -> Text:
        """Write words at this point; `look` is what matplotlib's text takes."""
        return self._axes.text(left, top, text, **look)
