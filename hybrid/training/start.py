"""The state that a run starts from: its own last checkpoint, or the weights that it was given, or random ones."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from hybrid import distributed
from hybrid.analysis.layers import layers_of
from hybrid.data import Data
from hybrid.distributed.rank_slices import Shares
from hybrid.distributed.sync_batch_norm import synchronize_batch_norm
from hybrid.errors import UserError
from hybrid.models import HybridModel
from hybrid.runs import RunFolder
from hybrid.seeding import seed_everything, set_deterministic
from hybrid.taps import run_blank
from hybrid.training import checkpoint
from hybrid.training.feature_cache import CachePlan, FeatureCache
from hybrid.training.gradient_checkpointing import blocks
from hybrid.training.initial_weights import load_initial_weights
from hybrid.training.plan import Plan
from hybrid.training.settings import RunSettings, Settings
from hybrid.training.state import TrainState


def set_up_process(settings: Settings) -> None:
    """Choose this process's GPU and its arithmetic, and seed its generators."""
    if settings.device.type == "cuda":
        torch.cuda.set_device(settings.device)
    set_deterministic(settings.trainer.deterministic)
    torch.set_float32_matmul_precision(settings.trainer.matmul_precision)
    seed_everything(settings.seed)


def initial_weights(model: nn.Module, settings: RunSettings, folder: RunFolder) -> set[str]:
    """Fill a new model with the weights that run.init_from gives, unless the run has its own; returns the names taken."""
    if settings.init_from is None or (checkpoint.present(folder.checkpoints) and not settings.restart):
        return set()
    return load_initial_weights(
        model, Path(settings.init_from), match=settings.init_match, channels=settings.init_channels
    )


def check_model(model: HybridModel, plan: Plan) -> None:
    """Raises UserError where the model does not fit the plan.

    It may lack layers to be analysed or blocks to be checkpointed, or have batch norm that cannot take the run's steps.
    """
    if plan.analysis is not None:
        layers_of(model, taps=plan.analysis.settings.layers)
    if plan.trainer.gradient_checkpointing:
        blocks(model.head)
    if 1 in _micro_batches(plan) and _refuses_one_image(model):
        raise UserError(
            f"an epoch of {plan.loader.samples} images in batches of {plan.trainer.batch_size} has a micro-batch of a single "
            "image, which batch norm cannot normalise: trainer.drop_last=true leaves out an epoch's last, smaller batch; or "
            "choose another trainer.batch_size."
        )


def on_device(model: HybridModel, plan: Plan) -> HybridModel:
    """Give each rank random numbers of its own, and bring the model to the plan's device."""
    distributed.seed_rank(plan.seed)
    if plan.trainer.sync_batch_norm:
        synchronize_batch_norm(model, plan.device)
    return model.to(plan.device, memory_format=plan.trainer.memory_format)


def begin(
    state: TrainState, data: Data, folder: RunFolder, *, given: set[str], wanted: CachePlan | None
) -> FeatureCache | None:
    """Bring the state to where the run goes on; all ranks then have the same weights.

    given: the names of the weights that the model was given; where the normalization's are among them, it is not fitted again.
    wanted: builds the feature cache once the front-end's weights are final. Returns that cache.
    """
    own = distributed.from_main(lambda: checkpoint.load_latest(folder.checkpoints, set_aside=True))
    if own is not None:
        state.load_state_dict(own, source=folder.checkpoints)
    elif wanted is not None:  # rank 0 alone has the weights that the run was given
        distributed.same_weights(state.model)
    cache = distributed.together(lambda: wanted.build(state.model)) if wanted is not None else None
    if own is not None:
        return cache
    if not any(name.startswith("normalization.") for name in given):
        fit_normalization(state, data, cache)
    distributed.same_weights(state.model)
    if state.ema is not None:
        state.ema.module.load_state_dict(state.model.state_dict())
    return cache


def fit_normalization(state: TrainState, data: Data, cache: FeatureCache | None) -> None:
    """Measure the training images, on the first rank, where the normalization has yet to see them."""
    if not state.model.needs_statistics or not distributed.is_main():
        return
    loader = data.loader("train", batch_size=256, device=state.device)
    if cache is not None:
        state.model.fit_normalization(batch.images for batch in cache.loader(loader).epoch(0))
    else:
        state.model.fit_statistics(batch.images for batch in loader.epoch(0))


def _micro_batches(plan: Plan) -> set[int]:
    """The numbers of images that batch norm sees at once, on any rank, in any step of the run."""
    count, parts = min(plan.batches, plan.length.total_steps), plan.trainer.accumulation
    ranks = 1 if plan.trainer.sync_batch_norm else distributed.size()
    totals = {plan.loader.share(step).total for step in (0, count - 1)}
    return {size for total in totals for rank in range(ranks) for size in Shares(rank, ranks, parts).of(total).sizes}


class _SingleValue(Exception):
    """A batch norm has one value in each channel."""


def _refuses_one_image(model: HybridModel) -> bool:
    """Whether a batch norm of the model would have one value in each channel if a single image were trained on."""

    def look(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if inputs[0].numel() == inputs[0].shape[1]:
            raise _SingleValue

    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    hooks = [module.register_forward_pre_hook(look) for module in norms]
    try:
        run_blank(model, model.image_shape)
    except _SingleValue:
        return True
    finally:
        for hook in hooks:
            hook.remove()
    return False
