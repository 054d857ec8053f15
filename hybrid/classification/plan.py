"""What the configuration of `hybrid svm` or `hybrid classify` says, read and checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import torch
from omegaconf import DictConfig, OmegaConf

from hybrid.classification.features import FeatureSettings
from hybrid.classification.kernel_machine import KernelMachine, SupportVectorMachine
from hybrid.classification.learners import EstimatorLearner, Learner
from hybrid.configuration import build_record
from hybrid.configuration.hydra_arguments import program_of, script_of
from hybrid.configuration.instantiate import checked, instantiate
from hybrid.distributed.launch import Launch
from hybrid.errors import UserError
from hybrid.ranges import Range
from hybrid.training.device import resolve_device
from hybrid.training.settings import FolderSettings, check_keys, check_seed

_SHARED = ("model", "data", "augmentation", "run", "seed", "device")


@dataclass(frozen=True, kw_only=True)
class ClassifierPlan:
    """What is to be done.

    features: None for `hybrid svm`, whose features are the maps after the model's normalization. splits: random divisions of
    the images. cache: whether features are kept in a file. section: where the classifier's settings are, and what came of
    them in summary.json. model, chosen: the names of the chosen configurations, for people.
    """

    learner: Learner
    features: FeatureSettings | None
    splits: int
    cache: bool
    run: FolderSettings
    seed: int
    device: torch.device
    section: str
    model: str
    chosen: str

    @property
    def words(self) -> str:
        """The classifier in errors."""
        return "a support vector machine" if isinstance(self.learner, KernelMachine) else "a classifier on features"

    @classmethod
    def of(cls, cfg: DictConfig) -> ClassifierPlan:
        """Read and check it. Raises UserError for the first thing that is not valid."""
        script = script_of(cfg)
        own = _svm(cfg) if script == "svm" else _classifier(cfg)
        run = build_record(FolderSettings, cfg.run, path="run")
        check_seed(cfg)
        if Launch.read().size > 1:
            raise UserError(f"`{program_of(script)}` is one process: start it without torchrun or srun.")
        device = resolve_device(str(cfg.device), path="device")
        return cls(**own, run=run, seed=cfg.seed, device=device, model=cfg.choices.model)


def _svm(cfg: DictConfig) -> dict[str, Any]:
    check_keys(cfg, *_SHARED, "svm")
    machine = build_record(KernelMachine, cfg.svm, path="svm")
    chosen = f"{cfg.choices.svm} support vector machine"
    return {"learner": machine, "features": None, "splits": 1, "cache": False, "section": "svm", "chosen": chosen}


def _classifier(cfg: DictConfig) -> dict[str, Any]:
    check_keys(cfg, *_SHARED, "classifier", "features", "splits", "cache")
    learner = learner_from(cfg.classifier)
    features = build_record(FeatureSettings, cfg.features, path="features")
    if features.sizes_apart and not learner.takes_several_vectors:
        raise UserError(
            f"features.sizes_apart=true makes several vectors of an image, and classifier={cfg.choices.classifier} takes one: "
            "choose classifier=affine, or features.sizes_apart=false, their mean."
        )
    splits = checked(cfg.splits, Annotated[int, Range(1, 100_000)], path="splits")
    cache = checked(cfg.cache, bool, path="cache")
    if cfg.choices.get("model/normalization", "none") != "none":
        raise UserError(
            f"model/normalization={cfg.choices['model/normalization']} has no effect here: features.normalize brings features to "
            "one scale, by the training images of each division. Valid: none."
        )
    if splits > 1 and OmegaConf.select(cfg, "data.normalize") == "auto":
        raise UserError(
            "data.normalize=auto measures the pixels of one division's training images, and there are several: give mean and "
            "std, or data.normalize=none."
        )
    chosen = f"{cfg.choices.classifier} classifier"
    own = {"learner": learner, "features": features, "splits": splits, "cache": cache}
    return {**own, "section": "classifier", "chosen": chosen}


def learner_from(section: DictConfig) -> Learner:
    """The classifier that a section describes."""
    values = OmegaConf.to_container(section, resolve=True)
    found = instantiate(section, path="classifier")
    return found if isinstance(found, SupportVectorMachine) else EstimatorLearner.of(values)
