"""Random streams that depend on named numbers alone, so that nothing else can move them.

Every draw of the data pipeline comes from a generator made here from (seed, purpose, epoch, …). PyTorch's, NumPy's and
Python's global generators are never read or advanced: the same run gives the same images whatever the model draws, and an
interrupted epoch continues at any step without replaying the ones before.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from hybrid.errors import UserError

Purpose = Literal["order", "augmentation", "policy", "resized_crop", "mixing", "workers"]
_PURPOSES: dict[str, int] = {"order": 1, "augmentation": 2, "policy": 3, "resized_crop": 4, "mixing": 5, "workers": 6}


def sequence(seed: int, purpose: Purpose, *key: int) -> np.random.SeedSequence:
    """The entropy of one stream; `key` is for example (epoch, step), all non-negative."""
    if seed < 0:
        raise UserError(f"seed={seed} is negative; it must be 0 or more.")
    return np.random.SeedSequence([seed, _PURPOSES[purpose], *key])


def number(seed: int, purpose: Purpose, *key: int) -> int:
    """One 63-bit seed of that stream, for libraries that take a seed."""
    return int(sequence(seed, purpose, *key).generate_state(1, np.uint64)[0] >> np.uint64(1))


def torch_generator(seed: int, purpose: Purpose, *key: int) -> torch.Generator:
    """A CPU generator of torch for that stream: the same numbers whichever device the images live on."""
    return torch.Generator().manual_seed(number(seed, purpose, *key))


def numpy_generator(seed: int, purpose: Purpose, *key: int) -> np.random.Generator:
    """A generator of NumPy for that stream."""
    return np.random.default_rng(sequence(seed, purpose, *key))
