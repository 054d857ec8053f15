"""An interval that a parameter cannot leave, whatever step the optimizer takes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Interval:
    """A parametrisation of the numbers from `low` to `high` by all numbers.

    At an anchor within the interval the two agree and change at the same rate. So a learning rate means the same there with
    and without bounds.
    """

    low: float
    high: float

    def inside(self, raw: Tensor, anchor: Tensor) -> Tensor:
        """All numbers -> the interval; both ends can be reached by rounding."""
        share, slope = self._at(anchor)
        return self.low + (self.high - self.low) * torch.sigmoid(torch.logit(share) + (raw - anchor) / slope)

    def raw(self, value: Tensor, anchor: Tensor) -> Tensor:
        """The inverse of `inside`. Values outside the interval are brought to a thousandth of its length from its end."""
        share, slope = self._at(anchor)
        wanted = ((value - self.low) / (self.high - self.low)).clamp(1e-3, 1 - 1e-3)
        return anchor + (torch.logit(wanted) - torch.logit(share)) * slope

    def _at(self, anchor: Tensor) -> tuple[Tensor, Tensor]:
        share = (anchor - self.low) / (self.high - self.low)
        return share, (self.high - self.low) * share * (1 - share)
