"""Settings that have another name or default than in earlier versions, came later, or are no longer there.

A run's folder is named after a hash of its settings, and it holds the configuration that the run was made with. So the old
names stay in two places: `old_names` puts them into the hash, so that the same command still finds the folder of an old run,
and `upgrade` replaces them where a kept configuration is read.

A new default computes something else, and so gives a run another folder. `with_earlier_defaults` is the configuration that
the same command gave before: its folder is that of a run which an earlier version began.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from hybrid.errors import UserError

# new name -> old name. A section with a class of the user's own (by its `_target_`) keeps its names: they are that class's.
_RENAMED = {
    "model.head.norm.momentum": "model.head.bn_momentum",
    "model.head.norm.eps": "model.head.bn_eps",
    "model.head.norm.affine": "model.head.bn_affine",
}
# Settings that came later, and whose default is not as it was before: their values in a configuration from before they came.
_LATER = {"trainer.averages_begin": "initial"}
# default -> earlier default, of settings whose default is another one now
_DEFAULTS = {"trainer.averages_begin": ("mean", "initial")}
_DROPOUT, _DROPOUTS = "model.head.dropout", {"regular_cnn": 0.4, "vgg16": 0.5}  # configs/model/head -> rate; 0 now
_TORCHVISION, _STEM = "hybrid.models.torchvision_head.TorchvisionClassifier", "model.head.stem"
_RATES = {"hybrid.training.optimizer.sgd": 0.1, "hybrid.training.optimizer.adamw": 0.001}  # in place of lr: auto
# ImageNet was read by the class for any folder of images, and data=imagenet alone told it from a user's own.
_IMAGENET, _FOLDER = "hybrid.data.folder.ImageNet", "hybrid.data.folder.Folder"
# module -> the module in which its classes were before
_MOVED = {
    "hybrid.objective.losses": "hybrid.training.losses",
    "hybrid.callbacks.early_stopping": "hybrid.training.early_stopping",
    "hybrid.callbacks.freezing": "hybrid.training.freezing",
}


def class_path_now(value: Any) -> Any:
    """The path at which a class or function of hybrid is now; any other value as it is."""
    return _moved(value, {before: now for now, before in _MOVED.items()})


def old_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted name -> value, each setting under the first name that it had, and each class under its first path."""
    settings = {name: _FOLDER if value == _IMAGENET else _moved(value, _MOVED) for name, value in settings.items()}
    return {_RENAMED[name] if _is_ours(name, settings.get) else name: value for name, value in settings.items()}


def is_of_an_earlier_version(cfg: Any) -> bool:
    """Whether this configuration, as a file has it, is from before the defaults changed."""
    return isinstance(cfg, DictConfig) and "trainer" in cfg and "averages_begin" not in cfg.trainer


def has_torchvision_head(cfg: Mapping[str, Any] | DictConfig) -> bool:
    """Whether the model's head is a network of torchvision, which has a stem."""
    return value_at(cfg, "model.head._target_") == _TORCHVISION


def value_at(cfg: Any, name: str) -> Any:
    """The value under a dotted name; None where there is none."""
    for key in name.split("."):
        cfg = cfg.get(key) if isinstance(cfg, Mapping) else None
    return cfg


def with_earlier_defaults(cfg: DictConfig) -> DictConfig:
    """A copy in which each setting that has its default has the default of earlier versions."""
    cfg = cfg.copy()
    for name, (now, before) in _DEFAULTS.items():
        if OmegaConf.select(cfg, name) == now:
            OmegaConf.update(cfg, name, before)
    if OmegaConf.select(cfg, _STEM) == "auto" and has_torchvision_head(cfg):
        cfg.model.head.stem = "imagenet"
    dropout = _DROPOUTS.get(str(cfg.get("choices", {}).get("model/head")))
    if dropout is not None and OmegaConf.select(cfg, _DROPOUT) == 0:
        cfg.model.head.dropout = dropout
    rate = _RATES.get(str(OmegaConf.select(cfg, "optimizer._target_")))
    if rate is not None and OmegaConf.select(cfg, "optimizer.lr") == "auto":
        cfg.optimizer.lr = rate
    return cfg


def upgrade(content: dict[str, Any]) -> dict[str, Any]:
    """Bring the content of a kept configuration up to date, in place, and return it.

    Old settings get their new names, and settings that came later the values that change nothing.
    """
    for new, old in _RENAMED.items():
        section, _, key = old.rpartition(".")
        node = value_at(content, section)
        if isinstance(node, dict) and key in node and _is_ours(new, lambda name: value_at(content, name)):
            _put(content, new, node.pop(key))
    if value_at(content, "data._target_") == _FOLDER and value_at(content, "choices.data") == "imagenet":
        content["data"]["_target_"] = _IMAGENET
    if value_at(content, "choices.analysis") == "none" and value_at(content, "analysis.enabled") is None:
        _put(content, "analysis.enabled", False)  # the choice alone switched it off
    later = {**_LATER, **({_STEM: "imagenet"} if has_torchvision_head(content) else {})}
    for name, value in later.items():
        section, _, key = name.rpartition(".")
        if isinstance(node := value_at(content, section), dict) and key not in node:
            node[key] = value
    return content


def _put(content: dict[str, Any], name: str, value: Any) -> None:
    *sections, key = name.split(".")
    for section in sections:
        if not isinstance(content.get(section), dict):
            content[section] = {}
        content = content[section]
    content[key] = value


def renamed(name: str) -> UserError | None:
    """The error for a setting under its old name, which says the new one; None for any other name."""
    new = next((new for new, old in _RENAMED.items() if old == name), None)
    return None if new is None else UserError(f"{name} has another name now: write {new}=….")


def _moved(value: Any, modules: Mapping[str, str]) -> Any:
    """A value, or the values in its lists and sections, with class paths of these modules (here -> there) in the other ones."""
    if isinstance(value, dict):
        return {_moved(key, modules): _moved(part, modules) for key, part in value.items()}
    if isinstance(value, list):
        return [_moved(part, modules) for part in value]
    if not isinstance(value, str) or "." not in value:
        return value
    module, dot, name = value.rpartition(".")
    return f"{modules[module]}{dot}{name}" if module in modules else value


def _is_ours(new: str, value_of: Any) -> bool:
    if new not in _RENAMED:
        return False
    target = value_of(f"{_RENAMED[new].rpartition('.')[0]}._target_")
    return target is None or str(target).split(".")[0] == "hybrid"
