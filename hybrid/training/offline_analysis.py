"""Analysis of what is trained already: a run's folder, or any network by its name and a file of weights."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hybrid.analysis.record import Record
from hybrid.analysis.settings import AnalysisSettings
from hybrid.configuration.composition import compose
from hybrid.configuration.from_config import data_from, model_from
from hybrid.configuration.paths import ConfigFolders
from hybrid.data import Data
from hybrid.errors import UserError, unknown_name
from hybrid.models.probe import probe
from hybrid.seeding import seed_everything
from hybrid.training.initial_weights import Match, load_initial_weights
from hybrid.training.measure import measure
from hybrid.training.restore import restore
from hybrid.training.settings import resolve_device

Say = Callable[[str], None]


def analyse_run(
    run: str | Path,
    *,
    settings: AnalysisSettings,
    split: str = "train",
    probe_split: str = "test",
    weights: str | None = None,
    data: str | None = None,
    data_root: str | None = None,
    device: str = "auto",
    batch_size: int = 256,
    say: Say = lambda text: None,
) -> Record:
    """Analyse a run's trained weights on its own data, or on `data`, a name in configs/data, with images of the same shape."""
    restored = restore(run, weights=weights, device=device, data_root=None if data else data_root)
    say(restored.describe())
    chosen = restored.data if data is None else load_data(data, data_root)
    if chosen.image_shape != restored.data.image_shape:
        raise UserError(f"data={data} has images of {chosen.image_shape}; the run's are {restored.data.image_shape}.")
    summary = restored.folder.read_summary() if restored.folder.finished else None
    about = {
        "model": restored.cfg.choices.model,
        "seed": restored.cfg.seed,
        "run": restored.name,
        "step": restored.step,
    }
    if summary is not None and data is None:
        about["accuracy"] = summary["test"]["top1"]
    return _record(restored.model, chosen, settings, split, probe_split, restored.device, batch_size, say, about)


def analyse_model(
    model: str,
    *,
    checkpoint: str | Path | None,
    data: str,
    num_classes: int | None = None,
    match: Match = "all",
    settings: AnalysisSettings,
    split: str = "train",
    probe_split: str = "test",
    data_root: str | None = None,
    device: str = "auto",
    batch_size: int = 256,
    say: Say = lambda text: None,
) -> Record:
    """Analyse a network that no run of ours made: a name in configs/model, or the path of a class or function.

    Without a checkpoint its weights are random, drawn by settings.seed. A class or function is called with
    num_classes=… if it has such an argument, by default the data's. match: see `load_initial_weights`. Raises UserError for an
    unknown name, or weights that are another network's.
    """
    place = resolve_device(device, path="device")
    chosen = load_data(data, data_root)
    seed_everything(settings.seed)
    network = build_network(model, chosen, num_classes=num_classes)
    if checkpoint is not None:
        load_initial_weights(network, Path(checkpoint), match=match, given="checkpoint", relax="match")
    say(f"{model} with {'the weights of ' + str(checkpoint) if checkpoint else 'random weights'} on {chosen.name}")
    about = {"model": model, "seed": settings.seed, "checkpoint": str(checkpoint) if checkpoint else None}
    return _record(network.to(place).eval(), chosen, settings, split, probe_split, place, batch_size, say, about)


def load_data(name: str, root: str | None) -> Data:
    """The data set of configs/data/NAME.yaml; nothing is read yet."""
    overrides = [f"data={name}", *([f"data.root={root}"] if root else [])]
    cfg = compose(overrides)
    return data_from(cfg.data, cfg.augmentation, seed=cfg.seed)


def build_network(name: str, data: Data, *, num_classes: int | None = None) -> nn.Module:
    """A network for these images and classes, with random weights."""
    if ConfigFolders.read().find(f"model/{name}"):
        config = compose([f"model={name}"]).model
        return model_from(config, image_shape=data.image_shape, num_classes=num_classes or data.num_classes)
    make = _find(name)
    try:
        parameters = inspect.signature(make).parameters.values()
        takes = any(each.name == "num_classes" or each.kind is each.VAR_KEYWORD for each in parameters)
        network = make(**({"num_classes": num_classes or data.num_classes} if takes else {}))
    except (TypeError, ValueError) as error:
        raise UserError(f"model={name} cannot be made: {str(error).splitlines()[0][:200]}") from error
    if not isinstance(network, nn.Module):
        raise UserError(f"model={name} makes no torch.nn.Module but a {type(network).__name__}.")
    try:
        probe(network, data.image_shape)
    except RuntimeError as error:
        shape = data.image_shape
        raise UserError(f"model={name} does not take images of {shape}: {str(error).splitlines()[0][:200]}") from error
    return network


def _find(path: str) -> Any:
    """What a dotted path names; Hydra's own search prints three lines of its own before it fails."""
    module, _, attribute = path.rpartition(".")
    known = ConfigFolders.read().options("model")
    try:
        found = importlib.import_module(module) if module else None
    except ImportError:
        found = None
    if found is None:
        raise unknown_name(path, known, what="model")
    if not hasattr(found, attribute):
        raise unknown_name(
            attribute, [name for name in dir(found) if not name.startswith("_")], what=f"name in {module}"
        )
    return getattr(found, attribute)


def _record(
    model: nn.Module,
    data: Data,
    settings: AnalysisSettings,
    split: str,
    probe_split: str,
    device: torch.device,
    batch_size: int,
    say: Say,
    about: dict[str, Any],
) -> Record:
    probed = probe_split if "probes" in settings.measures else None
    report = measure(
        model, data, settings, device=device, batch_size=batch_size, split=split, test_split=probed, say=say
    )
    about |= {"data": data.name, "split": split, "probe_split": probed, "class_names": list(data.class_names)}
    return report.record(**about)
