"""A run's folder back to what it holds: its configuration, its data, and its model with the trained weights."""

from __future__ import annotations

import dataclasses
import difflib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from omegaconf import DictConfig, OmegaConf

from hybrid.configuration import build_record
from hybrid.configuration.class_paths import use_recorded_folders
from hybrid.configuration.from_config import data_from, model_from
from hybrid.configuration.hydra_arguments import program_of, script_of
from hybrid.configuration.paths import ConfigFolders
from hybrid.configuration.resolvers import folder as folder_of
from hybrid.configuration.trust import check_trusted
from hybrid.data import Data, Task
from hybrid.errors import UserError
from hybrid.escaping import for_terminal
from hybrid.lazy import LazyModule
from hybrid.runs import RunFolder
from hybrid.seeding import set_deterministic
from hybrid.training import checkpoint
from hybrid.training.device import resolve_device
from hybrid.training.settings import TrainerSettings

if TYPE_CHECKING:
    import torch

    from hybrid.models import HybridModel
else:
    torch = LazyModule("torch")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Restored:
    """A run as it was left. `model` is in evaluation mode on `device`, with the weights of step `step`.

    `weights` says which they are; `averaged`, whether they are the exponential average that the run kept. `task` says what
    its outputs are, and `class_names` has a name for each.
    """

    cfg: DictConfig
    settings: TrainerSettings
    data: Data
    model: HybridModel
    folder: RunFolder
    device: torch.device
    weights: str
    step: int
    averaged: bool
    task: Task
    class_names: tuple[str, ...]

    @property
    def likelihood(self) -> Literal["probability", "score"]:
        """What the softmax or sigmoid of the outputs is: a score where the loss is not known to train probabilities."""
        from hybrid.objective.objective import likelihood_of

        return likelihood_of(self.cfg.get("loss"))

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.folder.path.resolve().name

    def describe(self) -> str:
        """One line: which run, which weights."""
        kind = f"{self.weights}{' (averaged)' if self.averaged else ''}"
        return f"{self.folder.path}: {self.cfg.choices.model} on {self.data.name}, {kind} weights of step {self.step}"


def restore(
    run: str | Path,
    *,
    weights: str | None = None,
    device: str = "auto",
    data_root: str | None = None,
    download: bool | None = None,
    trust: Sequence[str] = (),
) -> Restored:
    """Load a run's folder; nothing in it is changed, and its data are not read yet.

    weights: last, best (on validation), best-STEP (one of trainer.keep_best), or None for those that the run was tested
    with. data_root: where the data are on this machine, if not where they were. download: whether missing data may be
    fetched, if not as the run had it. trust: packages and classes that the run may name, beside those of hybrid and torch,
    where no run of this user has written its config.yaml (`hybrid.configuration.trust`).
    The numerical settings of the run (deterministic, matmul_precision) become this process's, so that figures repeat.
    Raises UserError for a folder that is no run, has no checkpoint yet, or whose checkpoint is damaged or another model's.
    """
    folder = RunFolder(run)
    cfg = read_config(folder, live=True)
    check_trusted(cfg, folder.config, trust=trust)
    settings = build_record(TrainerSettings, _completed(cfg.trainer), path="trainer")
    place = resolve_device(device, path="device")
    weights = weights or settings.test_weights
    content = _read_checkpoint(folder, weights)
    _warn_of_failure(folder, content["step"])
    use_recorded_folders(folder.path, {name: cfg.get(name) for name in ("model", "data", "loss")})
    data = data_from(_data_config(cfg, data_root, download), cfg.augmentation, seed=cfg.seed, facts=folder.read_facts())
    task, names = folder.read_outputs()
    model = model_from(cfg.model, image_shape=data.image_shape, num_classes=len(names))
    if "units.mean" in content["model"]:
        model.use_units(content["model"]["units.mean"], content["model"]["units.std"])
    checkpoint.load_weights(model, content, source=folder.checkpoints)
    model.to(place, memory_format=settings.memory_format).eval()
    set_deterministic(settings.deterministic)
    torch.set_float32_matmul_precision(settings.matmul_precision)
    return Restored(
        cfg=cfg,
        settings=settings,
        data=data,
        model=model,
        folder=folder,
        device=place,
        weights=weights,
        step=content["step"],
        averaged=settings.ema is not None,
        task=task,
        class_names=names,
    )


