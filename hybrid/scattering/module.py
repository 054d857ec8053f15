"""`Scattering2D`: the transform as a module, whichever engine computes it."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import nn

from hybrid.scattering.costs import translation_flops
from hybrid.scattering.filters import MorletBank
from hybrid.scattering.geometry import Boundary, ScatteringError, Settings, check_parameters, check_word
from hybrid.scattering.kymatio_interface import check_frontend, list_of_paths, list_of_wavelets, path_table
from hybrid.scattering.paths import Path
from hybrid.scattering.torch_engine import TorchEngine
from hybrid.scattering.transform import Images, ImageTransform

Engine = Literal["auto", "torch", "cpu", "cuda", "kymatio"]
OutType = Literal["array", "list"]


class Scattering2D(ImageTransform):
    """Scattering of order ≤ 2 with Morlet wavelets (Mallat 2012; Bruna & Mallat 2013), with the values of kymatio 0.3.

    It maps (..., H, W) real images to (..., P, ⌊H/2^J⌋, ⌊W/2^J⌋) coefficients of each image by itself. Order 0 is x ⋆ φ,
    order 1 |x ⋆ ψ1| ⋆ φ, order 2 ||x ⋆ ψ1| ⋆ ψ2| ⋆ φ with ψ2 of larger scale than ψ1, all sampled every 2^J pixels, on the
    image extended by reflection. `paths` says which of the P channels is which.

        >>> import hybrid, torch
        >>> scattering = hybrid.Scattering2D(J=2, shape=(32, 32))
        >>> scattering(torch.rand(5, 3, 32, 32)).shape
        torch.Size([5, 3, 81, 8, 8])

    It has nothing to train and its state_dict is empty. It is differentiable (the modulus has gradient 0 at 0), and may be
    moved to a device, pickled, copied, compiled as one graph, exported with a dynamic batch, and captured in a CUDA graph
    after one call. `.half()`, `.double()` and autocast change neither its filters nor its precision.

    Args:
        J: the largest scale is 2^J pixels; 1 ≤ J and 2^J ≤ min(H, W).
        shape: (H, W) of the images.
        L: the number of angles over half a turn.
        max_order: 1 or 2.
        pre_pad: the images come already padded to `padded_shape`, so no reflection is added: kymatio's word for boundary="none".
        boundary: how an image goes on beyond its border. "reflect" mirrors it, without repeating the edge. "periodic" repeats it:
            convolutions are then circular, which theory and synthesis need; 2^J must divide H and W. "none" adds nothing,
            because the images come already padded to `padded_shape`.
        engine: "auto" takes code that is compiled for this size and machine where it can be built and a short measurement
            at the first call finds it faster, else "torch". "torch" uses torch operations alone. "cpu" and "cuda" are the
            compiled engines by name; they warn and use torch where they cannot be built. "kymatio" is kymatio's own code.
        out_type: "array" returns all channels as one tensor. "list" returns a list of dictionaries, one for each path, as
            kymatio does: "coef" (..., h, w), and the tuples "j", "n" and "theta".
        frontend: kymatio's. "torch" and "numpy" are taken and change nothing, because NumPy arrays give NumPy arrays and
            tensors give tensors.
        backend: kymatio's, a name or an object; "torch" and "numpy" are taken and change nothing.

    Raises:
        ScatteringError: parameters or images do not fit; one line says what would fit. It is a ValueError.
        ImportError: engine="kymatio", and kymatio is not installed.
    """

    def __init__(
        self,
        J: int,
        shape: tuple[int, int],
        L: int = 8,
        max_order: int = 2,
        *,
        pre_pad: bool = False,
        boundary: Boundary = "reflect",
        engine: Engine = "auto",
        out_type: OutType = "array",
        frontend: str | None = None,
        backend: Any = None,
    ) -> None:
        super().__init__()
        check_word("engine", engine, get_args(Engine))
        check_word("out_type", out_type, get_args(OutType))
        check_frontend(frontend, backend)
        self.settings = check_parameters(J, shape, L, max_order, pre_pad, boundary)
        self.engine_name, self.out_type = engine, out_type
        self.paths: tuple[Path, ...] = self.settings.paths
        self.output_shape: tuple[int, int, int] = self.settings.output_shape
        self.engine = self._make_engine()

    @property
    def max_order(self) -> int:
        """1 or 2."""
        return self.settings.max_order

    @property
    def pre_pad(self) -> bool:
        """Whether the images come already padded."""
        return self.settings.pre_pad

    @property
    def fourier_flops(self) -> int:
        """About how many operations the Fourier transforms of one image take."""
        return translation_flops(self.settings)

    @property
    def psi(self) -> list[dict[str, Any]]:
        """The wavelets, as kymatio lists them: of wavelet n = j · L + theta "j", "theta", and "levels".

        The levels are its spectra (H / 2^level, W / 2^level), in float64, for maps sampled every 2^level pixels.
        """
        return list_of_wavelets(self.filter_bank(), self.J, self.L)

    @property
    def phi(self) -> dict[str, Any]:
        """The low-pass, as kymatio has it: "j", which is J, and "levels", its spectra (H / 2^level, W / 2^level) in float64."""
        return {"levels": [np.outer(rows, columns) for rows, columns in self.filter_bank().phi], "j": self.J}

    def forward(self, images: Images) -> Images | list[dict[str, Any]]:
        """Transform images of any leading dimensions (none, or empty, too), any strides and any floating-point type.

        float64 is computed and returned in float64, by the torch engine. float32 is computed in float32, also under autocast.
        float16 and bfloat16 are computed and returned in float32, because second-order coefficients underflow in half
        precision. NumPy arrays are computed on the module's device and returned as NumPy arrays, without a gradient.
        Raises ScatteringError for anything else and for a size that is not the module's.
        """
        coefficients = self.of_images(images)
        return coefficients if self.out_type == "array" else list_of_paths(coefficients, self.paths, self.L)

    def scattering(self, images: Images) -> Images | list[dict[str, Any]]:
        """The same as calling the module: kymatio's name for it."""
        return self(images)

    def meta(self) -> dict[str, Any]:
        """The paths as a table of arrays with a row for each channel, laid out as kymatio's 1-D transform does it.

        order: (P,) int64. j, theta, n: (P, max_order) float64, NaN where the order has no such step; n = j · L + theta is the
        number of the wavelet. key: a list of P tuples of wavelet numbers.
        """
        return path_table(self.paths, self.L, self.max_order)

    def _make_engine(self) -> nn.Module:
        return _make_engine(self.engine_name, self.settings)

    def __repr__(self) -> str:
        settings: dict[str, Any] = {"J": self.J, "shape": self.shape, "L": self.L, "max_order": self.max_order}
        defaults = {"boundary": "reflect", "engine_name": "auto", "out_type": "array"}
        chosen = {name: getattr(self, name) for name, default in defaults.items() if getattr(self, name) != default}
        words = [f"{name.removesuffix('_name')}={value}" for name, value in {**settings, **chosen}.items()]
        return f"{type(self).__name__}({', '.join(words)})"


