"""How far curves of runs that are not finished are drawn: a diverging loss would hide the others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hybrid.reports.runs import Run

_ROOM = 1.2  # times the largest loss of the finished runs


def top_of(runs: Sequence[Run], points: Mapping[Path, tuple[np.ndarray, np.ndarray]]) -> float:
    """Up to where losses are drawn: above all of the finished runs, and above where the others begin."""
    states = {run.path: run.state for run in runs}
    finished = [values for path, (_, values) in points.items() if states[path] == "finished"]
    starts = [values[:1] for path, (_, values) in points.items() if states[path] != "finished"]
    known = np.concatenate([*finished, *starts]) if finished else np.array([])
    known = known[np.isfinite(known)]
    return _ROOM * known.max() if len(known) else math.inf


def below(top: float, places: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A curve until it rises above `top`, or as far as it is finite."""
    last = np.flatnonzero(np.isfinite(values))
    end = last[-1] + 1 if len(last) else len(values)
    places, values = places[:end], values[:end]
    above = np.flatnonzero(values > top)
    if not len(above) or above[0] == 0:
        return places, values
    k = above[0]
    if not values[k - 1] > 0:  # nothing to draw a line from
        return places[:k], values[:k]
    share = math.log(top / values[k - 1]) / math.log(values[k] / values[k - 1])  # it grows by factors
    crossing = places[k - 1] + share * (places[k] - places[k - 1])
    return np.append(places[:k], crossing), np.append(values[:k], top)
