"""Random generators that depend on (seed, purpose, epoch, …) alone: all draws of the data pipeline come from them.

The global generators of PyTorch, NumPy and Python are neither read nor advanced. So the same run gives the same images
whatever the model draws, and an interrupted epoch continues at any step without the steps before.
"""

from __future__ import annotations

import functools
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
_WORD = 2**32 - 1
_EPOCHS = 64  # whose seeds are made together


def sequence(seed: int, purpose: Purpose, *key: int) -> np.random.SeedSequence:
    """The entropy of one stream. `key` is for example (epoch, step), of numbers from 0. Raises UserError for a negative seed."""
    if seed < 0:
        raise UserError(f"seed={seed} is negative; it must be 0 or more.")
    return np.random.SeedSequence([seed, _PURPOSES[purpose], *key])


def number(seed: int, purpose: Purpose, *key: int) -> int:
    """A seed of 63 bits for one stream, for libraries that take a seed."""
    return int(sequence(seed, purpose, *key).generate_state(1, np.uint64)[0] >> np.uint64(1))


def numbers(seed: int, purpose: Purpose, *key: int, last: np.ndarray) -> list[int]:
    """[number(seed, purpose, *key, each) for each in last], all at once; `last` (n,) holds whole numbers below 2^32.

    NumPy's SeedSequence has a fixed algorithm (O'Neill's seed_seq_fe), which is done here for all n together.
    """
    sequence(seed, purpose)  # raises UserError for a negative seed
    words = [word for value in (seed, _PURPOSES[purpose], *key) for word in _words(value)]
    pool = _mixed([*(np.array([word], np.uint32) for word in words), last.astype(np.uint32)])
    state, constant = [], 0x8B51F9DD
    for word in pool[:2]:
        word = word ^ np.uint32(constant)
        constant = constant * 0x58F38DED & _WORD
        word = word * np.uint32(constant)
        state.append((word ^ word >> np.uint32(16)).astype(np.uint64))
    return ((state[1] << np.uint64(32) | state[0]) >> np.uint64(1)).tolist()


def _words(value: int) -> list[int]:
    """The 32-bit words of a whole number, the lowest first."""
    words = [value & _WORD]
    while value := value >> 32:
        words.append(value & _WORD)
    return words


def _mixed(words: list[np.ndarray]) -> list[np.ndarray]:
    """SeedSequence's pool of four words, for arrays of words."""
    constant = 0x43B0D7E5

    def hashed(word: np.ndarray) -> np.ndarray:
        nonlocal constant
        word = word ^ np.uint32(constant)
        constant = constant * 0x931E8875 & _WORD
        word = word * np.uint32(constant)
        return word ^ word >> np.uint32(16)

    def together(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        result = one * np.uint32(0xCA01F9DD) - other * np.uint32(0x4973F715)
        return result ^ result >> np.uint32(16)

    pool = [hashed(word) for word in (*words, *[np.zeros(1, np.uint32)] * 4)[:4]]
    for source in range(4):
        for target in range(4):
            if source != target:
                pool[target] = together(pool[target], hashed(pool[source]))
    for word in words[4:]:
        for target in range(4):
            pool[target] = together(pool[target], hashed(word))
    return pool


@functools.lru_cache(maxsize=64)
def _of_epochs(seed: int, purpose: Purpose, block: int) -> list[int]:
    return numbers(seed, purpose, last=np.arange(block * _EPOCHS, (block + 1) * _EPOCHS))


def epoch_generator(seed: int, purpose: Purpose, epoch: int) -> torch.Generator:
    """torch_generator(seed, purpose, epoch), for streams that are asked for epoch after epoch."""
    block, place = divmod(epoch, _EPOCHS)
    return torch.Generator().manual_seed(_of_epochs(seed, purpose, block)[place])


def torch_generator(seed: int, purpose: Purpose, *key: int) -> torch.Generator:
    """A generator of torch for one stream. It is on the CPU, so that the numbers do not depend on the images' device."""
    return torch.Generator().manual_seed(number(seed, purpose, *key))


def numpy_generator(seed: int, purpose: Purpose, *key: int) -> np.random.Generator:
    """A generator of NumPy for one stream."""
    return np.random.default_rng(sequence(seed, purpose, *key))
