"""Batches without an image. Some libraries' Fourier transforms refuse them, so they never get one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# Whether torch.export records the operations. torch 2.6 does not tell that from torch.compile, and cannot record torch.sym_max.
_KNOWS_EXPORT = hasattr(torch.compiler, "is_exporting")
is_exporting = torch.compiler.is_exporting if _KNOWS_EXPORT else torch.compiler.is_compiling


def holds_nothing(images: Tensor) -> bool:
    """Whether a tensor has no numbers, also by an axis that `torch.func.vmap` hides. False in a program that is exported."""
    if is_exporting():
        return False
    functorch = torch._C._functorch
    while not torch.compiler.is_compiling() and functorch.is_functorch_wrapped_tensor(images):
        images = functorch.get_unwrapped(images)
    return images.numel() == 0


def at_least_one(function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """The function of (B, ...) images; where B is 0, it is called with one black image, and its result is left out.

    An exported program has one way for all sizes, so it cannot ask whether there is an image. With torch 2.6 it needs one.
    """
    if not _KNOWS_EXPORT:
        return function(images)
    count = images.shape[0]
    missing = torch.sym_max(1 - count, 0)
    padded = torch.cat([images, images.new_zeros((missing, *images.shape[1:]))])
    return function(padded).narrow(0, 0, count)
