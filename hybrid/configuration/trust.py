"""Which classes a configuration from somewhere else may name. Whatever it names is called: a run's folder could be a program.

It may name the classes of hybrid that a run is made of, torch's modules, losses, optimizers and schedules, and torchvision's
data sets. Everything else is the user's to allow: a run of his own has written the file (hybrid/configuration/signature.py), or
he has chosen the class's project (`--config-dir`, $HYBRID_CONFIGS), or he says `trust=[package]`. Nothing foreign is imported to
decide it.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from hybrid.configuration.class_paths import source_in
from hybrid.configuration.kept import is_own
from hybrid.configuration.paths import CONFIGS, projects_of_choice
from hybrid.configuration.renamed import class_path_now
from hybrid.errors import UserError

TRUST = "packages and classes that a run of somebody else may name, [my_heads]: their code is run (docs/guide/trust.md)"
_LISTS = ("callbacks", "metrics", "loggers")  # whose items may be class paths by themselves
_OF_HYBRID = re.compile(
    r"hybrid\.(models|data|objective|callbacks)(\.\w+)+|hybrid\.training\.schedule|hybrid\.runs\.(\w+_logger|loggers)"
)
_OF_TORCH = re.compile(r"torch\.(nn|nn\.modules(\.\w+)?|optim(\.\w+)?)|torchvision\.datasets")
_BASES = {"torch.nn": ("torch.nn", "Module"), "torch.optim": ("torch.optim", "Optimizer"),
          "torch.optim.lr_scheduler": ("torch.optim.lr_scheduler", "LRScheduler"),
          "torchvision.datasets": ("torchvision.datasets", "VisionDataset")}  # fmt: skip
_NEVER = {*sys.stdlib_module_names, *sys.builtin_module_names, "hydra", "omegaconf", "yaml"}


def check_trusted(cfg: Any, file: Path, *, trust: Sequence[str] = ()) -> None:
    """Raises UserError unless everything that the configuration of this file names may be called. Nothing is imported before."""
    if is_own(file):
        return
    for place, path in _named(cfg):
        if not isinstance(path, str) or not (path == "???" or _is_allowed(path) or _is_trusted(path, trust)):
            raise UserError(_refusal(file, place, path))


def _refusal(file: Path, place: str, path: Any) -> str:
    what = f"{file}: {place} names {path if isinstance(path, str) else type(path).__name__}"
    top = path.split(".")[0] if isinstance(path, str) else ""
    if not re.fullmatch(r"\w+(\.\w+)+", str(path)) or top in _NEVER:
        return f"{what}, which is no part of a network: refused, and nothing was run."
    allow = path if top in ("hybrid", "torch", "torchvision") else top
    return (
        f"{what}, whose code would be run, and no run of yours has written this file as it is. If you know who has, and "
        f"trust {allow}, add trust=[{allow}]."
    )


def _is_trusted(path: str, trust: Sequence[str]) -> bool:
    top = path.split(".")[0]
    if top in _NEVER or not re.fullmatch(r"\w+(\.\w+)+", path):
        return False
    if any(path == each or path.startswith(f"{each}.") for each in trust):
        return True
    return _is_of_choice(top)


def _is_of_choice(top: str) -> bool:
    """Whether this module lies in a project that the user has named, and is not another of that name."""
    known = getattr(sys.modules.get(top), "__file__", None)
    files = [file for folder in projects_of_choice() if (file := source_in(folder, top)) is not None]
    return bool(files) and (known is None or Path(known) in files)


def _named(cfg: Any) -> Iterator[tuple[str, Any]]:
    """(place, class path) of everything that a configuration has called."""
    if isinstance(cfg, DictConfig):
        cfg = OmegaConf.to_container(cfg, resolve=True)
    if not isinstance(cfg, Mapping):
        return
    yield from _targets(cfg, "")
    for name in _LISTS:
        items = cfg.get(name) or []
        for item in items if isinstance(items, list) else [items]:
            first = next(iter(item), None) if isinstance(item, dict) else item
            if first != "_target_" and (not isinstance(first, str) or "." in first):
                yield name, first


def _targets(node: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, list):
        node = dict(enumerate(node))
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        name = f"{place}.{key}" if place else str(key)
        if key == "_target_" or (key == "dataset" and "torchvision" in str(node.get("_target_"))):
            yield name, value
        elif re.fullmatch(r"_\w+_", str(key)):
            raise UserError(f"{name} is a word of Hydra's, which no run writes: refused, and nothing was run.")
        yield from _targets(value, name)


@functools.cache
def _is_allowed(path: str) -> bool:
    """Whether this is a class of hybrid, torch or torchvision that a run is made of, and not merely reached through them."""
    path = class_path_now(path)
    module, _, name = path.rpartition(".")
    if path in _shipped():
        return True
    if not re.fullmatch(r"[A-Za-z]\w*", name) or not (_OF_HYBRID.fullmatch(module) or _OF_TORCH.fullmatch(module)):
        return False
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError:
        return False
    if not inspect.isclass(found):
        return False
    if module.startswith("hybrid."):
        return found.__module__ == module
    return any(module.startswith(place) and issubclass(found, _class(*base)) for place, base in _BASES.items())


def _class(module: str, name: str) -> type:
    return getattr(importlib.import_module(module), name)


@functools.cache
def _shipped() -> frozenset[str]:
    """What hybrid's own yaml files name."""
    files = CONFIGS.rglob("*.yaml")
    found = (
        path for file in files for path in re.findall(r"^ *_target_: *(hybrid[\w.]+)", file.read_text(), re.MULTILINE)
    )
    return frozenset(found)
