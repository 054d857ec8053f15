"""The ranks of one run are compared: configuration and code as they meet, data before the model, weights at checkpoints.

Ranks with different settings train to a result, too, and it would be stored as that of the first one's settings. A difference
is one line that names the rank, its machine, the setting and both values.
"""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

import hybrid
from hybrid import distributed
from hybrid.configuration.paths import CONFIGS
from hybrid.data import Data
from hybrid.data.sources import Split
from hybrid.distributed.launch import Launch
from hybrid.errors import UserError, same_command
from hybrid.runs.identity import flattened
from hybrid.training.device import rank_device

# What may differ between machines: where files lie, and how they are read. The data themselves are compared.
MAY_DIFFER = ("run.root", "run.init_from", "data.root", "data.download", "data.num_workers")
_SOURCES = {".py", ".yaml", ".c", ".cc", ".cpp", ".cu", ".cuh", ".h"}
_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def compare_starts(cfg: DictConfig) -> None:
    """Raise UserError on every rank unless all have the same configuration, code, versions and kind of device. Collective."""
    if distributed.size() > 1:
        distributed.compare(lambda: dict(_facts_of_start(cfg)))


def compare_data(data: Data) -> None:
    """Raise UserError on every rank unless all have the same classes, images, subset and splits. Collective."""
    if distributed.size() > 1:
        distributed.compare(lambda: dict(_facts_of_data(data)))


def compare_weights(model: nn.Module, *, step: int) -> None:
    """Raise UserError on every rank unless the weights and the running statistics of all have the same bits. Collective.

    Of each tensor the bits are summed as whole numbers: exact in any order, on any device.
    """
    if distributed.size() == 1:
        return
    tensors = dict(_shared_tensors(model))
    own = torch.stack([_sum_of_bits(tensor) for tensor in tensors.values()]).cpu()
    every = distributed.gather(own)
    different = (every != every[0]).nonzero()
    if len(different):
        rank, number = different[0].tolist()
        raise UserError(
            f"after step {step} the weights of rank {rank} are not those of rank 0 (first in {list(tensors)[number]}): the "
            f"ranks have drifted apart, and nothing is stored; {same_command()} continues from the last checkpoint."
        )


def with_own_places(cfg: DictConfig, mine: DictConfig) -> DictConfig:
    """The first rank's configuration, with this rank's own settings of MAY_DIFFER."""
    cfg = cfg.copy()
    for name in MAY_DIFFER:
        section, _, key = name.partition(".")
        if key in (mine.get(section) or {}) and key in (cfg.get(section) or {}):
            cfg[section][key] = mine[section][key]
    return cfg


def _facts_of_start(cfg: DictConfig) -> Iterator[tuple[str, Any]]:
    yield "Python", platform.python_version()
    yield "torch", torch.__version__
    yield "NumPy", np.__version__
    yield "device", rank_device(str(OmegaConf.select(cfg, "trainer.device", default="auto")), Launch.read()).type
    yield from flattened(OmegaConf.to_container(cfg, resolve=True), without=MAY_DIFFER)
    yield from _own_files()
    yield from _users_files(cfg)


def _own_files() -> Iterator[tuple[str, str]]:
    """The package's sources and configurations, each with the beginning of its hash."""
    package = Path(hybrid.__file__).parent
    for folder in dict.fromkeys((package, CONFIGS)):
        for path in sorted(folder.rglob("*")):
            if path.suffix in _SOURCES and path.is_file():
                yield f"{folder.name}/{path.relative_to(folder)}", _digest(path.read_bytes())


def _users_files(cfg: DictConfig) -> Iterator[tuple[str, str]]:
    """The files of the modules that are loaded, and of the configuration's classes: code of the user's own."""
    settings = flattened(OmegaConf.to_container(cfg, resolve=True))
    targets = {value for name, value in settings if name.endswith("_target_")}
    for target in sorted(str(each) for each in targets):
        file = getattr(sys.modules.get(target.rpartition(".")[0]), "__file__", None)
        if file is not None and target.split(".")[0] not in ("hybrid", "torch", "torchvision"):
            yield f"the file of {target}", _digest(Path(file).read_bytes())


def _facts_of_data(data: Data) -> Iterator[tuple[str, Any]]:
    yield "data: classes", _short(data.class_names)
    yield "data: shape of the images", list(data.image_shape)
    for name, split in data.splits.items():
        yield f"data: number of {name} images", len(split)
    for name, split in data.splits.items():
        yield f"data: which images are {name}", _digest(split.indices.numpy().tobytes())
        yield f"data: labels of the {name} images", _digest(split.labels.numpy().tobytes())
        yield f"data: content of the {name} images", _digest_of_images(split)


def _short(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown}, … ({len(names)}, {_digest(repr(names).encode())})"


def _digest_of_images(split: Split) -> str:
    """Of the pixels in memory; of files their names, without the folders before, which may differ between machines."""
    images = getattr(split, "images", None)
    if images is not None:
        return _digest(images.numpy())
    return split.paths.digest()[:12]


def _digest(content: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(content) if isinstance(content, np.ndarray) else content).hexdigest()[
        :12
    ]


def _shared_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters, and running statistics; other buffers of a user's own are not exchanged between ranks."""
    yield from model.named_parameters()
    for name, buffer in model.named_buffers():
        if name.rpartition(".")[2] in ("running_mean", "running_var"):
            yield name, buffer


@torch.no_grad()
def _sum_of_bits(tensor: Tensor) -> Tensor:
    real = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    return real.detach().view(_BITS[real.element_size()]).sum(dtype=torch.int64)
