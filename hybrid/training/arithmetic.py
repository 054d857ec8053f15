"""How the products inside a model are computed: in which precision, and by which algorithm."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Literal

import torch

from hybrid.models.winograd import Winograd

Precision = Literal["fp32", "bf16", "fp16"]

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclasses.dataclass(frozen=True)
class Arithmetic:
    """Mixed precision by autocast (fp32: none) and, on CPUs in float32, convolutions by Winograd's algorithm."""

    precision: Precision = "fp32"
    winograd: bool = False

    @contextlib.contextmanager
    def on(self, device: torch.device) -> Iterator[None]:
        """For what the model does inside."""
        with contextlib.ExitStack() as stack:
            if self.precision != "fp32":
                stack.enter_context(torch.autocast(device.type, dtype=_AUTOCAST[self.precision]))
            elif self.winograd and device.type == "cpu":
                stack.enter_context(Winograd())
            yield
