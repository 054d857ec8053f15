"""Any classification network of torchvision as a head: resnet18 on pixels is the plain ImageNet baseline."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from hybrid.errors import unknown_name

# These two return extra logits in training mode, unless told not to.
_WITHOUT_AUXILIARY_LOGITS = {"aux_logits": False, "init_weights": True}

LARGEST_SMALL = 64  # pixels of the shorter side
# class of torchvision, whose first convolution has stride 2 -> the max pooling after it
_COARSE_STEMS = {
    "ResNet": "maxpool", "DenseNet": "features.pool0", "ShuffleNetV2": "maxpool", "MobileNetV2": None, "MobileNetV3": None,
    "EfficientNet": None, "MNASNet": None, "RegNet": None,
}  # fmt: skip


class TorchvisionClassifier(nn.Module):
    """A classification network of torchvision, with random weights: (N, C, H, W) -> logits (N, num_classes).

    Args:
        input_shape: (C, H, W) of the images; C is 3, or 1 for grey images, which are repeated.
        num_classes: the number of logits.
        name: torchvision's name of the network, such as "resnet18".
        options: arguments of its constructor, such as {"dropout": 0.5}.
        stem: imagenet: the network as torchvision has it. small: its first convolution is 3x3 with stride 1, and no max
            pooling follows, as in the ResNets for CIFAR (He et al., CVPR 2016, section 4.2). auto: small for images of at
            most 64 pixels, where there is such a stem; else imagenet. The attribute `stem` says which it is.

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
        stem: Literal["auto", "imagenet", "small"] = "auto",
    ) -> None:
        super().__init__()
        if input_shape[0] not in (1, 3):
            raise ValueError(
                f"torchvision's {name} takes images of 3 channels (or 1, repeated), not {input_shape[0]}: "
                "it goes with model/frontend=identity"
            )
        self.network = _network(name, num_classes, options or {})
        self.stem = "imagenet"
        if stem == "small" or (stem == "auto" and min(input_shape[1:]) <= LARGEST_SMALL):
            self.stem = "small" if _make_small(self.network) else "imagenet"
        if stem == "small" != self.stem:
            raise ValueError(f"stem=small is not there for torchvision's {name}. Valid: auto, imagenet")
        self.learning_rate = 0.03  # 0.1 raises the loss tenfold in the first steps (docs/lab/measurements.md)
        _check_size(self.network, name, input_shape, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[1] == 1:
            images = images.expand(-1, 3, -1, -1)
        return self.network(images)


def _make_small(network: nn.Module) -> bool:
    """Replace the stem of a network for 224 pixels; False for one that is not known, or has none that is coarse."""
    kind = type(network).__name__
    if kind not in _COARSE_STEMS:
        return False
    path, first = next((path, part) for path, part in network.named_modules() if isinstance(part, nn.Conv2d))
    if first.kernel_size != (3, 3):
        small = nn.Conv2d(first.in_channels, first.out_channels, 3, padding=1, bias=first.bias is not None)
        nn.init.kaiming_normal_(small.weight, mode="fan_out", nonlinearity="relu")
        network.set_submodule(path, small)
    else:
        first.stride = (1, 1)
    if _COARSE_STEMS[kind] is not None:
        network.set_submodule(_COARSE_STEMS[kind], nn.Identity())
    return True


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
