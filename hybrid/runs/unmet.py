"""Say which requests of a command a finished run has not met, and which command meets them.

The settings that are no part of a run's identity change no result, but some of them change what the run leaves: its analysis,
its metrics, its logs, its kept weights.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from hybrid.configuration.paths import ConfigFolders
from hybrid.errors import UserError
from hybrid.files import read_json

_ABOUT_TIME = ("every", "figures", "probe_split")  # of an analysis: when it is made in training, and how it is shown
_PRESETS = ("light", "full")
_NO_OPTIONS = (
    "enabled",
    "knn",
    "jacobian_iterations",
    "stability",
)  # `hybrid analyze` takes these from the preset alone


def unmet(there: DictConfig, here: DictConfig, *, path: Path) -> list[str]:
    """Return a line for each command that meets requests of the configuration `here`, which the run of `there` has not met.

    Args:
        there: the configuration of the finished run.
        here: the configuration of the command.
        path: the run's folder.
    """
    lines = []
    if metrics := _unmeasured(there, here, path):
        asked = f"metrics=[{','.join(metrics)}]"
        lines.append(f"not met: {asked}: {shlex.join(['hybrid', 'evaluate', f'run={path}', asked])}")
    again = list(_left_by_training(there, here))
    if _is_on(here) and not (path / "analysis" / _preset(here)).is_dir():
        wanted = _differing(here, there)
        if wanted - set(_ABOUT_TIME) or not _is_on(there):
            command = shlex.join(["hybrid", "analyze", f"run={path}", f"preset={_preset(here)}", *_beyond_preset(here)])
            lines.append(f"not met: analysis={_choice(here)} (the run has analysis={_choice(there)}): {command}")
        else:
            again += [f"analysis.{name}={here.analysis[name]}" for name in _ABOUT_TIME if name in wanted]
    if again:
        lines.append(f"not met: {', '.join(again)}: run.restart=true runs it again, to the same results")
    return lines


def _unmeasured(there: DictConfig, here: DictConfig, path: Path) -> list[str]:
    """Return the metrics, as a command line has them, that are asked for here and were not measured there."""
    measured = {name.partition("/")[0] for name in _test_of(path)}
    before, asked = (OmegaConf.to_container(OmegaConf.create(list(cfg.get("metrics") or []))) for cfg in (there, here))
    return [_as_typed(entry) for entry in asked if entry not in before and str(entry) not in measured]


def _test_of(path: Path) -> dict[str, Any]:
    try:
        return dict(read_json(path / "summary.json")["test"])
    except (UserError, ValueError, KeyError, TypeError):
        return {}


def _as_typed(entry: Any) -> str:
    if not isinstance(entry, dict):
        return str(entry)
    return "{" + ", ".join(f"{name}: {value}" for name, value in entry.items()) + "}"


def _left_by_training(there: DictConfig, here: DictConfig) -> Iterator[str]:
    """Yield the settings that make training leave more, or other records, than the run has left."""
    old, new = (OmegaConf.select(cfg, "trainer", default={}) for cfg in (there, here))
    if new.get("tensorboard") and not old.get("tensorboard", True):
        yield "trainer.tensorboard=true"
    if loggers := [_as_typed(each) for each in _loggers(here) if each not in _loggers(there)]:
        yield f"loggers=[{','.join(loggers)}]"
    if new.get("keep_best", 1) > old.get("keep_best", 1):
        yield f"trainer.keep_best={new.keep_best}"
    if new.get("log_every") != old.get("log_every"):
        yield f"trainer.log_every='{new.log_every}'"


def _loggers(cfg: DictConfig) -> list[Any]:
    """Return the loggers beside TensorBoard, which trainer.tensorboard asks for, too."""
    chosen = OmegaConf.to_container(OmegaConf.create(list(cfg.get("loggers") or [])), resolve=True)
    return [each for each in chosen if each != "tensorboard"]


def _is_on(cfg: DictConfig) -> bool:
    section = cfg.get("analysis") or {}
    return section.get("enabled", True) is not False and section.get("every") is not None


def _choice(cfg: DictConfig) -> str:
    return str(OmegaConf.select(cfg, "choices.analysis", default="none"))


def _preset(cfg: DictConfig) -> str:
    return _choice(cfg) if _choice(cfg) in _PRESETS else "full"


def _differing(one: DictConfig, other: DictConfig) -> set[str]:
    sections = (cfg.get("analysis") or OmegaConf.create({}) for cfg in (one, other))
    first, second = (OmegaConf.to_container(section, resolve=True) for section in sections)
    return {name for name in first if name != "enabled" and first[name] != second.get(name)}


def _beyond_preset(cfg: DictConfig) -> Iterator[str]:
    """Yield the settings of the analysis that are not those of its preset, as `hybrid analyze` takes them."""
    preset = OmegaConf.load(ConfigFolders.read().find("analysis/light"))
    if _preset(cfg) == "full":
        preset = OmegaConf.merge(preset, OmegaConf.load(ConfigFolders.read().find("analysis/full")))
    for name, value in cfg.analysis.items():
        if name in preset and name not in (*_ABOUT_TIME, *_NO_OPTIONS) and value is not None and value != preset[name]:
            yield f"{name}={_typed(value)}"


def _typed(value: Any) -> str:
    return ",".join(map(str, value)) if OmegaConf.is_list(value) else str(value)
