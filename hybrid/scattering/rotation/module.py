"""`RotoTranslationScattering2D`: the transform on rotations and translations as a module."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from hybrid.scattering.costs import rotation_flops
from hybrid.scattering.geometry import Boundary, check_word
from hybrid.scattering.rotation.engine import RotationEngine
from hybrid.scattering.rotation.parameters import Normalization, Output, RotationSettings, check_rotation
from hybrid.scattering.rotation.paths import RotationPath
from hybrid.scattering.rotation.scatnet import factors
from hybrid.scattering.transform import Images, ImageTransform

RotationEngineName = Literal["auto", "torch", "cpu"]


class RotoTranslationScattering2D(ImageTransform):
    """Scattering of order ≤ 2 on rotations and translations together (Sifre & Mallat, CVPR 2013).

    It maps (..., H, W) real images to (..., P, ⌊H/2^J⌋, ⌊W/2^J⌋) coefficients, which a rotation of the image moves, and hardly
    changes. Order 1 is |x ⋆ ψ(j1, θ1)|, a function of position and angle. In order 2 it is transformed by wavelets of
    position and angle: a spatial wavelet that turns with θ1, or the low-pass φ, times a wavelet or low-pass along θ1. The
    moduli are averaged over all angles, and by φ over 2^J pixels. `paths` says which of the P channels is which; with L=8
    there are 41, 109, 209, 341 and 505 for J=2 … 6, half as many as `Scattering2D` has.

        >>> import hybrid, torch
        >>> scattering = hybrid.RotoTranslationScattering2D(J=2, shape=(32, 32))
        >>> scattering(torch.rand(5, 3, 32, 32)).shape
        torch.Size([5, 3, 41, 8, 8])
        >>> scattering.paths[3]
        RotationPath(order=2, j1=0, j2=None, theta2=None, k2=0, theta1=None)

    The spatial wavelets and φ are those of `Scattering2D`, with kymatio's values and angles. With boundary="periodic" an image
    that is turned by 90 degrees about pixel (0, 0) has the turned maps, up to rounding. It has nothing to train, is
    differentiable (the modulus has gradient 0 at 0), may be pickled, compiled and exported, and keeps its precision under
    `.half()` and autocast.

    Args:
        J: the largest scale is 2^J pixels; 1 ≤ J and 2^J ≤ min(H, W).
        shape: (H, W) of the images.
        L: the number of angles over half a turn, from 2; even for the joint transform.
        K: the number of scales along the angle, 1 ≤ K and 2^K ≤ L. None takes the largest.
        joint: whether the spatial wavelets of order 2 turn with θ1, which sees how angles at different places belong together.
            False is the separable transform of Oyallon & Mallat (CVPR 2015), whose θ2 is an angle of the image; its paths
            with k2 ≥ 0 have both signs of the frequency along the angle, of which the average is taken.
        average_angles: False keeps every angle θ1 as a channel of its own, which a rotation then shifts.
        output: "maps", or "mean" for their means over space: (..., P).
        boundary: "reflect", "periodic" or "none", as in `Scattering2D`.
        normalization: "kymatio" means filters of gain 1. "scatnet" multiplies by the factors of ScatNet, which `factors` lists.
        engine: "auto" takes code that is compiled for this size and machine where the images are on a CPU and it can be built,
            else "torch", which uses torch operations alone. "cpu" is the compiled engine by name; it warns and uses torch
            where it cannot be built. Angles that are kept (average_angles=False) are computed by torch.

    Raises:
        ScatteringError: parameters or images do not fit; one line says what would fit. It is a ValueError.
    """

    def __init__(
        self,
        J: int,
        shape: tuple[int, int],
        L: int = 8,
        K: int | None = None,
        *,
        joint: bool = True,
        average_angles: bool = True,
        output: Output = "maps",
        boundary: Boundary = "reflect",
        normalization: Normalization = "kymatio",
        engine: RotationEngineName = "auto",
    ) -> None:
        super().__init__()
        check_word("engine", engine, get_args(RotationEngineName))
        chosen: dict[str, Any] = {"joint": joint, "average_angles": average_angles, "boundary": boundary}
        self.rotation = check_rotation(J, shape, L, K, output=output, normalization=normalization, **chosen)
        self.settings = self.rotation.plane
        self.paths: tuple[RotationPath, ...] = self.rotation.paths
        self.output_shape = self.rotation.output_shape
        self.engine_name, self.engine = engine, _make_engine(engine, self.rotation)
        product = np.prod(list(self.factors.values()), axis=0) if self.factors else np.ones(1)
        self.register_buffer("_factors", torch.from_numpy(product)[:, None, None], persistent=False)

    @property
    def K(self) -> int:
        """The number of scales along the angle."""
        return self.rotation.K

    @property
    def factors(self) -> dict[str, np.ndarray]:
        """Name -> (P,): what normalization="scatnet" multiplies each path by; empty without it.

        The names and their meaning are in `hybrid.scattering.rotation.scatnet`.
        """
        return factors(self.rotation) if self.rotation.normalization == "scatnet" else {}

    @property
    def fourier_flops(self) -> int:
        """About how many operations the Fourier transforms of one image take."""
        return rotation_flops(self.settings, self.K)

    def forward(self, images: Images) -> Images:
        """Transform images of any leading dimensions (none, or empty, too), any strides and any floating-point type.

        float64 is computed and returned in float64, everything else in float32. NumPy arrays are computed on the module's
        device and returned as NumPy arrays, without a gradient. Raises ScatteringError for other types and sizes.
        """
        return self.of_images(images)

    def _transformed(self, images: Tensor) -> Tensor:
        maps = self.engine.forward(images)
        if self.rotation.normalization == "scatnet":
            maps = maps * self._factors.to(maps.dtype)
        return maps if self.rotation.output == "maps" else maps.mean((-2, -1))

    def __repr__(self) -> str:
        words = [f"J={self.J}", f"shape={self.shape}", f"L={self.L}", f"K={self.K}"]
        defaults = {"joint": True, "average_angles": True, "output": "maps", "normalization": "kymatio"}
        chosen = {name: getattr(self.rotation, name) for name in defaults} | {"boundary": self.boundary}
        chosen |= {"engine": self.engine_name}
        defaults |= {"boundary": "reflect", "engine": "auto"}
        words += [f"{name}={value}" for name, value in chosen.items() if value != defaults[name]]
        return f"RotoTranslationScattering2D({', '.join(words)})"


def _make_engine(name: RotationEngineName, settings: RotationSettings) -> nn.Module:
    if name == "torch" or (name == "auto" and not settings.average_angles):
        return RotationEngine(settings)
    from hybrid.scattering.compiled.rotation_engine import CompiledRotationEngine

    return CompiledRotationEngine(settings, named=name == "cpu")
