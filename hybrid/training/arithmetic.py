"""How the products inside a model are computed: in which precision, and by which algorithm."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import weakref
from collections.abc import Iterator
from typing import Literal

import torch
from torch import nn

from hybrid.models.winograd import Winograd, suits

Precision = Literal["fp32", "bf16", "fp16"]

_with_winograd: weakref.WeakKeyDictionary[nn.Module, bool] = weakref.WeakKeyDictionary()
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclasses.dataclass(frozen=True)
class Arithmetic:
    """Mixed precision by autocast (fp32: none) and, on CPUs in float32, convolutions by Winograd's algorithm."""

    precision: Precision = "fp32"
    winograd: bool = False

    @contextlib.contextmanager
    def on(self, device: torch.device, model: nn.Module | None = None) -> Iterator[None]:
        """For what the model does inside; a `model` without a weight that Winograd's algorithm is for does it undisturbed."""
        with contextlib.ExitStack() as stack:
            if self.precision != "fp32":
                stack.enter_context(torch.autocast(device.type, dtype=_AUTOCAST[self.precision]))
            elif self.winograd and device.type == "cpu" and (model is None or _may_use_winograd(model)):
                stack.enter_context(Winograd())
            yield


def _may_use_winograd(model: nn.Module) -> bool:
    """Whether a weight of the model has a suitable shape. It is looked up once a model: every torch function would be asked."""
    if model not in _with_winograd:
        _with_winograd[model] = any(map(suits, itertools.chain(model.parameters(), model.buffers())))
    return _with_winograd[model]
