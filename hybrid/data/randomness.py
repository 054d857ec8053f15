"""Random generators that depend on (seed, purpose, epoch, …) alone: all draws of the data pipeline come from them.

The global generators of PyTorch, NumPy and Python are neither read nor advanced. So the same run gives the same images
whatever the model draws, and an interrupted epoch continues at any step without the steps before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from hybrid.errors import UserError
from hybrid.lazy import LazyModule

if TYPE_CHECKING:
    import torch
else:
    torch = LazyModule("torch")

Purpose = Literal["order", "augmentation", "policy", "resized_crop", "mixing", "workers"]
_PURPOSES: dict[str, int] = {"order": 1, "augmentation": 2, "policy": 3, "resized_crop": 4, "mixing": 5, "workers": 6}


def sequence(seed: int, purpose: Purpose, *key: int) -> np.random.SeedSequence:
    """The entropy of one stream. `key` is for example (epoch, step), of numbers from 0. Raises UserError for a negative seed."""
    if seed < 0:
        raise UserError(f"seed={seed} is negative; it must be 0 or more.")
    return np.random.SeedSequence([seed, _PURPOSES[purpose], *key])


def number(seed: int, purpose: Purpose, *key: int) -> int:
    """A seed of 63 bits for one stream, for libraries that take a seed."""
    return int(sequence(seed, purpose, *key).generate_state(1, np.uint64)[0] >> np.uint64(1))


def torch_generator(seed: int, purpose: Purpose, *key: int) -> torch.Generator:
    """A generator of torch for one stream. It is on the CPU, so that the numbers do not depend on the images' device."""
    return torch.Generator().manual_seed(number(seed, purpose, *key))


def numpy_generator(seed: int, purpose: Purpose, *key: int) -> np.random.Generator:
    """A generator of NumPy for one stream."""
    return np.random.default_rng(sequence(seed, purpose, *key))
