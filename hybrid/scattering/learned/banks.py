"""The forms of a learned bank: which parameters it has, how they begin, and the spectra that they give."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from hybrid.scattering.filters import angle, centre_frequency, morlet_bank
from hybrid.scattering.geometry import ScatteringError, Settings
from hybrid.scattering.learned.bounds import Interval
from hybrid.scattering.learned.morlet import Wavelets, morlet_spectra

Form = Literal["canonical", "equivariant", "pixelwise"]
Init = Literal["tight_frame", "random", "random_orientation"]


class Bank(Protocol):
    """A module that has the parameters of a bank of J scales and L angles."""

    def spectra(self) -> Tensor:
        """(J, L, H, W) spectra of the wavelets on padded images."""


def make_bank(settings: Settings, *, form: Form, init: Init, bounds: bool) -> Bank:
    """The bank of one form. Raises ScatteringError for a setting that has no effect with it."""
    if form != "pixelwise":
        return MorletParameters(settings, shared=form == "equivariant", init=init, bounds=bounds)
    if init != "tight_frame":
        raise ScatteringError(f"init={init} has no effect with form=pixelwise, which begins as tight_frame")
    if not bounds:
        raise ScatteringError("bounds=False has no effect with form=pixelwise, whose values have no bounds")
    return PixelwiseSpectra(settings)


class _ExactParameters(nn.Module):
    """Parameters that `.double()` widens and `.half()` leaves in float32, because filters of few digits are other filters."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> _ExactParameters:
        def move(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            narrower = moved.is_floating_point() and moved.element_size() < tensor.element_size()
            return tensor.to(moved.device) if narrower else moved

        return super()._apply(move, recurse)


class MorletParameters(_ExactParameters):
    """Orientation, frequency, width and slant of the wavelets: of each, (J, L); or shared by the angles of a scale, (J,).

    With `shared`, the L wavelets of a scale are rotations of one by π/L. The low-pass is not learned. The parameters are float32,
    and the spectra are computed in float64 from them. With `bounds` the parameters are those of `Interval`, anchored at
    the fixed bank: the width stays between 0.5 pixels and the side of the padded image, the frequency between 0 and π, the
    slant between 0.1 and 2 (further, where the fixed bank's own is not well within).
    """

    def __init__(self, settings: Settings, *, shared: bool, init: Init, bounds: bool) -> None:
        super().__init__()
        self.settings, self.shared, self.bounds = settings, shared, bounds
        slant = 4 / settings.L
        self.intervals = {
            "frequency": Interval(0.0, math.pi),
            "width": Interval(0.5, float(min(settings.padded))),
            "slant": Interval(min(0.1, slant / 2), max(2.0, 2 * slant)),
        }
        fixed = _fixed_wavelets(settings, shared=shared)
        for name, values in fixed._asdict().items():
            self.register_buffer(f"fixed_{name}", values, persistent=False)
        for name, values in _initial(fixed, init)._asdict().items():
            bounded = bounds and name in self.intervals and init == "random"
            raw = self.intervals[name].raw(values, getattr(fixed, name)) if bounded else values
            self.register_parameter(name, nn.Parameter(raw.float()))

    def physical(self, name: str) -> Tensor:
        """One of the four parameters in its unit, float64; within bounds where there are any."""
        raw = getattr(self, name).double()
        if not self.bounds or name not in self.intervals:
            return raw
        return self.intervals[name].inside(raw, getattr(self, f"fixed_{name}"))

    def wavelets(self) -> Wavelets:
        """The parameters of every wavelet, (J, L) each, float64."""
        values = {name: self.physical(name) for name in Wavelets._fields}
        if self.shared:
            L = self.settings.L
            turns = torch.arange(L, dtype=torch.float64, device=self.orientation.device) * (math.pi / L)
            values = {name: value[:, None].expand(-1, L) for name, value in values.items()}
            values["orientation"] = values["orientation"] - turns
        return Wavelets(**values)

    def spectra(self) -> Tensor:
        """(J, L, H, W) float64."""
        wavelets = self.wavelets()
        scales = [
            morlet_spectra(self.settings.padded, Wavelets(*(values[j] for values in wavelets)))
            for j in range(self.settings.J)
        ]
        return torch.stack(scales)


class PixelwiseSpectra(_ExactParameters):
    """The spectra themselves, (J, L, H, W) real numbers on the padded grid. They begin as the fixed bank."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        bank = morlet_bank(settings.J, settings.padded, settings.L)
        values = torch.stack([torch.from_numpy(bank.psi[j, 0]) for j in range(settings.J)])
        self.values = nn.Parameter(values.float())

    def spectra(self) -> Tensor:
        """(J, L, H, W), of the parameters' type."""
        return self.values


def _fixed_wavelets(settings: Settings, *, shared: bool) -> Wavelets:
    """The parameters of the fixed bank, (J, L), or (J,) of the first angle of each scale."""
    J, L = settings.J, settings.L
    angles = [angle(theta, L) for theta in range(1 if shared else L)]
    rows = {
        "orientation": [angles for _ in range(J)],
        "frequency": [[centre_frequency(j)] * len(angles) for j in range(J)],
        "width": [[0.8 * 2**j] * len(angles) for j in range(J)],
        "slant": [[4 / L] * len(angles) for _ in range(J)],
    }
    values = {name: torch.tensor(row, dtype=torch.float64) for name, row in rows.items()}
    return Wavelets(**{name: value[:, 0] if shared else value for name, value in values.items()})


def _initial(fixed: Wavelets, init: Init) -> Wavelets:
    """Where training begins; torch's random numbers draw the random values, from the distributions of the released code."""
    if init == "tight_frame":
        return fixed
    turned = fixed._replace(orientation=_uniform(fixed.width, 0, 2 * math.pi))
    if init == "random_orientation":
        return turned
    return turned._replace(
        frequency=_uniform(fixed.width, 0.5, 1.0),
        width=_uniform(fixed.width, math.e, math.e**5).log(),
        slant=_uniform(fixed.width, 0.5, 1.5),
    )


def _uniform(like: Tensor, low: float, high: float) -> Tensor:
    return low + (high - low) * torch.rand(like.shape, dtype=torch.float64)
