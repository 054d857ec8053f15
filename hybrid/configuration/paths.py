"""Where configurations lie, and the folders that environment variables name."""

from __future__ import annotations

import os
from pathlib import Path

from omegaconf import OmegaConf

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def folder(variable: str, default: str) -> str:
    """The folder that an environment variable names; `default` where it is not set, or empty.

    In yaml: ``${folder:HYBRID_DATA,data}``.
    """
    return os.environ.get(variable) or default


OmegaConf.register_new_resolver("folder", folder, replace=True)
