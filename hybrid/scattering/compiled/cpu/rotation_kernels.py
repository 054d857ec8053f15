"""Compiled transforms on rotations and translations: their filters, the choice of vectors, and the call into the library."""

from __future__ import annotations

import ctypes
import math
import threading
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from hybrid.scattering.compiled import CompilerError
from hybrid.scattering.compiled.cache import cached_file, checksum
from hybrid.scattering.compiled.check import LARGEST_ERROR, gradient_error
from hybrid.scattering.compiled.cpu.compiler import load_library, native_lanes
from hybrid.scattering.compiled.cpu.rotation_source import rotation_source
from hybrid.scattering.compiled.cpu.source import Layout
from hybrid.scattering.compiled.source_parts import Direction
from hybrid.scattering.compiled.tables import Tables, make_tables
from hybrid.scattering.filters import MorletBank, morlet_bank
from hybrid.scattering.geometry import Settings
from hybrid.scattering.rotation.engine import RotationEngine
from hybrid.scattering.rotation.parameters import RotationSettings

# Padded pixels up to which lanes are images forward, and from which on a gradient takes short vectors: the maps of all angles are
# kept at once. So few images share short vectors, too.
_SMALL, _LARGE, _FEW_IMAGES = 64 * 64, 128 * 128, 4

_building = threading.Lock()


class RotationKernel:
    """One compiled direction of one transform, in one layout, on vectors of so many float32 numbers.

    The layout says what the lanes of a vector are: neighbouring rows of a map, or images; backward it is images.
    """

    def __init__(self, settings: RotationSettings, lanes: int, layout: Layout, direction: Direction) -> None:
        self.settings, self.direction = settings, direction
        plane, (height, width) = settings.plane, settings.plane.padded
        kind = "joint" if settings.joint else "separable"
        name = f"{kind}-{direction}-{height}x{width}-J{plane.J}-L{plane.L}-K{settings.K}-{layout}{lanes}"
        self._library = load_library(rotation_source(settings, lanes, layout, direction), name)
        self.file = self._library._name
        self._tables: Tables = make_tables(plane, lanes, by_rows=layout == "rows", bank=symmetric_bank(plane))
        self._tables.plan.channels = len(settings.paths)

    def forward(self, images: Tensor) -> Tensor:
        """(B, H, W) float32 on the CPU -> (B, P, h, w)."""
        shape = len(self.settings.paths), *self.settings.plane.output_shape[1:]
        coefficients = images.new_empty(len(images), *shape)
        self._call("scatter", images.contiguous(), coefficients)
        return coefficients

    def backward(self, images: Tensor, gradients: Tensor) -> Tensor:
        """Gradients (B, P, h, w) with respect to the coefficients -> (B, H, W) with respect to the images."""
        result = torch.empty_like(images, memory_format=torch.contiguous_format)
        self._call("scatter_backward", images.contiguous(), gradients.contiguous(), result)
        return result

    def _call(self, function: str, *tensors: Tensor) -> None:
        count = len(tensors[0])
        if count:
            pointers = [ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors]
            threads = ctypes.c_int(torch.get_num_threads())
            getattr(self._library, function)(ctypes.byref(self._tables.plan), *pointers, ctypes.c_long(count), threads)


def symmetric_bank(plane: Settings) -> MorletBank:
    """The Morlet bank with 0 at both Nyquist lines of maps that are coarser than the image, as `RotationEngine` has it."""
    bank = morlet_bank(plane.J, plane.padded, plane.L, dtype=np.float32)
    psi = {key: _without_nyquist(spectra, key[1]) for key, spectra in bank.psi.items()}
    phi = tuple(
        (_without_nyquist(rows, level, lines=1), _without_nyquist(columns, level, lines=1))
        for level, (rows, columns) in enumerate(bank.phi)
    )
    return MorletBank(psi, phi)


def _without_nyquist(spectra: np.ndarray, level: int, lines: int = 2) -> np.ndarray:
    """Spectra of maps sampled every 2^level pixels with 0 at the Nyquist frequency of the last axes."""
    if level == 0:
        return spectra
    result = spectra.copy()
    for axis in range(-lines, 0):
        middle = [slice(None)] * result.ndim
        middle[axis] = slice(result.shape[axis] // 2, result.shape[axis] // 2 + 1)
        result[tuple(middle)] = 0
    return result


def rotation_kernel_for(settings: RotationSettings, batch: int, direction: Direction = "forward") -> RotationKernel:
    """Return the kernel for a batch of this size. Raises CompilerError where it cannot be built."""
    pixels = math.prod(settings.plane.padded)
    layout: Layout = "images" if direction == "backward" or pixels <= _SMALL else "rows"
    short = layout == "images" and (batch <= _FEW_IMAGES or pixels > _LARGE)
    only_what_counts = replace(settings, output="maps", normalization="kymatio")
    with _building:
        return _kernel(only_what_counts, 4 if short else native_lanes(), layout, direction)


@cache
def _kernel(settings: RotationSettings, lanes: int, layout: Layout, direction: Direction) -> RotationKernel:
    kernel = RotationKernel(settings, lanes, layout, direction)
    library = Path(kernel.file)

    def write(path: Path) -> None:
        check_rotation_kernel(kernel)
        path.write_text("equal to the torch engine\n")

    cached_file(f"check-{library.stem}", f"{checksum(library)} {settings} {torch.__version__}", "txt", write)
    return kernel


@_disable_current_modes()  # a compiler that traces the caller would see these tensors
@torch.no_grad()
def check_rotation_kernel(kernel: RotationKernel) -> None:
    """Compare a kernel with the torch engine in float64 on two images. Raises CompilerError if it is wrong."""
    settings, generator = kernel.settings, torch.Generator().manual_seed(0)
    engine = RotationEngine(settings)
    images = torch.rand(2, *settings.plane.input_shape, generator=generator)
    if kernel.direction == "forward":
        expected = engine(images.double())
        error = (kernel.forward(images) - expected).norm() / expected.norm()
    else:
        weights = torch.randn(2, *settings.output_shape, generator=generator)
        error = gradient_error(engine, images, weights, kernel.backward(images, weights))
    if not error.item() <= LARGEST_ERROR:  # NaN too
        raise CompilerError(f"the {kernel.direction} code computes wrong numbers here, relative error {error:.1e}")
