"""The C++ source of one transform: constants, vectors, the codelets of its sizes, and the passes of one layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Literal

from hybrid.scattering.compiled.codelets.cplusplus import print_transforms
from hybrid.scattering.compiled.codelets.plans import is_supported, operations
from hybrid.scattering.compiled.codelets.programs import Kind
from hybrid.scattering.compiled.source_parts import Direction, shared_text
from hybrid.scattering.geometry import map_sizes

Layout = Literal["images", "rows"]

# What the passes of the forward transform are made of, in STAGE(…); "outside" is the time between two calls.
STAGES = (
    "outside", "input", "filter", "inverse_columns", "inverse_rows", "forward_rows", "forward_columns", "lowpass", "output",
)  # fmt: skip


_PASSES: dict[tuple[Layout, Direction], tuple[str, ...]] = {
    ("images", "forward"): ("images.cpp", "images_forward.cpp"),
    ("images", "backward"): ("images.cpp", "images_adjoint.cpp", "images_backward.cpp"),
    ("rows", "forward"): ("rows.cpp", "rows_front.cpp", "rows_forward.cpp"),
}


def cpu_source(
    padded: tuple[int, int],
    J: int,
    lanes: int,
    layout: Layout,
    direction: Direction,
    *,
    dropped: int = 1,
    stages: bool = False,
) -> str:
    """Return the whole translation unit. It depends on nothing else: L, the order, the image's size and the filters are data.

    dropped: how many samples of the last low-pass are left out at each end. stages: it also counts the time of each of `STAGES`.
    """
    constants = {"STAGES": ", ".join(STAGES)} if stages else {}
    texts = [text_of(name) for name in _PASSES[layout, direction]]
    return translation_unit(padded, J, lanes, layout, texts, dropped=dropped, constants=constants)


def translation_unit(
    padded: tuple[int, int],
    J: int,
    lanes: int,
    layout: Layout,
    passes: Sequence[str],
    *,
    dropped: int,
    constants: Mapping[str, object],
    more: Sequence[tuple[Kind, int]] = (),
) -> str:
    """The constants and codelets of all maps of these sizes, then the passes, in C++.

    constants: further ones. more: transforms that the passes need beside those of the maps.
    """
    kinds: tuple[Kind, ...] = ("inverse", "forward", "real")
    wanted = [(kind, size) for size in map_sizes(padded, J) for kind in kinds]
    samples: Kind = "real_inverse"
    ends = [side >> J for side in sorted(set(padded)) if _smoothed_by_transform(side, J)]
    transforms = print_transforms([*wanted, *more, *[(samples, end) for end in ends]])
    defined: dict[str, object] = {"LANES": lanes, "HEIGHT": padded[0], "WIDTH": padded[1], "OCTAVES": J}
    defined |= {"DROPPED": dropped}
    defined |= {"HEIGHT_BY_TRANSFORM": _smoothed_by_transform(padded[0], J)}
    defined |= {"WIDTH_BY_TRANSFORM": _smoothed_by_transform(padded[1], J)}
    defined |= {"REVERSED_LANES": _list(list(reversed(range(lanes))))}
    defined |= {"EVEN_LANES": _list(list(range(0, 2 * lanes, 2))), "ODD_LANES": _list(list(range(1, 2 * lanes, 2)))}
    defined |= constants
    head = "".join(f"#define {name} {value}\n" for name, value in defined.items())
    shared = [shared_text("image_lanes.h")] if layout == "images" else []
    foundation = [shared_text("tables.h"), text_of("vectors.cpp"), transpose_function(lanes)]
    lines = [text_of("stages.cpp"), text_of("lines.cpp")]
    return "\n".join([head, *foundation, transforms, *shared, *lines, *passes])


def _smoothed_by_transform(side: int, J: int) -> int:
    """Return a bit for each level at which the low-pass of a line of this side is faster as two Fourier transforms.

    At the last two levels the low-pass is cut in frequency where it is not yet negligible, so in space it has as many taps
    as the map samples; elsewhere it is a short window.
    """
    samples = side >> J
    if not is_supported(samples):  # 53, 59 and 61, where 2 · 53 … are
        return 0
    levels = [level for level in range(max(1, J - 2), J)]
    return sum(1 << level for level in levels if _is_faster_by_transform(side >> level, samples))


def _is_faster_by_transform(size: int, samples: int) -> bool:
    # Sums and products alternate in a transform, and a CPU does one of each at a time: 0.6 of the time per operation, measured.
    transform = operations("real", size) + size + operations("real_inverse", samples)
    return 0.6 * transform < size * (samples - 2)


def transpose_function(lanes: int) -> str:
    """Return C++ for rows[i][j] = from[j * stride + i], which exchanges bits of the row's and the column's number."""
    lines = [f"Vector r{i} = load(from + {i} * stride);" for i in range(lanes)]
    bit = 1
    while bit < lanes:
        upper = [lane if not lane & bit else lanes + lane - bit for lane in range(lanes)]
        lower = [lane + bit if not lane & bit else lanes + lane for lane in range(lanes)]
        for i in range(lanes):
            if not i & bit:
                pair = f"r{i}, r{i + bit}"
                lines.append(
                    f"{{ const Vector a = SHUFFLE({pair}, {_list(upper)}), b = SHUFFLE({pair}, {_list(lower)});"
                )
                lines.append(f"  r{i} = a; r{i + bit} = b; }}")
        bit *= 2
    lines += [f"rows[{i}] = r{i};" for i in range(lanes)]
    body = "\n".join(f"  {line}" for line in lines)
    return f"static inline void transpose(const float* from, ptrdiff_t stride, Vector* rows) {{\n{body}\n}}\n"


def _list(indices: list[int]) -> str:
    return ", ".join(map(str, indices))


def text_of(name: str) -> str:
    """The text of a source file of this folder."""
    return (files("hybrid.scattering.compiled.cpu") / name).read_text()
