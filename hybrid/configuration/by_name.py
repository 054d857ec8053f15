"""Models and data by the names of their configurations, with changes as keyword arguments: for Python, without a run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf
from torch import nn

import hybrid.models
from hybrid.configuration.composition import composed
from hybrid.configuration.from_config import PARTS, data_from, part_from
from hybrid.data import Data
from hybrid.errors import UserError
from hybrid.models import HybridModel

Settings = Mapping[str, Any]
PartChoice = str | Settings | nn.Module | Callable[..., nn.Module]


def build_model(
    name: str,
    *,
    image_shape: tuple[int, int, int],
    num_classes: int,
    frontend: PartChoice | None = None,
    normalization: PartChoice | None = None,
    head: PartChoice | None = None,
) -> HybridModel:
    """Build a network by its name, such as "scat_wrn", with random weights.

    Args:
        name: a file of configs/model, or of model/ in a folder of $HYBRID_CONFIGS.
        image_shape: (channels, height, width) of the images.
        num_classes: the number of logits.
        frontend: replaces or changes the model's own front-end. A name ("identity") is a file of configs/model/frontend. A
            dict changes settings. A module is used as it is. A class or function is called with `image_shape`.
        normalization: the same for the normalization, from configs/model/normalization; called with `input_shape`.
        head: the same for the head, from configs/model/head; called with `input_shape` and `num_classes`.

    Returns:
        A torch module: images (N, C, H, W), float and normalised -> logits (N, num_classes).

    Raises:
        hybrid.UserError: a name or setting does not exist, or a part does not fit the others.

    Examples:
        >>> import hybrid, torch
        >>> model = hybrid.build_model("scat_wrn", image_shape=(3, 32, 32), num_classes=10, head=dict(k=1))
        >>> model(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
        >>> pooled = lambda input_shape, num_classes: torch.nn.Sequential(
        ...     torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(input_shape[0], num_classes))
        >>> model = hybrid.build_model("scat_wrn", image_shape=(3, 32, 32), num_classes=10, head=pooled)
    """
    choices = {
        part: choice for part, choice in zip(PARTS, (frontend, normalization, head), strict=True) if choice is not None
    }
    named = [f"model/{part}={choice}" for part, choice in choices.items() if isinstance(choice, str)]
    section = composed([f"model={name}", *named]).model
    made = {part: _part(section[part], part, choices.get(part)) for part in PARTS}
    return hybrid.models.build(**made, image_shape=image_shape, num_classes=num_classes)


def load_data(
    name: str,
    *,
    root: str | os.PathLike[str] | None = None,
    augmentation: str | Settings | None = None,
    subset: int | Settings | None = None,
    seed: int = 0,
    **settings: Any,
) -> Data:
    """Load a data set by its name, such as "cifar10": splits, and loaders for a training loop of one's own.

    The data are found, downloaded where they are missing, and split at once, so that a mistake shows here; image files are
    decoded when they are needed. What is random depends on `seed` alone: no global generator is read or moved.

    Args:
        name: a file of configs/data, or of data/ in a folder of $HYBRID_CONFIGS.
        root: the folder that holds the files; None: $HYBRID_DATA, or the folder data.
        augmentation: the random changes of training images: a name of configs/augmentation ("none"), or a dict that changes
            some settings of the data set's own augmentation.
        subset: how many of the training images to train on, or a dict of n, protocol and seed; all by default.
        seed: decides the order of the images, their augmentation, and which images a subset has.
        settings: the other keys of the data's yaml, such as `validation`, the fraction or number of training images that
            validate, `test`, `folds` and `fold`, which draw test images, `normalize` and `size`.

    Returns:
        A `Data`: `train`, `validation` and `test` are loaders of (images, labels) in batches of 128, `loader(…)` makes others;
        `image_shape`, `num_classes`, `class_names` and `splits` say what is in it.

    Raises:
        hybrid.UserError: a name or setting does not exist, a value is out of range, or files are missing.

    Examples:
        >>> import hybrid, torch
        >>> data = hybrid.load_data("digits", subset=200, validation=100)
        >>> data
        Data('digits': 200 train, 100 validation, 360 test images of 1 x 32 x 32, 10 classes)
        >>> model = hybrid.build_model("scat_linear", image_shape=data.image_shape, num_classes=data.num_classes)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        >>> for epoch in range(2):
        ...     for images, labels in data.train:
        ...         loss = torch.nn.functional.cross_entropy(model(images), labels)
        ...         optimizer.zero_grad()
        ...         loss.backward()
        ...         optimizer.step()
    """
    chosen = [f"augmentation={augmentation}"] if isinstance(augmentation, str) else []
    cfg = composed([f"data={name}", *chosen])
    changes = settings if root is None else {**settings, "root": os.fspath(root)}
    if subset is not None:
        changes = {**changes, "subset": subset if isinstance(subset, Mapping) else {"n": subset}}
    random_changes = augmentation if isinstance(augmentation, Mapping) else {}
    data = data_from(_changed(cfg.data, changes), _changed(cfg.augmentation, random_changes), seed=seed)
    data.splits  # noqa: B018  (raises where files are missing, or there are too few images)
    return data


def _part(section: DictConfig, name: str, choice: PartChoice | None) -> Any:
    """The module that was chosen for a part, or what makes it."""
    if choice is None or isinstance(choice, str):
        return part_from(section, name)
    if isinstance(choice, Mapping):
        return part_from(_changed(section, choice), name)
    if callable(choice):  # a module can be called, too
        return choice
    raise UserError(
        f"{name}={choice!r} is not valid: it is a name, a dict of settings, a module, or a class that makes one."
    )


def _changed(section: DictConfig, changes: Settings) -> dict[str, Any]:
    """The section with other values, those of its own sections included; one with a `_target_` of its own replaces it."""
    if "_target_" in changes:
        return dict(changes)
    whole = OmegaConf.to_container(section, resolve=True)
    return _merged(whole, changes)


def _merged(whole: Any, changes: Settings) -> dict[str, Any]:
    both = {name: _merged(whole[name], value) if isinstance(whole.get(name), dict) and isinstance(value, Mapping) else value
            for name, value in changes.items()}  # fmt: skip
    return {**whole, **both}
