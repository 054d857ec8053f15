"""What is exported: the pixel preprocessing and the model as one module."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from hybrid.models import HybridModel
from hybrid.models.hybrid import check_tensor
from hybrid.scattering import Scattering2D, TorchScattering2D


class Pipeline(nn.Module):
    """Images (N, C, H, W), float in [0, 1] or uint8, as they are read from a file -> logits (N, K)."""

    def __init__(self, preprocessing: nn.Module, model: HybridModel) -> None:
        super().__init__()
        self.preprocessing = preprocessing
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        check_tensor(images)
        return self.model(self.preprocessing(images))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.model.image_shape


class Head(nn.Module):
    """The part of a model that was trained: coefficients (N, C, H, W), as its front-end gives them -> logits (N, K)."""

    def __init__(self, model: HybridModel) -> None:
        super().__init__()
        self.normalization = model.normalization
        self.head = model.head
        self.units = nn.Identity() if model.units is None else model.units

    def forward(self, coefficients: Tensor) -> Tensor:
        return self.units(self.head(self.normalization(coefficients)))


def for_export(pipeline: Pipeline, *, engine: Callable[..., nn.Module] = TorchScattering2D) -> Pipeline:
    """A copy on the CPU, in evaluation mode and contiguous memory format, whose scattering is computed by `engine`.

    `engine(J, shape, L, max_order, boundary=boundary, bank=bank)` must give the same values as `Scattering2D` with these
    filters (None: its own); it replaces kymatio too, whose own engine cannot be traced. Learned filters become constants.
    """
    twin = copy.deepcopy(pipeline).eval()
    twin.model.to("cpu", memory_format=torch.contiguous_format)
    twin.preprocessing.to("cpu")
    for parent in list(twin.modules()):
        for name, child in parent.named_children():
            if isinstance(child, Scattering2D) and type(child) is not engine:
                chosen = {"boundary": child.boundary, "bank": child.own_filters()}
                setattr(parent, name, engine(child.J, child.shape, child.L, child.max_order, **chosen))
    for parameter in twin.parameters():
        parameter.requires_grad_(False)
    return twin
