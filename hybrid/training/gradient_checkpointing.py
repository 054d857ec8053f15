"""Less memory for more time (`trainer.gradient_checkpointing`): a block keeps its input, and computes the rest again in backward.

Blocks are the head's own: residual blocks, groups of convolution, norm and activation, the layers of a transformer. The
gradient is the same to the last bit: dropout draws the same numbers again (torch.utils.checkpoint keeps the generator's state),
and a block's buffers, such as batch norm's running statistics, are those of the first time while it is computed the second
time, so that they do not move twice.

Chen, Xu, Zhang, Guestrin, "Training Deep Nets with Sublinear Memory Cost", 2016.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from hybrid.errors import UserError
from hybrid.training.arithmetic import Arithmetic

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_FEWEST = 2  # blocks: with a single one, all of it would be there again in the backward pass


def blocks(head: nn.Module) -> list[nn.Module]:
    """The blocks of a head. Raises UserError for a head with fewer than two, which would save no memory."""
    found = [block for child in head.children() for block in _blocks(child)]
    if len(found) < _FEWEST:
        raise UserError(
            f"trainer.gradient_checkpointing has no effect: the head {type(head).__name__} has no blocks of several layers. "
            "Valid here: false."
        )
    return found


class Checkpointed(nn.Module):
    """The model, with a forward that keeps only the inputs of the blocks. It has the model's own modules and weights."""

    def __init__(self, model: nn.Module, blocks: list[nn.Module], arithmetic: Arithmetic) -> None:
        super().__init__()
        self.model, self._blocks, self._arithmetic = model, blocks, arithmetic

    def forward(self, images: Tensor) -> Any:
        if not torch.is_grad_enabled():
            return self.model(images)
        with contextlib.ExitStack() as stack:
            for block in self._blocks:
                stack.enter_context(self._patched(block, images.device))
            return self.model(images)

    @contextlib.contextmanager
    def _patched(self, block: nn.Module, device: torch.device) -> Iterator[None]:
        """For one forward: the second time, in the backward pass, the block is itself again."""
        plain = block.forward

        def forward(*arguments: Any, **more: Any) -> Any:
            contexts = functools.partial(self._contexts, block, _buffers(block), device)
            return checkpoint(plain, *arguments, use_reentrant=False, context_fn=contexts, **more)

        block.forward = forward
        try:
            yield
        finally:
            del block.forward

    def _contexts(self, block: nn.Module, before: dict, device: torch.device) -> tuple[Any, Any]:
        """What the block is computed in the first and the second time."""
        return contextlib.nullcontext(), _again(block, before, lambda: self._arithmetic.on(device))


def _blocks(module: nn.Module) -> list[nn.Module]:
    if not _is_composite(module):
        return []
    if not any(_holds_blocks(part) for part in module.modules()):
        return [module]
    return [block for child in module.children() for block in _blocks(child)]


def _is_composite(module: nn.Module) -> bool:
    return any(True for _ in module.children()) and any(True for _ in module.parameters())


def _holds_blocks(module: nn.Module) -> bool:
    return isinstance(module, _CONTAINERS) and any(_is_composite(child) for child in module.children())


def _buffers(block: nn.Module) -> dict[tuple[nn.Module, str], Tensor]:
    """Copies of the buffers as they are before the block is computed."""
    return {
        (module, name): buffer.clone()
        for module in block.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    }


@contextlib.contextmanager
def _again(block: nn.Module, before: dict, arithmetic: Callable[[], Any]) -> Iterator[None]:
    """The arithmetic and the buffers of the first time; the buffers of now are put back afterwards."""
    now = {(module, name): module._buffers[name] for module, name in before}
    try:
        for (module, name), buffer in before.items():
            module._buffers[name] = buffer
        with arithmetic():
            yield
    finally:
        for (module, name), buffer in now.items():
            module._buffers[name] = buffer