class TorchScattering2D(Scattering2D):
    """`Scattering2D` with engine="torch": torch operations alone, for programs that must run without a compiler.

    bank: filters of the same J, L and padded size, in place of the Morlet bank; such as `LearnedScattering2D.own_filters`.
    """

    def __init__(
        self,
        J: int,
        shape: tuple[int, int],
        L: int = 8,
        max_order: int = 2,
        *,
        pre_pad: bool = False,
        boundary: Boundary = "reflect",
        bank: MorletBank | None = None,
    ) -> None:
        self._bank = bank
        super().__init__(J, shape, L, max_order, pre_pad=pre_pad, boundary=boundary, engine="torch")

    def own_filters(self) -> MorletBank | None:
        return self._bank

    def _make_engine(self) -> nn.Module:
        return TorchEngine(self.settings, self._bank)


def engines_of(model: nn.Module, device: torch.device) -> list[str]:
    """Which engine computes each scattering transform of a model on this device, in words."""
    modules = (module for module in model.modules() if isinstance(module, ImageTransform))
    return list(dict.fromkeys(module.engine_on(device) for module in modules))


def _make_engine(name: Engine, settings: Settings) -> nn.Module:
    """The engine of this name. The imports are here because few programs need all of them."""
    if name == "torch":
        return TorchEngine(settings)
    if name == "kymatio":
        if settings.periodic:
            raise ScatteringError("engine='kymatio' knows no boundary='periodic'; every other engine does")
        from hybrid.scattering.kymatio_engine import KymatioEngine

        return KymatioEngine(settings)
    from hybrid.scattering.compiled.engine import CompiledEngine

    return CompiledEngine(settings, devices=("cpu", "cuda") if name == "auto" else (name,), measured=name == "auto")