def read_config(folder: RunFolder, *, live: bool = False) -> DictConfig:
    """The configuration that a run was made with. UserError for a folder that holds no run with weights.

    live: whether environment variables are looked up, as `read_kept` does. What is printed or written has none of their values.
    """
    if not folder.path.is_dir():
        raise UserError(f"there is no run's folder {folder.path}.{_hint(folder.path)}")
    if not folder.config.is_file() and (inside := _runs_in(folder.path)):
        raise UserError(f"{folder.path} is not a run's folder. Runs in it: {_shown(inside)}.")
    cfg = folder.read_config(live=live)
    if isinstance(cfg, DictConfig) and (script := script_of(cfg)) != "train":
        what = "a support vector machine" if script == "svm" else "a classifier"
        raise UserError(
            f"{folder.path} is a run of `{program_of(script)}`: {what} on a fixed front-end has no weights of a "
            "network to restore. Its results are in summary.json; `hybrid report` shows them."
        )
    parts = ("model", "data", "augmentation", "trainer", "seed", "choices")
    if not isinstance(cfg, DictConfig) or any(name not in cfg for name in parts):
        raise UserError(f"{folder.config} is not the configuration of a run: it needs {', '.join(parts)}.")
    return cfg


def _completed(trainer: DictConfig) -> DictConfig:
    """With the defaults of the settings that did not exist yet when the run was made."""
    return OmegaConf.merge(OmegaConf.load(ConfigFolders.read().find("trainer/default")), trainer)


def _hint(path: Path) -> str:
    """The name beside it that was meant, or the runs that are there."""
    if not path.parent.is_dir():
        return ""
    outputs = Path(folder_of("HYBRID_OUTPUTS", "outputs"))
    for place in dict.fromkeys((path.parent, path.parent / outputs)):
        runs = _runs_in(place)
        begun = [name for name in runs if name.startswith(path.name)]
        if close := begun if len(begun) == 1 else difflib.get_close_matches(path.name, runs, n=1):
            return f" Did you mean {place / close[0]}?"
        if runs:
            return f" Runs in {place}: {_shown(begun or runs)}."
    return f" Runs in {path.parent}: none."


def _runs_in(place: Path) -> list[str]:
    """The names of the runs' folders in a folder."""
    return (
        sorted(entry.name for entry in place.iterdir() if (entry / "config.yaml").is_file()) if place.is_dir() else []
    )


def _shown(runs: Sequence[str]) -> str:
    return ", ".join(runs[:10]) + (" …" if len(runs) > 10 else "")


def _read_checkpoint(folder: RunFolder, weights: str) -> dict[str, Any]:
    """On the CPU: the optimizer's state, which comes along, need not be on the device."""
    content = None
    if weights == "last":
        content = checkpoint.load_latest(folder.checkpoints)
    elif weights in (kept := checkpoint.ranked(folder.checkpoints)):
        content = checkpoint.load(folder.checkpoints / f"{weights}.pt")
    elif weights != "best":
        raise UserError(f"weights={weights} is not kept in {folder.path}. Valid: {', '.join(['last', *kept])}.")
    elif checkpoint.present(folder.checkpoints):
        raise UserError(f"{folder.path} has no best weights: it was never evaluated on validation images. Valid: last.")
    if content is None:
        raise UserError(f"{folder.path} has no checkpoint yet: the run has not come to its first one.")
    if "model" not in content or "step" not in content:
        raise UserError(f"{folder.checkpoints} holds no model's checkpoint.")
    return content


def _warn_of_failure(folder: RunFolder, step: int) -> None:
    if folder.failure is not None:
        first = folder.failure.removeprefix("hybrid.errors.UserError: ").partition(". ")[0]
        reason = for_terminal(first).rstrip(".")
        warnings.warn(f"this run failed: {reason}; its weights are of step {step}.", stacklevel=3)


def _data_config(cfg: DictConfig, root: str | None, download: bool | None) -> DictConfig:
    data = cfg.data.copy()
    if root is not None:
        if "root" not in data:
            raise UserError(f"data_root has no effect: {cfg.choices.get('data', 'this data set')} reads no files.")
        data.root = root
    if download is not None and "download" in data:
        data.download = download
    return data
