"""The CUDA C++ source of one transform: constants, the codelets of its sizes, and the passes of one direction."""

from __future__ import annotations

from importlib.resources import files

import numpy as np

from hybrid.scattering.compiled.codelets.cuda import print_device_transforms
from hybrid.scattering.compiled.codelets.plans import LONGEST_STRAIGHT
from hybrid.scattering.compiled.codelets.programs import Kind
from hybrid.scattering.compiled.source_parts import Direction, shared_text
from hybrid.scattering.compiled.tables import lowpass_window
from hybrid.scattering.filters import lowpass_spectra
from hybrid.scattering.geometry import map_sizes

LANES = 32  # of a warp
LARGEST_TEAM = 8  # warps that share a long line; a block of the grid has no more


def kernel_names(J: int, direction: Direction) -> list[tuple[str, int]]:
    """Return (pass, level) of every kernel of a direction; in the source they are named pass_level."""
    front, inner, every = range(1), range(max(J - 1, 1)), range(J)
    passes: dict[str, range] = {"front_rows": front, "filter_columns": every}
    if direction == "forward":
        passes |= {"forward_columns": inner, "inner_rows": inner, "last_rows": every, "lowpass": every}
    else:
        passes |= {"forward_columns": every, "inner_rows_kept": inner, "spread": every, "last_rows_gradient": every}
        passes |= {"add_filtered": inner, "inverse_columns": inner, "inner_rows_gradient": inner}
        passes |= {"image_rows": front, "image_pixels": front}
    return [(name, level) for name, levels in passes.items() for level in levels]


def cuda_source(padded: tuple[int, int], J: int, direction: Direction, *, dropped: int = 1) -> str:
    """Return the whole translation unit. L, the order, the image's size and the wavelets are data, so they are not in it.

    dropped: how many samples of the last low-pass are left out at each end.
    """
    kinds: tuple[Kind, ...] = ("inverse", "forward", "real")
    transforms = print_device_transforms([(kind, size) for size in map_sizes(padded, J) for kind in kinds])
    constants = {"HEIGHT": padded[0], "WIDTH": padded[1], "OCTAVES": J, "LANES": LANES, "DROPPED": dropped}
    constants |= {"LONGEST_STRAIGHT": LONGEST_STRAIGHT, "LARGEST_TEAM": LARGEST_TEAM}
    head = "".join(f"#define {name} {value}\n" for name, value in constants.items())
    passes = [_text("forward.cu"), *([_text("backward.cu")] if direction == "backward" else [])]
    kernels = "".join(f"KERNEL({name}, {level})\n" for name, level in kernel_names(J, direction))
    foundation = [shared_text("tables.h"), _text("device.cu"), shared_text("image_lanes.h"), transforms]
    return "\n".join([head, *foundation, _windows(padded, J, dropped), _text("lines.cu"), *passes, kernels])


def _windows(padded: tuple[int, int], J: int, dropped: int) -> str:
    """Return the structures Across<level> and Down<level>: the low-pass of rows and of columns, as constants."""
    text = "template <int> struct Across;\ntemplate <int> struct Down;\n"
    for level, spectra in enumerate(lowpass_spectra(J, padded)):
        for name, spectrum in zip(("Down", "Across"), spectra, strict=True):
            text += _window(name, level, *lowpass_window(spectrum, 2 ** (J - level), dropped))
    return text


def _window(name: str, level: int, start: int, weights: np.ndarray) -> str:
    array, values = f"{name.upper()}{level}", ", ".join(f"{weight:.9e}f" for weight in weights)
    return (
        f"__constant__ float {array}[] = {{{values}}};\n"
        f"template <> struct {name}<{level}> {{\n"
        f"  static constexpr int START = {start}, TAPS = {len(weights)};\n"
        f"  static __device__ __forceinline__ float weight(int tap) {{ return {array}[tap]; }}\n}};\n"
    )


def _text(name: str) -> str:
    return (files("hybrid.scattering.compiled.cuda") / name).read_text()
