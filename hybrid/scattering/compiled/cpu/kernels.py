"""Compiled transforms: the choice of a library for a batch, and the call into it."""

from __future__ import annotations

import ctypes
import threading
from functools import cache, cached_property
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from hybrid.scattering.compiled import CompilerError
from hybrid.scattering.compiled.cache import cached_file, checksum
from hybrid.scattering.compiled.check import LARGEST_ERROR, check, gradient_error
from hybrid.scattering.compiled.cpu.compiler import load_library, native_lanes
from hybrid.scattering.compiled.cpu.learned_tables import LearnedTables, as_row, from_row
from hybrid.scattering.compiled.cpu.source import Layout, cpu_source
from hybrid.scattering.compiled.source_parts import Direction
from hybrid.scattering.compiled.tables import Tables, make_tables
from hybrid.scattering.geometry import Settings
from hybrid.scattering.torch_engine import TorchEngine

# Maps up to which lanes are images, in padded pixels. The maps of a full vector of images must stay near a core: with all lanes
# used, 104x104 and 112x112 take 20 % longer by rows, 240x240 25 % less. Few images of a middle size waste too many lanes.
_SMALL, _MIDDLE = 64 * 64, 112 * 112
_FEW_IMAGES = 4  # so few share shorter vectors …
_LARGE = 320 * 320  # … and so do the gradients of images beyond this size, which would take gigabytes

_building = threading.Lock()


class Kernel:
    """One compiled direction of the transform of one `Settings`, in one layout."""

    stages: ClassVar[bool] = False  # whether its library counts the time of each stage

    def __init__(self, settings: Settings, lanes: int, layout: Layout, direction: Direction) -> None:
        self.settings, self.direction, self.device = settings, direction, torch.device("cpu")
        height, width = settings.padded
        source = cpu_source(
            settings.padded, settings.J, lanes, layout, direction, dropped=settings.dropped, stages=self.stages
        )
        self._library = load_library(source, f"{direction}-{height}x{width}-J{settings.J}-{layout}{lanes}")
        self.file = self._library._name
        self.lanes, self.layout = lanes, layout

    @cached_property
    def _tables(self) -> Tables:
        """Of the fixed filters."""
        return make_tables(self.settings, self.lanes, by_rows=self.layout == "rows")

    @cached_property
    def _learned(self) -> LearnedTables:
        return LearnedTables(self.settings, self.lanes, by_rows=self.layout == "rows")

    def forward(self, images: Tensor, filters: Tensor | None = None) -> Tensor:
        """(B, H, W) float32 on the CPU -> (B, P, h, w). filters: those of `LearnedTables`, in place of the fixed ones."""
        coefficients = images.new_empty(len(images), *self.settings.output_shape)
        tables = self._tables if filters is None else self._learned.filled(filters)
        self._call("scatter", tables, images.contiguous(), coefficients)
        return coefficients

    def backward(self, images: Tensor, gradients: Tensor) -> Tensor:
        """Gradients (B, P, h, w) with respect to the coefficients -> (B, H, W) with respect to the images."""
        result = torch.empty_like(images, memory_format=torch.contiguous_format)
        arrays = images.contiguous(), gradients.contiguous(), None, result, None
        self._call("scatter_backward", self._tables, *arrays, size=0)
        return result

    def backward_to_filters(
        self, images: Tensor, filters: Tensor, gradients: Tensor, *, of_images: bool
    ) -> tuple[Tensor, Tensor]:
        """The same with learned filters: with respect to the images (else an empty tensor), and to the filters' numbers."""
        result = torch.empty_like(images, memory_format=torch.contiguous_format) if of_images else images.new_empty(0)
        tables, sums = self._learned.filled(filters), self._learned.sums(torch.get_num_threads())
        arrays = images.contiguous(), gradients.contiguous(), tables.weights, result if of_images else None, sums
        self._call("scatter_backward", tables, *arrays, size=sums.shape[1])
        return result, self._learned.gradient(sums)

    def _call(
        self, function: str, tables: Tables, images: Tensor, *arrays: Tensor | None, size: int | None = None
    ) -> None:
        if len(images):
            pointers = [ctypes.c_void_p(None if a is None else a.data_ptr()) for a in (images, *arrays)]
            numbers = [ctypes.c_long(number) for number in (size, len(images)) if number is not None]
            threads = ctypes.c_int(torch.get_num_threads())
            getattr(self._library, function)(ctypes.byref(tables.plan), *pointers, *numbers, threads)


def kernel_for(settings: Settings, batch: int, direction: Direction = "forward") -> Kernel:
    """Return the kernel for a batch of this size. Raises CompilerError where it cannot be built."""
    lanes, layout = lanes_and_layout(settings, batch, direction)
    with _building:
        return _kernel(settings, lanes, layout, direction)


def lanes_and_layout(settings: Settings, batch: int, direction: Direction) -> tuple[int, Layout]:
    """Return the number of lanes of a vector for a batch of this size, and what fills them."""
    layout = _layout(settings, batch, direction)
    short = batch <= _FEW_IMAGES or settings.padded[0] * settings.padded[1] > _LARGE
    return 4 if short and layout == "images" else native_lanes(), layout


def _layout(settings: Settings, batch: int, direction: Direction) -> Layout:
    pixels = settings.padded[0] * settings.padded[1]
    fits = pixels <= _SMALL or (pixels <= _MIDDLE and batch >= 4 * native_lanes())
    return "images" if fits or direction == "backward" else "rows"


@cache
def _kernel(settings: Settings, lanes: int, layout: Layout, direction: Direction) -> Kernel:
    kernel = Kernel(settings, lanes, layout, direction)
    _check_once(kernel)
    return kernel


def _check_once(kernel: Kernel) -> None:
    """Compare the kernel of a new library with the torch engine. That it was right is kept beside the library."""
    library = Path(kernel.file)

    def write(path: Path) -> None:
        check(kernel)
        if kernel.direction == "backward":
            _check_filters(kernel)
        path.write_text("equal to the torch engine\n")

    made_of = f"{checksum(library)} {kernel.settings} {torch.__version__}"
    cached_file(f"check-{library.stem}", made_of, "txt", write)


@_disable_current_modes()  # as `check`
@torch.no_grad()
def _check_filters(kernel: Kernel) -> None:
    """Compare the gradient of the filters with the torch engine. Raises CompilerError if it is wrong."""
    settings, generator = kernel.settings, torch.Generator().manual_seed(0)
    engine = TorchEngine(settings)
    images = torch.rand(3, *settings.input_shape, generator=generator)
    weights = torch.randn(3, *settings.output_shape, generator=generator)
    row = as_row(engine.filters(torch.float64), settings)
    scale = row.abs().max()  # the differences are for numbers near 1

    def coefficients(scaled: Tensor) -> Tensor:
        return engine.coefficients(images.double(), from_row(scale * scaled, settings), settings.L)

    _, found = kernel.backward_to_filters(images, row.float(), weights, of_images=False)
    error = gradient_error(coefficients, row / scale, weights, scale * found).item()
    if not error <= LARGEST_ERROR:  # NaN too
        raise CompilerError(f"the backward code computes wrong gradients of filters here, relative error {error:.1e}")
