"""Where a run starts from, in this order: its own last checkpoint; the weights that it was given; scratch."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from hybrid import distributed
from hybrid.data import Data
from hybrid.runs import RunFolder
from hybrid.training import checkpoint
from hybrid.training.checks import RunSettings
from hybrid.training.feature_cache import CachePlan, FeatureCache
from hybrid.training.initial_weights import load_initial_weights
from hybrid.training.state import TrainState


def initial_weights(model: nn.Module, settings: RunSettings, folder: RunFolder) -> set[str]:
    """Fill a new model with the weights that run.init_from gives, unless the run has its own already; the names taken."""
    if settings.init_from is None or (checkpoint.present(folder.checkpoints) and not settings.restart):
        return set()
    return load_initial_weights(
        model, Path(settings.init_from), match=settings.init_match, channels=settings.init_channels
    )


def begin(
    state: TrainState,
    folder: RunFolder,
    data: Data,
    device: torch.device,
    *,
    has_statistics: bool,
    kept: CachePlan | None = None,
) -> FeatureCache | None:
    """Bring the state to where the run goes on; all ranks then have the same weights.

    has_statistics: the weights that it was given hold those of the normalization. What the plan `kept` says is cached as soon
    as the front-end is the one to train with; returns that cache.
    """
    own = distributed.from_main(lambda: checkpoint.load_latest(folder.checkpoints, set_aside=True))
    if own is not None:
        state.load_state_dict(own, source=folder.checkpoints)
    elif kept is not None:  # rank 0 alone has the weights that the run was given
        distributed.same_weights(state.model)
    cache = distributed.together(lambda: kept.build(state.model)) if kept is not None else None
    if own is not None:
        return cache
    if not has_statistics and state.model.needs_statistics and distributed.is_main():
        loader = data.loader("train", batch_size=256, device=device)
        if cache is not None:
            state.model.fit_normalization(batch.images for batch in cache.loader(loader).epoch(0))
        else:
            state.model.fit_statistics(batch.images for batch in loader.epoch(0))
    distributed.same_weights(state.model)
    if state.ema is not None:
        state.ema.module.load_state_dict(state.model.state_dict())
    return cache
