"""safetensors: the weights alone, for any framework; model.json beside them says what they belong to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hybrid.configuration.from_config import model_from
from hybrid.export.optional import need
from hybrid.export.pipeline import Pipeline
from hybrid.export.verify import Function, Unequal


def save_weights(pipeline: Pipeline, path: Path) -> None:
    """Write the model's parameters and buffers under the names of its state_dict."""
    safetensors = need("safetensors.torch", what="safetensors")
    weights = {name: tensor.cpu().contiguous().clone() for name, tensor in pipeline.model.state_dict().items()}
    safetensors.save_file(weights, str(path), metadata={"format": "pt"})


def load_weights(pipeline: Pipeline, path: Path, model_config: dict[str, Any]) -> Function:
    """The pipeline with a new model of this configuration and the file's weights, which must be the same to the last bit."""
    safetensors = need("safetensors.torch", what="safetensors")
    weights: dict[str, Tensor] = safetensors.load_file(str(path))
    for name, tensor in pipeline.model.state_dict().items():
        if name not in weights or not torch.equal(weights[name], tensor.cpu()):
            raise Unequal(f"{path.name} does not hold {name} as the model has it")
    model = pipeline.model
    twin = model_from(model_config, image_shape=model.image_shape, num_classes=model.num_classes)
    if model.units is not None:
        twin.use_units(model.units.mean, model.units.std)
    twin.load_state_dict(weights)
    twin.to(memory_format=torch.channels_last if model.channels_last else torch.contiguous_format)
    return Pipeline(pipeline.preprocessing, twin.eval())
