"""Ranks share settings, downloaded files and weights; each has its own part of a batch, and its own random numbers."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from hybrid.distributed import group
from hybrid.distributed.launch import Launch
from hybrid.distributed.rank_slices import Shares
from hybrid.errors import UserError
from hybrid.seeding import seed_everything

_ABSENT = "(absent)"


def compare(describe: Callable[[], dict[str, Any]]) -> None:
    """Raise UserError on every rank, naming rank, host, setting and both values, unless `describe` says the same on all.

    A hash is exchanged first; what the ranks have described, only where it differs.
    """
    if group.size() == 1:
        return
    mine = group.together(describe)
    digest = hashlib.sha256(repr(sorted((name, repr(value)) for name, value in mine.items())).encode()).hexdigest()
    if len(set(group.gather_objects(digest))) == 1:
        return
    (first_host, first), *others = group.gather_objects((platform.node(), mine))
    for number, (host, theirs) in enumerate(others, start=1):
        different = [name for name in {**first, **theirs} if first.get(name, _ABSENT) != theirs.get(name, _ABSENT)]
        if not different:
            continue
        name = different[0]
        here, there = (_shown(facts.get(name, _ABSENT)) for facts in (theirs, first))
        more = f" ({len(different) - 1} more of its settings differ)" if len(different) > 1 else ""
        raise UserError(
            f"rank {number} on {host} has {name}={here}, and rank 0 on {first_host} has {there}{more}: all ranks of a run need "
            "the same configuration, code and data."
        )


def prepare(action: Callable[[], Any]) -> None:
    """Do something once per machine before the others do it: they find its result, such as downloaded files."""
    first = Launch.read().local_rank == 0
    group.together(lambda: action() if first else None)
    group.together(lambda: None if first else action())


def own_shares(accumulation: int) -> Shares:
    """Which part of each training batch is this rank's."""
    return Shares(rank=group.rank(), ranks=group.size(), parts=accumulation)


def same_weights(model: torch.nn.Module) -> None:
    """Give every rank rank 0's weights and persistent buffers; scattering filters are neither, and stay where they are."""
    if group.size() > 1:
        model.load_state_dict(
            group.from_main(lambda: {name: value.cpu() for name, value in model.state_dict().items()})
        )


def seed_rank(seed: int) -> None:
    """After the weights were drawn, alike on all ranks: other random numbers (dropout) for each rank but the first."""
    if not group.is_main():
        seed_everything(
            int(np.random.SeedSequence([seed, group.rank()]).generate_state(1, np.uint64)[0] >> np.uint64(1))
        )


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
