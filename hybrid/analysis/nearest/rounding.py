"""Distances that round the same way everywhere, and products of matrices that bound them from below.

Let x be a query and y a point, both minus one common centre. Then ‖x - y‖² = ‖x‖² + 2 s with s = ‖y‖²/2 - ⟨x, y⟩. A matrix
product gives s for all pairs quickly, but with a rounding error: a product of n terms in any order is off by at most
γ_n Σ|terms|, γ_n = nu / (1 - nu), with u the unit round-off (Higham, Accuracy and Stability of Numerical Algorithms,
section 3.1). With the Cauchy-Schwarz inequality the error of s is at most G (‖x‖‖y‖ + ‖y‖²/2), G a little over γ_D. Two
more coordinates subtract that bound inside the product, so that every entry of queries @ points.T is at most the true s.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hybrid.errors import UserError

_SLACK = 1.25  # over G: the bound's own coordinates are rounded too
_LARGEST = 1e150  # of a feature: its square must be a float64
_ABSOLUTE = {torch.float32: 2.0**-120, torch.float64: 2.0**-250}  # errors by underflow, of coordinates within ±1


def squared_distances(first: Tensor, second: Tensor) -> Tensor:
    """(P,) float64 Σ_d (first - second)² of paired rows, (P, D) each.

    Differences, squares and sums are separate float64 operations, and the sum folds the row in halves. So the value depends
    on the two rows alone: not on the order of the two, the block, the number of threads or the device.
    """
    difference = first.double() - second.double()
    return folded_sum(difference.mul_(difference))


def folded_sum(values: Tensor) -> Tensor:
    """Sum over the last dimension by adding the second half to the first again and again (pairwise summation)."""
    while (width := values.shape[-1]) > 1:
        half = width // 2
        folded = values[..., :half] + values[..., half : 2 * half]
        if width % 2:
            folded[..., 0] += values[..., -1]
        values = folded
    return values[..., 0]


def square_roots(values: Tensor) -> Tensor:
    """The float64 square roots, in place and correctly rounded; torch's own are off by one unit on some CPUs (of MKL)."""
    if values.device.type != "cpu":
        return values.sqrt_()
    np.sqrt(values.numpy(), out=values.numpy())
    return values


@dataclass(frozen=True)
class Frame:
    """The common centre (D,) float64, and the power of two that brings every coordinate into ±1."""

    centre: Tensor
    scale: float

    @classmethod
    def of(cls, *features: Tensor, rows: int) -> Frame:
        """The frame of features (N, D), centred on the mean of the first; `rows` are read at a time.

        Raises UserError for features that are not finite.
        """
        total = sum(block.double().sum(0) for block in features[0].split(min(rows, 512)))  # which stay in the cache
        centre = total / len(features[0])
        sizes = [_largest(block, centre) for part in features for block in part.split(rows)]
        if not all(size <= _LARGEST for size in sizes):  # NaN is not
            raise UserError(
                f"features must be finite and below {_LARGEST:.0e} in size: some are NaN, infinite or too large."
            )
        exponent = max(math.frexp(max(sizes))[1], -400)  # of features that are all equal it has no effect
        return cls(centre, 2.0**-exponent)

    def centred(self, features: Tensor) -> Tensor:
        """(n, D) float64 coordinates within ±1 (a little more for rounding)."""
        return (features.double() - self.centre).mul_(self.scale)


def _largest(features: Tensor, centre: Tensor) -> float:
    """max |features - centre|, NaN if any is NaN."""
    extremes = torch.stack([features.amin(0), features.amax(0)])
    return (extremes.double() - centre).abs_().max().item()


def point_side(centred: Tensor, dtype: torch.dtype) -> Tensor:
    """(n, D + 2) right factor of the lower bounds: [-y, (1 - G) ‖y‖²/2, -G ‖y‖]."""
    error = _SLACK * product_error(centred.shape[1], dtype)
    squares = centred.square().sum(1, keepdim=True)
    return torch.cat([-centred, squares * ((1 - error) / 2), squares.sqrt() * -error], 1).to(dtype)


def query_side(centred: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """(n, D + 2) left factor [x, 1, ‖x‖] and (n,) float64 ‖x‖²."""
    squares = centred.square().sum(1, keepdim=True)
    return torch.cat([centred, torch.ones_like(squares), squares.sqrt()], 1).to(dtype), squares[:, 0]


def negative_shares(squares: Tensor, dimension: int, loss: float) -> Tensor:
    """(n,) float32 -a(x) from ‖x‖², so that scores <x, y> - a(x) - a(y) by float32 sums are at least -‖x - y‖²/2.

    The rounding error of a score is at most G (‖x‖‖y‖ + a(x) + a(y)), and ‖x‖‖y‖ <= (‖x‖² + ‖y‖²)/2: so 2 G of the squares
    bound it, and each of the two points brings its own share of that. loss: r, if x and y are rounded to x' and y' with errors
    of at most r ‖x‖ and r ‖y‖ before they are multiplied: that changes <x, y> by at most (2 r + r²) ‖x‖‖y‖.
    """
    error = 2 * _SLACK * product_error(2 * dimension if loss else dimension, torch.float32)
    error += 1.001 * (2 * loss + loss**2)
    return (squares * ((error - 1) / 2)).float()


def product_error(dimension: int, dtype: torch.dtype) -> float:
    """G for D-dimensional features; infinite if so many terms cannot be bounded usefully."""
    terms = (dimension + 10) * torch.finfo(dtype).eps / 2  # + 2 terms, and the rounding of both factors to dtype
    return terms / (1 - terms) if terms < 0.05 else math.inf


def distance_error(dimension: int) -> float:
    """Relative error that a float64 sum of D squares and its square root stay well below."""
    return (dimension + 64) * torch.finfo(torch.float64).eps


def underflow_error(dimension: int, dtype: torch.dtype) -> float:
    """Absolute error by underflow of a sum of D squares of coordinates within ±1."""
    return (dimension + 4) * _ABSOLUTE[dtype]


@contextmanager
def ieee_products(device: torch.device) -> Iterator[None]:
    """Context manager: multiply float32 matrices in float32, without TF32, bfloat16 or autocast, whatever training has set."""
    with torch.autocast(device.type, enabled=False), ExitStack() as restore:
        if hasattr(torch.backends.mkldnn, "matmul"):  # torch >= 2.9, where the older setting is an alias of this one
            for backend in (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul):
                restore.callback(setattr, backend, "fp32_precision", backend.fp32_precision)
                backend.fp32_precision = "ieee"
        else:
            restore.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
            torch.set_float32_matmul_precision("highest")
        yield
