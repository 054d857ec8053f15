"""kymatio's names and formats, so that `Scattering2D` can take the place of kymatio's class: frontends, lists, path table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hybrid.scattering.filters import MorletBank, coarsen
from hybrid.scattering.geometry import ScatteringError
from hybrid.scattering.paths import Path

_SERVED = ("torch", "numpy")
_OTHER_WAYS = {
    "sklearn": "use hybrid.scattering.ScatteringTransformer2D",
    "torch_skcuda": "engine='auto' or 'cuda' is the fast engine on NVIDIA GPUs",
}
_REFUSED = {True: "can not be called", False: "is not supported"}  # kymatio's words for a name and for an object
_ONLY_THESE = (
    "hybrid computes with PyTorch and takes torch tensors and NumPy arrays: leave it out, or say torch or numpy"
)


class UnsupportedFrontend(ScatteringError, ImportError):
    """A frontend or backend of kymatio's that is not supported here. It is an ImportError, because kymatio raises that."""


def check_frontend(frontend: Any, backend: Any) -> None:
    """Take the frontends and backends that mean the same here. Raises UnsupportedFrontend for all others.

    frontend: a name in any case, or None. backend: a name, or an object of kymatio's with a `name`, or None.
    """
    front = frontend.lower() if isinstance(frontend, str) else frontend
    back = getattr(backend, "name", backend)
    for what, name in (("frontend", front), ("backend", back)):
        if name is not None and name not in _SERVED:
            way = _OTHER_WAYS.get(name, _ONLY_THESE) if isinstance(name, str) else _ONLY_THESE
            words = "is not valid" if what == "frontend" else _REFUSED[isinstance(backend, str)]
            raise UnsupportedFrontend(f"{what}={name!r} {words} here: {way}")
    if front and back and front != back:
        raise UnsupportedFrontend(f"backend={back!r} can not be called from frontend={front!r}: leave both out")


def list_of_paths(coefficients: Any, paths: Sequence[Path], L: int) -> list[dict[str, Any]]:
    """(..., P, h, w) coefficients -> a dictionary for each path, as kymatio's out_type="list" gives them.

    coef: (..., h, w), a view. j, theta, n: tuples with an entry for each wavelet of the path, outer wavelet first.
    """
    return [{"coef": coefficients[..., number, :, :], **_steps(path, L)} for number, path in enumerate(paths)]


def list_of_wavelets(bank: MorletBank, J: int, L: int) -> list[dict[str, Any]]:
    """The wavelets by number n = j · L + theta; see `Scattering2D.psi`."""
    counts = [min(j + 1, max(J - 1, 1)) for j in range(J)]  # kymatio's, some of which no transform needs
    levels = [[coarsen(coarsen(bank.psi[j, 0], k, axis=-2), k) for k in range(counts[j])] for j in range(J)]
    return [
        {"levels": [spectra[theta] for spectra in levels[j]], "j": j, "theta": theta}
        for j in range(J)
        for theta in range(L)
    ]


def path_table(paths: Sequence[Path], L: int, max_order: int) -> dict[str, Any]:
    """The paths as arrays; see `Scattering2D.meta`."""
    steps = [_steps(path, L) for path in paths]
    table: dict[str, Any] = {"order": np.array([path.order for path in paths])}
    for name in ("j", "theta", "n"):
        table[name] = np.full((len(paths), max_order), np.nan)
        for row, step in enumerate(steps):
            table[name][row, : len(step[name])] = step[name]
    return table | {"key": [step["n"] for step in steps]}


def _steps(path: Path, L: int) -> dict[str, tuple[int, ...]]:
    """The wavelets of a path: scales, angles, and kymatio's numbers n = j · L + theta."""
    scales = tuple(j for j in (path.j1, path.j2) if j is not None)
    angles = tuple(theta for theta in (path.theta1, path.theta2) if theta is not None)
    numbers = tuple(j * L + theta for j, theta in zip(scales, angles, strict=True))
    return {"j": scales, "n": numbers, "theta": angles}
