"""The C++ source of one transform: constants, vectors, the codelets of its sizes, and the passes of one layout."""

from __future__ import annotations

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


def cpu_source(
    padded: tuple[int, int], J: int, lanes: int, layout: Layout, direction: Direction, *, stages: bool = False
) -> str:
    """Return the whole translation unit. It depends on nothing else: L, the order, the image's size and the filters are data.

    stages: it also counts the time of each of `STAGES`.
    """
    kinds: tuple[Kind, ...] = ("inverse", "forward", "real")
    wanted = [(kind, size) for size in map_sizes(padded, J) for kind in kinds]
    samples: Kind = "real_inverse"
    ends = [side >> J for side in sorted(set(padded)) if _smoothed_by_transform(side, J)]
    transforms = print_transforms([*wanted, *[(samples, end) for end in ends]])
    constants: dict[str, object] = {"LANES": lanes, "HEIGHT": padded[0], "WIDTH": padded[1], "OCTAVES": J}
    constants |= {"HEIGHT_BY_TRANSFORM": _smoothed_by_transform(padded[0], J)}
    constants |= {"WIDTH_BY_TRANSFORM": _smoothed_by_transform(padded[1], J)}
    constants |= {"REVERSED_LANES": _list(list(reversed(range(lanes))))}
    constants |= {"STAGES": ", ".join(STAGES)} if stages else {}
    head = "".join(f"#define {name} {value}\n" for name, value in constants.items())
    passes = [_text("stages.cpp"), _text("lines.cpp"), _text(f"{layout}.cpp"), _text(f"{layout}_{direction}.cpp")]
    if layout == "images":
        passes.insert(0, shared_text("image_lanes.h"))
    foundation = [shared_text("tables.h"), _text("vectors.cpp"), transpose_function(lanes)]
    return "\n".join([head, *foundation, transforms, *passes])


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


def _text(name: str) -> str:
    return (files("hybrid.scattering.compiled.cpu") / name).read_text()
