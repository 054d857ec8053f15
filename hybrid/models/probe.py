"""One forward of a blank image through a model, leaving the model as it was: for tables and for the order of layers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def probe(model: nn.Module, image_shape: tuple[int, int, int]) -> Tensor:
    """The logits of one blank image (C, H, W), in evaluation mode, on the model's device.

    Gradients are recorded. Running statistics stay as they are, and a statistics normalization need not be fitted.
    """
    anchor = next(model.parameters(), torch.zeros(()))
    images = torch.zeros(1, *image_shape, device=anchor.device, dtype=anchor.dtype)
    with _unchanged(model), torch.enable_grad():
        return model(images)


@contextmanager
def _unchanged(model: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    unfitted = [module for module in model.modules() if getattr(module, "fitted", True) is False]
    try:
        model.eval()
        for module in unfitted:
            module.fitted = True
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for module in unfitted:
            module.fitted = False
