"""3x3 convolutions in float32 on CPUs by Winograd's algorithm, which takes a quarter of the multiplications.

The values are those of the direct sum to 1e-5.

A tile of 4x4 outputs needs 6x6 inputs. With g the filter and d the tile, F(4x4, 3x3) of Lavin and Gray, "Fast Algorithms
for Convolutional Neural Networks" (CVPR 2016, equation 9), is

    Y = A^T [(G g G^T) * (B^T d B)] A

where * multiplies entry by entry. Summed over the channels, that is one product of matrices (tiles x channels, channels x
outputs) for each of the 36 entries, and 36 multiplications for 16 outputs instead of 144. GPU libraries do this by themselves.
oneDNN, which torch uses on CPUs, does not, and there these convolutions take most of a wide residual network's training step.

The matrices A, G and B come from five points at which polynomials are multiplied, and infinity. The points 0, 1, -1, 1/2, -2
keep the rounding error at about 1.5e-6 of the output's norm, three times that of the direct sum (Barabasz et al., "Error
Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural Networks", 2020).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import cache, reduce
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual
from torch.autograd.function import FunctionCtx
from torch.overrides import TorchFunctionMode

_POINTS = (Fraction(0), Fraction(1), Fraction(-1), Fraction(1, 2), Fraction(-2))
_TILE, _FILTER, _WINDOW = 4, 3, 6

# The limits within which it is faster, measured on one and two cores of a Zen 4. Beyond them the transforms, which move more
# numbers than they multiply, take the time that is saved.
_FEWEST_CHANNELS = 256
_FEWEST_TILES = 256  # of a batch: the filters are transformed once for all of them
_MOST_WASTE = 1.35  # computed outputs for each wanted one, where the sides of a map are no multiples of 4

_BUFFER = 2**21  # numbers in the largest intermediate (8 MB): it stays in the cache, and the allocator keeps it


class Winograd(TorchFunctionMode):
    """A context manager: within it, convolutions use Winograd's algorithm where that is faster.

    It is faster for 3x3 filters with stride and padding 1 in float32 on a CPU, from 256 channels on both sides and 256 tiles
    on. Other convolutions are the library's, as are all under autocast, torch.compile, torch.func and forward-mode
    differentiation.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.conv2d and _pays(*args, **(kwargs or {})):
            return _convolve(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def suits(weight: Tensor) -> bool:
    """Whether it is a weight (outputs, inputs, 3, 3) of so many channels that the algorithm is faster on large maps."""
    shape = weight.shape
    return tuple(shape[2:]) == (_FILTER, _FILTER) and min(shape[:2]) >= _FEWEST_CHANNELS


def _pays(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> bool:
    plain = {1, (1, 1)}
    if (
        not suits(weight)
        or input.dim() != 4
        or input.shape[1] != weight.shape[1]
        or groups != 1
        or not {_hashable(stride), _hashable(padding), _hashable(dilation)} <= plain
    ):
        return False
    if type(input) is not Tensor or input.device.type != "cpu" or {input.dtype, weight.dtype} != {torch.float32}:
        return False
    images, _, height, width = input.shape
    tiles = _tiles(height) * _tiles(width)
    if images * tiles < _FEWEST_TILES or tiles * _TILE**2 > _MOST_WASTE * height * width:
        return False
    return not (
        torch.is_autocast_enabled("cpu")
        or torch.compiler.is_compiling()
        or torch.jit.is_tracing()
        or torch._C._are_functorch_transforms_active()
        or any(unpack_dual(tensor).tangent is not None for tensor in (input, weight))
    )


def _hashable(size: Any) -> Any:
    return tuple(size) if isinstance(size, list | tuple) else size


def _convolve(input: Tensor, weight: Tensor, bias: Tensor | None = None, *_: Any, **__: Any) -> Tensor:
    output = _Convolution.apply(input, weight)
    return output if bias is None else output + bias.view(-1, 1, 1)


class _Convolution(torch.autograd.Function):
    """The convolution and its gradients, which are the transposes of the same steps. Between them only inputs are kept."""

    @staticmethod
    def forward(ctx: FunctionCtx, images: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(images, weight)
        return _forward(images, weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        images, weight = ctx.saved_tensors
        needs = ctx.needs_input_grad
        if torch.is_grad_enabled():  # a second derivative is wanted: the library has it
            ones = [1, 1]
            return torch.ops.aten.convolution_backward(
                gradient, images, weight, None, ones, ones, ones, False, [0, 0], 1, [*needs, False]
            )[:2]
        return _backward(gradient, images, weight, *needs)


def _forward(images: Tensor, weight: Tensor) -> Tensor:
    """(N, C, H, W) and (O, C, 3, 3) -> (N, O, H, W), channels last if one of them is, as in the library."""
    count, channels, height, width = images.shape
    outputs = len(weight)
    grid = (_tiles(height), _tiles(width))
    size = (count, outputs, _TILE * grid[0], _TILE * grid[1])
    result = torch.empty(size, dtype=images.dtype, memory_format=torch.channels_last)
    cells = result.permute(0, 2, 3, 1).view(count, grid[0], _TILE, grid[1], _TILE, outputs).permute(2, 4, 0, 1, 3, 5)
    filters = _transform_filters(weight).transpose(1, 2)
    for part in _parts(count, grid, max(channels, outputs)):
        products = torch.bmm(_transform_inputs(images[part], grid), filters)
        cells[:, :, part] = (_matrices()[0] @ products.flatten(1)).view(_TILE, _TILE, -1, *grid, outputs)
    if size[2:] != (height, width):
        result = result[:, :, :height, :width].clone(memory_format=torch.channels_last)
    last = any(tensor.is_contiguous(memory_format=torch.channels_last) for tensor in (images, weight))
    return result if last else result.contiguous()


def _backward(
    gradient: Tensor, images: Tensor, weight: Tensor, wants_images: bool, wants_weight: bool
) -> tuple[Tensor | None, Tensor | None]:
    outputs_matrix, filters_matrix, inputs_matrix = _matrices()
    count, channels, height, width = images.shape
    outputs = len(weight)
    grid = (_tiles(height), _tiles(width))
    missing = (0, 0, 0, _TILE * grid[1] - width, 0, _TILE * grid[0] - height)
    cells = F.pad(gradient.permute(0, 2, 3, 1), missing).contiguous()
    cells = cells.view(count, grid[0], _TILE, grid[1], _TILE, outputs).permute(2, 4, 0, 1, 3, 5)
    filters = _transform_filters(weight) if wants_images else None
    of_images = torch.empty_like(images, memory_format=torch.channels_last) if wants_images else None
    of_filters = weight.new_zeros(_WINDOW**2, outputs, channels) if wants_weight else None
    for part in _parts(count, grid, max(channels, outputs)):
        products = (outputs_matrix.T @ cells[:, :, part].reshape(_TILE**2, -1)).view(_WINDOW**2, -1, outputs)
        if of_filters is not None:
            of_filters.baddbmm_(products.transpose(1, 2), _transform_inputs(images[part], grid))
        if of_images is not None:
            windows = (inputs_matrix.T @ torch.bmm(products, filters).flatten(1)).view(
                _WINDOW, _WINDOW, -1, *grid, channels
            )
            of_images[part] = _add_windows(windows, height, width)
    if of_filters is not None:
        of_filters = (filters_matrix.T @ of_filters.flatten(1)).view(_FILTER, _FILTER, outputs, channels)
        of_filters = of_filters.permute(2, 3, 0, 1)
    return of_images, of_filters


def _transform_filters(weight: Tensor) -> Tensor:
    """G g G^T: (O, C, 3, 3) -> (36, O, C)."""
    return (_matrices()[1] @ weight.permute(2, 3, 0, 1).reshape(_FILTER**2, -1)).view(_WINDOW**2, *weight.shape[:2])


def _transform_inputs(images: Tensor, grid: tuple[int, int]) -> Tensor:
    """B^T d B of every window d: (n, C, H, W) -> (36, n · tiles, C)."""
    count, channels, height, width = images.shape
    below, right = _TILE * grid[0] + 1 - height, _TILE * grid[1] + 1 - width
    padded = F.pad(images.permute(0, 2, 3, 1), (0, 0, 1, right, 1, below)).contiguous()
    image, row, column, channel = padded.stride()
    windows = padded.as_strided(
        (_WINDOW, _WINDOW, count, *grid, channels), (row, column, image, _TILE * row, _TILE * column, channel)
    )
    return (_matrices()[2] @ windows.reshape(_WINDOW**2, -1)).view(_WINDOW**2, -1, channels)


def _add_windows(windows: Tensor, height: int, width: int) -> Tensor:
    """Add overlapping windows (6, 6, n, tiles down, tiles across, C) up to images (n, C, height, width).

    A window's last two rows and columns lie on its neighbours' first two, and row and column 0 are the padding's.
    """
    _, _, count, down, across, channels = windows.shape
    images = windows.new_empty(count, down + 1, _TILE, across + 1, _TILE, channels)
    images[:, down] = images[:, :, :, across] = 0
    cells = images.permute(2, 4, 0, 1, 3, 5)
    over = _WINDOW - _TILE
    cells[:, :, :, :down, :across] = windows[:_TILE, :_TILE]
    cells[:over, :, :, 1:, :across] += windows[_TILE:, :_TILE]
    cells[:, :over, :, :down, 1:] += windows[:_TILE, _TILE:]
    cells[:over, :over, :, 1:, 1:] += windows[_TILE:, _TILE:]
    images = images.view(count, _TILE * (down + 1), _TILE * (across + 1), channels)
    return images[:, 1 : height + 1, 1 : width + 1].permute(0, 3, 1, 2)


def _parts(count: int, grid: tuple[int, int], channels: int) -> Iterator[slice]:
    """The images of a batch, cut so that an intermediate is no larger than _BUFFER, if one image's is not."""
    most = max(1, _BUFFER // (_WINDOW**2 * grid[0] * grid[1] * channels))
    for first in range(0, count, most):
        yield slice(first, min(first + most, count))


def _tiles(side: int) -> int:
    return -(-side // _TILE)


@cache
def _matrices() -> tuple[Tensor, Tensor, Tensor]:
    """A^T (16, 36), G (36, 9) and B^T (36, 36) for both directions of the plane at once: Kronecker squares, in float32.

    In one dimension, with points p_i and Lagrange's polynomials of them: A^T evaluates the powers, G evaluates the filter and
    divides by prod(p_i - p_j), and B^T has the coefficients of prod(x - p_j) over the others; infinity comes last.
    """
    powers = [[point**k for point in _POINTS] + [Fraction(int(k == _TILE - 1))] for k in range(_TILE)]
    filters = [
        [point**k / _product(point - other for other in _POINTS if other != point) for k in range(_FILTER)]
        for point in _POINTS
    ]
    filters.append([Fraction(0), Fraction(0), Fraction(1)])
    inputs = [_polynomial(other for other in _POINTS if other != point) + [Fraction(0)] for point in _POINTS]
    inputs.append(_polynomial(_POINTS))
    outputs_matrix, filters_matrix, inputs_matrix = map(_square, (powers, filters, inputs))
    return outputs_matrix, filters_matrix, inputs_matrix


def _square(rows: Sequence[Sequence[Fraction]]) -> Tensor:
    matrix = torch.tensor([[float(entry) for entry in row] for row in rows], dtype=torch.float32)
    return torch.kron(matrix, matrix)


def _product(factors: Iterator[Fraction]) -> Fraction:
    return reduce(lambda left, right: left * right, factors, Fraction(1))


def _polynomial(roots: Any) -> list[Fraction]:
    """Coefficients of prod(x - root), the constant first."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted, scaled = [Fraction(0), *coefficients], [-root * c for c in coefficients] + [Fraction(0)]
        coefficients = [a + b for a, b in zip(shifted, scaled, strict=True)]
    return coefficients
