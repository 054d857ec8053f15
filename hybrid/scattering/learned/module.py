"""`LearnedScattering2D`: the transform whose wavelets are parameters."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from hybrid.scattering.filters import MorletBank, lowpass_spectra, morlet_bank
from hybrid.scattering.geometry import Boundary, ScatteringError, check_word, truth
from hybrid.scattering.learned.banks import Form, Init, make_bank
from hybrid.scattering.module import Scattering2D
from hybrid.scattering.torch_engine import Filters, FourierEngine, levels_of

LearnedEngineName = Literal["auto", "torch", "cpu"]


class LearnedScattering2D(Scattering2D):
    """`Scattering2D` whose wavelets are learned: the same shapes, path order and, before training, values.

        >>> import hybrid, torch
        >>> scattering = hybrid.LearnedScattering2D(J=2, shape=(32, 32))
        >>> sum(parameter.numel() for parameter in scattering.parameters())
        64
        >>> scattering(torch.rand(5, 3, 32, 32)).square().sum().backward()
        >>> scattering.bank.width.grad.shape
        torch.Size([2, 8])

    The filters are made of the parameters in every call, so a gradient reaches these; the low-pass is fixed. The parameters
    are in `bank`, and the properties `orientation`, `frequency`, `width` and `slant` give their physical values. Source:
    Gauthier et al., "Parametric Scattering Networks", CVPR 2022.

    Args:
        J: the largest scale is 2^J pixels; 1 ≤ J and 2^J ≤ min(H, W).
        shape: (H, W) of the images.
        L: the number of angles over half a turn.
        max_order: 1 or 2.
        boundary: "reflect", "periodic" or "none", as in `Scattering2D`.
        form: "canonical" learns orientation, frequency, width and slant of each wavelet, 4·J·L numbers. "equivariant" learns
            them for each scale, 4·J numbers, and the wavelets of a scale are rotations of one. "pixelwise" learns the spectra
            themselves, J·L·H·W numbers of the padded image.
        init: "tight_frame" begins as the fixed bank. "random" draws all four parameters as the authors did, most of which are
            then far too wide; "random_orientation" draws the orientations only. torch's seed decides the draws.
        bounds: keeps width, frequency and slant within intervals. False lets them take any value.
        engine: "auto" takes the code that is compiled for `Scattering2D`'s "cpu" where that is the fastest, else "torch"; "cpu"
            and "torch" are the two by name. float64 and other devices are computed by torch operations.

    Raises:
        ScatteringError: parameters or images do not fit, or a setting has no effect with the form. It is a ValueError.
    """

    def __init__(
        self,
        J: int,
        shape: tuple[int, int],
        L: int = 8,
        *,
        max_order: int = 2,
        boundary: Boundary = "reflect",
        form: Form = "canonical",
        init: Init = "tight_frame",
        bounds: bool = True,
        engine: LearnedEngineName = "auto",
    ) -> None:
        check_word("form", form, get_args(Form))
        check_word("init", init, get_args(Init))
        check_word("engine of learned wavelets", engine, get_args(LearnedEngineName))
        bounds = truth(bounds, "bounds")
        super().__init__(J, shape, L, max_order, boundary=boundary, engine=engine)
        self.form, self.init, self.bounds = form, init, bounds
        self.bank: nn.Module = make_bank(self.settings, form=form, init=init, bounds=bounds)

    @property
    def orientation(self) -> Tensor:
        """Direction of the wave vectors, in radians from the vertical axis: (J, L), or (J,) of the first angle of each scale."""
        return self._physical("orientation")

    @property
    def frequency(self) -> Tensor:
        """Length of the wave vectors, in radians per pixel: (J, L) or (J,)."""
        return self._physical("frequency")

    @property
    def width(self) -> Tensor:
        """Standard deviation of the envelopes along the wave vectors, in pixels: (J, L) or (J,)."""
        return self._physical("width")

    @property
    def slant(self) -> Tensor:
        """Width along the wave vector over width across it: (J, L) or (J,)."""
        return self._physical("slant")

    def filters(self) -> Tensor:
        """(J, L, H, W) spectra of the wavelets on padded images, which are real; differentiable."""
        return self.bank.spectra()

    def own_filters(self) -> MorletBank:
        with torch.no_grad():
            levels = at_levels(self.filters().double().cpu(), levels_of(self.settings))
        psi = {key: spectra.numpy() for key, spectra in levels.items()}
        return MorletBank(psi, lowpass_spectra(self.J, self.padded_shape))

    def frame_bounds(self) -> tuple[float, float]:
        """The least and the largest energy that order 1 keeps of a real image's frequency, as a share of its energy.

        It is φ̂(ω)² + ½ Σ (ψ̂(ω)² + ψ̂(-ω)²) over all frequencies ω. A largest value of 1 at most makes the transform contract.
        """
        bank = self.filter_bank()
        power = sum(np.square(bank.psi[j, 0]).sum(0) for j in range(self.J))
        opposite = np.roll(power[::-1, ::-1], (1, 1), (0, 1))
        rows, columns = bank.phi[0]
        energy = np.square(rows[:, None] * columns[None, :]) + (power + opposite) / 2
        return float(energy.min()), float(energy.max())

    def distance_from_fixed(self) -> float:
        """How far the wavelets are from the fixed bank's: the norm of the difference of the spectra over the norm of these."""
        own, fixed = self.filter_bank(), morlet_bank(self.J, self.padded_shape, self.L)
        pairs = [(own.psi[j, 0], fixed.psi[j, 0]) for j in range(self.J)]
        difference = sum(np.square(ours - theirs).sum() for ours, theirs in pairs)
        return float(np.sqrt(difference / sum(np.square(theirs).sum() for _, theirs in pairs)))

    def _physical(self, name: str) -> Tensor:
        if self.form == "pixelwise":
            raise ScatteringError(f"form=pixelwise has no {name}: it learns the spectra themselves (filters)")
        return self.bank.physical(name)

    def _make_engine(self) -> nn.Module:
        if self.engine_name == "torch":
            return FourierEngine(self.settings)
        from hybrid.scattering.compiled.engine import LearnedEngine

        return LearnedEngine(self.settings, measured=self.engine_name == "auto")

    def _transformed(self, images: Tensor) -> Tensor:
        return self.engine.transform(images, self._multipliers(images.dtype))

    def _multipliers(self, dtype: torch.dtype) -> Filters:
        levels = at_levels(self.filters(), levels_of(self.settings))
        return {
            key: (spectra / spectra[0].numel()).to(dtype).repeat_interleave(2, -1) for key, spectra in levels.items()
        }


def at_levels(spectra: Tensor, keys: tuple[tuple[int, int], ...]) -> dict[tuple[int, int], Tensor]:
    """(J, L, H, W) -> for each (j, level) the (L, H / 2^level, W / 2^level) spectra for maps sampled every 2^level."""
    return {(j, level): _coarsen(_coarsen(spectra[j], level, -2), level, -1) for j, level in keys}


def _coarsen(spectra: Tensor, level: int, axis: int) -> Tensor:
    """`hybrid.scattering.filters.coarsen` of a tensor."""
    if level == 0:
        return spectra
    size = spectra.shape[axis]
    half = size // 2 ** (level + 1)
    return torch.cat([spectra.narrow(axis, 0, half), spectra.narrow(axis, size - half, half)], axis)
