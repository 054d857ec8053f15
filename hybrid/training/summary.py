"""What a run leaves when it ends: summary.json, the line of hyper-parameters, the words on the console."""

from __future__ import annotations

import math
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from hybrid import distributed
from hybrid.data import Data
from hybrid.runs import RunFolder
from hybrid.training.evaluation import Evaluation
from hybrid.training.settings import TrainerSettings
from hybrid.training.state import TrainState


def summarize(
    cfg: DictConfig,
    settings: TrainerSettings,
    state: TrainState,
    data: Data,
    test: Evaluation,
    *,
    epochs: float,
    device: torch.device,
) -> dict[str, Any]:
    """The content of summary.json: accuracies in %, losses in nats, times in seconds of training steps alone."""
    return {
        "model": cfg.choices.model,
        "data": data.name,
        "seed": cfg.seed,
        "test": {**test.numbers(), "images": test.images, "weights": settings.test_weights},
        "validation": {"final": _part(state.latest, "validation/"), "best": state.best},
        "train": _part(state.latest, "train/"),
        "parameters": sum(p.numel() for p in state.model.parameters() if p.requires_grad),
        "steps": state.step,
        "epochs": epochs,
        "seconds": round(state.seconds, 2),
        "images_per_second": round(state.images / max(state.seconds, 1e-9), 1),
        "device": device_name(device),
        "ranks": distributed.size(),
        "precision": settings.precision,
    }


def device_name(device: torch.device) -> str:
    """The GPU's own, or cpu."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _part(values: dict[str, float], prefix: str) -> dict[str, float] | None:
    return {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)} or None


def final_numbers(summary: dict[str, Any]) -> dict[str, float]:
    """The results that TensorBoard's table of runs shows, under the names of their curves."""
    parts = {"test": summary["test"], "validation": summary["validation"]["final"] or {}}
    numbers = {f"{part}/{name}": values[name] for part, values in parts.items() for name in ("top1", "loss") if values}
    return {name: value for name, value in numbers.items() if math.isfinite(value)}


def hyperparameters(cfg: DictConfig) -> dict[str, Any]:
    """A fixed set of keys, so that TensorBoard's table has the same columns for every run."""
    chosen = OmegaConf.to_container(cfg.choices)
    names = (
        "optimizer.lr",
        "optimizer.weight_decay",
        "trainer.duration",
        "trainer.batch_size",
        "trainer.precision",
    )
    images = OmegaConf.select(cfg, "data.subset.n")
    head = OmegaConf.to_container(cfg.model.head, resolve=True)
    return {
        **{group: chosen.get(group) for group in ("model", "data", "augmentation", "optimizer", "schedule")},
        "model.head": ", ".join(f"{name}={value}" for name, value in head.items() if not name.startswith("_")),
        "data.subset.n": "all" if images is None else str(images),  # of one type in all runs
        **{name: OmegaConf.select(cfg, name) for name in names},
        "seed": str(cfg.seed),  # a label, not a quantity: as a number it would read 0.0000
    }


def already_finished(folder: RunFolder, cfg: DictConfig) -> dict[str, Any]:
    """The summary of a finished run, after saying that it is one. Raises UserError if it is another run than `cfg`'s."""
    folder.compare(cfg)
    summary = folder.read_summary()
    print(
        f"finished already: test accuracy {summary['test']['top1']:.2f} %. run.restart=true runs it again.\n{folder.path}"
    )
    return summary


def closing_words(summary: dict[str, Any], folder: RunFolder, settings: TrainerSettings) -> str:
    """What the user wants to know at the end: how good, how long, where, and how to look at it."""
    test = summary["test"]
    lines = [
        f"test accuracy {test['top1']:.2f} % of {test['images']} images (top-5 {test['top5']:.2f} %, loss {test['loss']:.4f}), "
        f"trained in {summary['seconds']:.0f} s at {summary['images_per_second']:.0f} images/s",
        f"run folder:  {folder.path}",
    ]
    if settings.tensorboard:
        lines.append(f"TensorBoard: tensorboard --logdir {folder.path.parent}")
    return "\n".join(lines)
