"""Values in yaml that are computed: from an environment variable, or from other settings."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf


def folder(variable: str, default: str) -> str:
    """The folder that an environment variable names; `default` where it is not set, or empty. A ~ is the user's own folder.

    In yaml: ``${folder:HYBRID_DATA,data}``.
    """
    return os.path.expanduser(os.environ.get(variable) or default)


def resize_for(size: Any) -> int:
    """The shorter side to which images are scaled before their centre of `size` is cut out: 8/7 of it, as ImageNet's 256 for 224.

    In yaml: ``${resize_for:${.size}}``. What is no size is refused where it is read.
    """
    sides = list(size) if isinstance(size, Sequence) and not isinstance(size, str) else [size]
    whole = bool(sides) and all(isinstance(side, int) for side in sides)
    return round(min(sides) * 8 / 7) if whole else 256


def published_lr(*, _root_: DictConfig) -> float:
    """The learning rate of the published recipes: 0.1 with SGD; with AdamW, which no recipe uses, 0.001.

    In yaml: ``${published_lr:}``.
    """
    optimizer = OmegaConf.select(_root_, "optimizer._target_")
    return 0.001 if optimizer == "hybrid.training.optimizer.adamw" else 0.1


for _resolver in (folder, resize_for, published_lr):
    OmegaConf.register_new_resolver(_resolver.__name__, _resolver, replace=True)
