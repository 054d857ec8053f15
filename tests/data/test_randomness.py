"""Seeds of many streams at once are those of one stream after the other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hybrid.data.randomness import epoch_generator, number, numbers, torch_generator
from hybrid.errors import UserError

LAST = np.array([0, 1, 2, 99, 2**31, 2**32 - 1])


@pytest.mark.parametrize("seed", [0, 5, 2**32 - 1, 2**32, 2**40 + 3, 2**70 + 9])
@pytest.mark.parametrize("key", [(), (0,), (3, 2**33), (1, 2, 3, 4)], ids=str)
def test_many_seeds_at_once_are_those_of_numpy(seed, key):
    found = numbers(seed, "policy", *key, last=LAST)
    assert found == [number(seed, "policy", *key, int(each)) for each in LAST]


@pytest.mark.parametrize("epoch", [0, 1, 63, 64, 20_000])
def test_the_generator_of_an_epoch_is_its_stream(epoch):
    mine, theirs = epoch_generator(7, "order", epoch), torch_generator(7, "order", epoch)
    assert torch.equal(torch.rand(5, generator=mine), torch.rand(5, generator=theirs))


def test_a_negative_seed_is_refused():
    with pytest.raises(UserError, match="seed=-1 is negative"):
        numbers(-1, "order", last=LAST)
