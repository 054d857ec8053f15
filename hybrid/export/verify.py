"""Is an exported file the model? Asked of the file itself, read back from the disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from hybrid.errors import UserError

Function = Callable[[Tensor], Tensor]


class Unequal(UserError):
    """A written file does not give what the model gives."""


class Difference(NamedTuple):
    """Largest absolute difference of any logit, the largest absolute logit, and how many images were compared."""

    largest: float
    scale: float
    images: int

    def within(self, tolerance: float) -> bool:
        """Whether it is at most `tolerance`, times the largest logit where that is above 1; NaN is not."""
        return self.largest <= tolerance * max(1.0, self.scale)


@torch.no_grad()
def difference(expected: Function, found: Function, batches: Iterable[Tensor]) -> Difference:
    """Compare two functions on batches of images of several sizes, which shows that the batch's size is free."""
    largest, scale, images = 0.0, 0.0, 0
    for batch in batches:
        wanted, got = expected(batch).double(), found(batch).double()
        if wanted.shape != got.shape:
            return Difference(float("nan"), scale, images)
        deviation = (wanted - got).abs().max().item()
        # max() would drop a NaN that comes second
        largest = deviation if deviation != deviation or deviation > largest else largest
        scale, images = max(scale, wanted.abs().max().item()), images + len(batch)
        if largest != largest:
            break
    return Difference(largest, scale, images)


def check(name: str, expected: Function, found: Function, batches: Iterable[Tensor], *, tolerance: float) -> Difference:
    """`difference`; raises Unequal where it is not within the tolerance."""
    result = difference(expected, found, batches)
    if not result.within(tolerance):
        raise Unequal(
            f"{name} differs from the model by {result.largest:.2g} (logits up to {result.scale:.3g}, allowed "
            f"{tolerance:g} times the larger of 1 and that)"
        )
    return result


def probe_batches(image_shape: Sequence[int], real: Tensor | None = None) -> list[Tensor]:
    """Random images (seeded), a black one and, in front, real ones (N, C, H, W) in [0, 1], in batches of one and of several."""
    noise = torch.rand(6, *image_shape, generator=torch.Generator().manual_seed(0))
    black = torch.zeros(
        1, *image_shape
    )  # wavelet coefficients of 0. Grey would be rounding errors after contrast normalisation
    batches = [noise[:1], noise[1:], black]
    return batches if real is None or len(real) == 0 else [real[:1], real, *batches]
