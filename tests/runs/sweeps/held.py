"""An optimizer for runs that must not end before a test has done something to them, however fast they train."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hybrid.training.optimizer import sgd


def held_sgd(model: nn.Module, *, lr: float, **settings: Any) -> torch.optim.Optimizer:
    """SGD whose step takes a tenth of a second while the folder HYBRID_TEST_HELD has a file named as the learning rate."""
    optimizer = sgd(model, lr=lr, **settings)
    file = Path(os.environ["HYBRID_TEST_HELD"]) / str(lr)
    optimizer.register_step_pre_hook(lambda *_: time.sleep(0.1 * file.exists()))
    return optimizer
