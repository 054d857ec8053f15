"""Analysis of a trained network: of a run's folder, or of any network by its name and a file of weights."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hybrid.analysis.measurements import Host, Say
from hybrid.analysis.result import Analysis
from hybrid.analysis.settings import AnalysisSettings
from hybrid.configuration.by_name import build_model, load_data
from hybrid.configuration.class_paths import make_importable
from hybrid.configuration.paths import ConfigFolders
from hybrid.data import Data
from hybrid.errors import UserError, unknown_name
from hybrid.seeding import seed_everything
from hybrid.taps import run_blank
from hybrid.training.analysis.data import DataImages, analyse_data
from hybrid.training.device import resolve_device
from hybrid.training.initial_weights import Match, load_initial_weights
from hybrid.training.restore import restore


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is measured, on which images, and how they are read.

    split: the images that are measured. probe_split: the images that the probes are tested on. data: a name in configs/data;
    None: the run's own. data_root: their folder, where it is not the usual one. device: auto, cpu, cuda or cuda:N.
    batch_size: images at a time. say: is told what is being done.
    """

    settings: AnalysisSettings
    split: str = "train"
    probe_split: str = "test"
    data: str | None = None
    data_root: str | None = None
    device: str = "auto"
    batch_size: int = 256
    say: Say = lambda text: None


def analyse_run(
    run: str | Path, request: Request, *, weights: str | None = None, trust: Sequence[str] = ()
) -> Analysis:
    """Analyse a run's trained weights on its own data, or on `request.data`, with images of the same shape.

    weights: "last", "best" or "best-STEP"; None: the weights that the run was tested with. trust: as for `restore`.
    """
    data, root = request.data, request.data_root
    restored = restore(run, weights=weights, device=request.device, data_root=None if data else root, trust=trust)
    request.say(restored.describe())
    chosen = restored.data if data is None else load_data(data, root=root)
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
        about["accuracy"] = summary["test"].get("top1")
    return _analysed(restored.model, chosen, request, restored.device, about)


def analyse_model(
    model: str,
    request: Request,
    *,
    checkpoint: str | Path | None = None,
    match: Match = "all",
    num_classes: int | None = None,
) -> Analysis:
    """Analyse a network that no run of ours made: a name in configs/model, or the path of a class or function.

    checkpoint: a file of weights; None: random weights, drawn by settings.seed. match: see `load_initial_weights`. A class or
    function is called with num_classes=… if it has such an argument, by default the data's. Raises UserError for an
    unknown name, and for weights of another network.
    """
    place, seed = resolve_device(request.device, path="device"), request.settings.seed
    chosen = load_data(request.data, root=request.data_root)
    seed_everything(seed)
    network = build_network(model, chosen, num_classes=num_classes)
    if checkpoint is not None:
        load_initial_weights(network, Path(checkpoint), match=match, given="checkpoint", relax="match")
    weights = f"the weights of {checkpoint}" if checkpoint else "random weights"
    request.say(f"{model} with {weights} on {chosen.name}")
    about = {"model": model, "seed": seed, "checkpoint": str(checkpoint) if checkpoint else None}
    return _analysed(network.to(place).eval(), chosen, request, place, about)


def build_network(name: str, data: Data, *, num_classes: int | None = None) -> nn.Module:
    """A network for these images and classes, with random weights."""
    if ConfigFolders.read().find(f"model/{name}"):
        return build_model(name, image_shape=data.image_shape, num_classes=num_classes or data.num_classes)
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
        run_blank(network, data.image_shape)
    except RuntimeError as error:
        shape = data.image_shape
        raise UserError(f"model={name} does not take images of {shape}: {str(error).splitlines()[0][:200]}") from error
    return network


def _find(path: str) -> Any:
    """The object that a dotted path names. Hydra's own search prints three lines before it fails."""
    module, _, attribute = path.rpartition(".")
    known = ConfigFolders.read().options("model")
    make_importable()
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


def _analysed(model: nn.Module, data: Data, request: Request, device: torch.device, about: dict[str, Any]) -> Analysis:
    if data.task != "classification":
        request.say("only what needs no classes is measured, on pairs of different images")
    probed = request.probe_split if "probes" in request.settings.measures else None
    images = DataImages(data=data, split=request.split, test_split=probed, batch_size=request.batch_size, device=device)
    analysis = analyse_data(model, images, request.settings, host=Host(say=request.say))
    about |= {"data": data.name, "split": request.split, "probe_split": probed, "class_names": list(data.class_names)}
    return analysis.with_about(**about)
