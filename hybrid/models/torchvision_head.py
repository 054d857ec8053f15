"""Any classification network of torchvision as a head: resnet18 on pixels is the plain ImageNet baseline."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call

from hybrid.errors import unknown_name

# These two return extra logits in training mode, unless told not to.
_WITHOUT_AUXILIARY_LOGITS = {"aux_logits": False, "init_weights": True}


class TorchvisionClassifier(nn.Module):
    """A classification network of torchvision, with random weights: (N, C, H, W) -> logits (N, num_classes).

    Args:
        input_shape: (C, H, W) of the images; C is 3, or 1 for grey images, which are repeated.
        num_classes: the number of logits.
        name: torchvision's name of the network, such as "resnet18".
        options: arguments of its constructor, such as {"dropout": 0.5}.

    Raises:
        ValueError: the name is unknown, the options do not fit, or the images have other channels or are too small.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        num_classes: int,
        *,
        name: str,
        options: dict[str, object] | None = None,
    ) -> None:
        super().__init__()
        if input_shape[0] not in (1, 3):
            raise ValueError(
                f"torchvision's {name} takes images of 3 channels (or 1, repeated), not {input_shape[0]}: "
                "it goes with model/frontend=identity"
            )
        self.network = _network(name, num_classes, options or {})
        _check_size(self.network, name, input_shape, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[1] == 1:
            images = images.expand(-1, 3, -1, -1)
        return self.network(images)


def _network(name: str, num_classes: int, options: dict[str, object]) -> nn.Module:
    from torchvision import models  # here: scattering models work without torchvision

    names = models.list_models(module=models)
    if name not in names:
        raise unknown_name(name, names, what="torchvision classification model in model.head.name")
    if name in ("googlenet", "inception_v3"):
        options = _WITHOUT_AUXILIARY_LOGITS | options
    try:
        return models.get_model(name, weights=None, num_classes=num_classes, **options)
    except TypeError as error:
        raise ValueError(f"options do not fit torchvision's {name}: {error}") from error


def _check_size(network: nn.Module, name: str, shape: tuple[int, int, int], num_classes: int) -> None:
    """Run the network on the meta device, where a forward computes shapes only."""
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    images = torch.empty(2, 3, *shape[1:], device="meta")
    try:
        logits = functional_call(network, {key: value.to("meta") for key, value in tensors.items()}, images)
    except (RuntimeError, ValueError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"torchvision's {name} does not take images of {shape[1]}x{shape[2]}: {reason}") from error
    if not isinstance(logits, Tensor) or logits.shape != (2, num_classes):
        raise ValueError(f"torchvision's {name} does not return logits (N, {num_classes}) alone")
