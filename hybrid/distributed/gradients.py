"""The sum of all ranks' gradients, taken once per step: what makes N processes one training run.

Not DistributedDataParallel. That rearranges its buckets after the first step of a session, so that with three ranks or more a
resumed run rounds differently from one that never stopped; it averages over ranks, which is not the mean over images where an
epoch's last batch is not divided evenly; and it cuts a compiled model into pieces. Here all gradients travel as one vector,
after the last micro-batch, always in the order of `model.parameters()`. What that gives up is communication during the backward
pass (docs/guide/distributed.md has the numbers).
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from hybrid import distributed
from hybrid.distributed.sync_batch_norm import CPUSyncBatchNorm


class GradientSum:
    """Call it between backward and clipping: every rank then has the gradient of the whole batch, to the same bits.

    Along with the gradients go the running statistics of batch norm layers that are not synchronised. Each rank moves them by
    its own images; their mean over ranks, weighted by images, takes the place of all. So they are equal on all ranks after
    every step, at no further message, and so are averages of the weights that include them.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._tracking = [module for module in model.modules() if _tracks_by_itself(module)]

    @property
    def averages_statistics(self) -> bool:
        """Whether the model has batch norm that each rank computes over its own images."""
        return bool(self._tracking)

    @property
    def _parameters(self) -> list[nn.Parameter]:
        """Those that are trained now: parts of a model may be frozen for a while."""
        return [parameter for parameter in self._model.parameters() if parameter.requires_grad]

    @property
    def bytes_per_step(self) -> int:
        """The size of the vector that every rank sends and receives in a step (a ring moves 2 (N-1)/N times as much)."""
        tensors = [*self._parameters, *self._statistics()]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    @torch.no_grad()
    def __call__(self, weight: float) -> None:
        """Sum over ranks, in place. weight: the share of the step's images that this rank had."""
        if distributed.size() == 1:
            return
        absent = [parameter for parameter in self._parameters if parameter.grad is None]
        for parameter in absent:
            parameter.grad = torch.zeros_like(parameter)
        statistics = self._statistics()
        for buffer in statistics:
            buffer.mul_(weight)
        present = self._present(absent)
        _sum_together([*(parameter.grad for parameter in self._parameters), *statistics, present])
        if absent:  # read back only then: it waits for the device
            self._forget_unused(present)

    def _present(self, absent: list[nn.Parameter]) -> Tensor:
        """(parameters,) 1 where this rank has a gradient: the sum tells which parameters no rank has used."""
        unused = {id(parameter) for parameter in absent}
        flags = [float(id(parameter) not in unused) for parameter in self._parameters]
        return torch.tensor(flags, dtype=self._parameters[0].dtype, device=self._parameters[0].device)

    def _forget_unused(self, present: Tensor) -> None:
        for parameter, count in zip(self._parameters, present.tolist(), strict=True):
            if count == 0:  # an optimizer leaves it alone then, as it would in one process
                parameter.grad = None

    def _statistics(self) -> list[Tensor]:
        pairs = [(module.running_mean, module.running_var) for module in self._tracking if module.training]
        return list(itertools.chain.from_iterable(pairs))


def _tracks_by_itself(module: nn.Module) -> bool:
    synchronised = isinstance(module, (nn.SyncBatchNorm, CPUSyncBatchNorm))
    return not synchronised and getattr(module, "running_mean", None) is not None


def _sum_together(tensors: list[Tensor]) -> None:
    """Sum each over ranks, in place; those of one type and device in one message."""
    kinds = {(tensor.dtype, tensor.device): None for tensor in tensors}
    for kind in kinds:
        group = [tensor for tensor in tensors if (tensor.dtype, tensor.device) == kind]
        flat = distributed.sum_(torch.cat([tensor.reshape(-1) for tensor in group]))
        parts = flat.split([tensor.numel() for tensor in group])
        torch._foreach_copy_(group, [part.view(tensor.shape) for part, tensor in zip(parts, group, strict=True)])
