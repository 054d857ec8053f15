"""Features of an analysis under several processes: each rank computes its share of every batch, then all have all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch

from hybrid import distributed
from hybrid.analysis.features import Features


def exchange(collect: Callable[[], Features]) -> Features:
    """The features of all ranks in the order of one rank; `collect` makes those of this rank's share of every batch.

    What fails on one rank fails on all: they would wait for it otherwise. Called by all ranks.
    """
    if distributed.size() == 1:
        return collect()
    own: Any = None
    try:
        own, error = collect(), None
    except Exception as caught:  # it is raised again below, once the others know
        error = caught
    told = distributed.gather_objects((_line(error), tuple(own.values) if own else (), own.sizes if own else ()))
    if error is not None:
        raise error
    for rank, (line, names, _) in enumerate(told):
        if line is not None:
            raise RuntimeError(f"rank {rank}: {line}")
        if names != told[0][1]:
            raise RuntimeError(f"rank {rank} measured other layers than rank 0 at the last analysis")
    order = _order([sizes for *_, sizes in told])
    values = {name: distributed.gather_rows(rows)[order] for name, rows in own.values.items()}
    sizes = tuple(sum(shares) for shares in zip(*(sizes for *_, sizes in told), strict=True))
    return dataclasses.replace(own, values=values, labels=distributed.gather_rows(own.labels)[order], sizes=sizes)


def _line(error: Exception | None) -> str | None:
    return None if error is None else (str(error).splitlines() or [type(error).__name__])[0]


def _order(sizes: list[tuple[int, ...]]) -> torch.Tensor:
    """Places of the rows, one rank after the other, in the order of one rank; sizes[rank][batch] are the ranks' shares."""
    starts = torch.tensor([0, *(sum(own) for own in sizes)]).cumsum(0).tolist()
    places = [torch.arange(0)]
    for batch in zip(*sizes, strict=True):
        for rank, count in enumerate(batch):
            places.append(torch.arange(starts[rank], starts[rank] + count))
            starts[rank] += count
    return torch.cat(places)
