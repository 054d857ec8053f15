"""From `cfg.data` and `cfg.augmentation` to a `Data`, with every value checked and no file read."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf
from torch import nn

from hybrid.configuration import build_record, instantiate
from hybrid.data.augmentation import Augmentation
from hybrid.data.dataset import Data
from hybrid.data.preprocessing import LocalContrast, Normalize
from hybrid.data.sources import FileSource, MemorySource, Source
from hybrid.data.splits import Subset
from hybrid.errors import UserError, unknown_name


@dataclass(frozen=True)
class MeanStd:
    """Per-channel mean and standard deviation of the training pixels, in 0..1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Options:
    """The keys of a data configuration that every data set shares; the others go to the class that `_target_` names."""

    normalize: dict | Literal["none", "contrast"] = "none"
    validation: int | float | None = 0
    split_seed: int = 0
    subset: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.validation is not None and self.validation < 0:
            raise ValueError(f"data.validation={self.validation} is negative; 0 means no validation split")
        if isinstance(self.validation, float) and self.validation >= 1:
            raise ValueError(
                f"data.validation={self.validation}: a fraction is below 1; a number of images has no point"
            )
        if not 0 <= self.split_seed < 2**32:
            raise ValueError(f"data.split_seed={self.split_seed} is outside 0..{2**32 - 1}")


def build(
    data_config: Mapping[str, Any] | DictConfig,
    augmentation_config: Mapping[str, Any] | DictConfig | None = None,
    *,
    seed: int,
) -> Data:
    """The data set that `configs/data/*.yaml` describes, augmented as `configs/augmentation/*.yaml` says.

    `seed` decides the order of the images, their augmentation and, unless `data.subset.seed` is given, the subset; not the
    validation split (`data.split_seed`) nor the test set. Raises UserError for an unknown key, a value of the wrong type or
    out of range, and settings that exclude each other; files are read when they are first needed, or by `Data.prepare`.
    """
    values = _as_dict(data_config)
    shared = {name: values.pop(name) for name in _names(Options) if name in values}
    _refuse_unknown(values)
    options = build_record(Options, shared, path="data")
    subset = build_record(Subset, options.subset or {}, path="data.subset")
    source = instantiate(values, path="data")
    if not isinstance(source, (MemorySource, FileSource)):
        raise UserError(f"data._target_={values['_target_']} is no hybrid.data.MemorySource or hybrid.data.FileSource.")
    augmentation = build_record(Augmentation, _as_dict(augmentation_config or {}), path="augmentation")
    _check_augmentation(augmentation, source)
    return Data(
        source,
        preprocessing=_preprocessing(options, source),
        augmentation=augmentation,
        subset=subset,
        validation=options.validation,
        split_seed=options.split_seed,
        seed=seed,
    )


def _as_dict(config: Mapping[str, Any] | DictConfig) -> dict[str, Any]:
    """Plain values; those that the user still has to give ("???" in the yaml) are left out, so that they count as missing."""
    if isinstance(config, DictConfig):
        config = OmegaConf.to_container(config, resolve=True)
    return {name: value for name, value in config.items() if not (isinstance(value, str) and value == "???")}


def _names(record: type) -> list[str]:
    return [each.name for each in dataclasses.fields(record)]


def _refuse_unknown(values: dict[str, Any]) -> None:
    """A misspelt key, reported with the shared keys among the valid ones; `instantiate` knows only the class's own."""
    try:
        parameters = inspect.signature(get_object(values["_target_"])).parameters
    except Exception:  # no such class: `instantiate` says so in better words
        return
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    for name in values:
        if name != "_target_" and name not in parameters:
            raise unknown_name(name, [*parameters, *_names(Options)], what="key in data")


def _preprocessing(options: Options, source: Source) -> nn.Module:
    channels = source.image_shape[0]
    if options.normalize == "contrast":
        return LocalContrast(channels)
    if options.normalize == "none":
        return Normalize((0.0,) * channels, (1.0,) * channels)
    statistics = build_record(MeanStd, options.normalize, path="data.normalize")
    if len(statistics.mean) != channels:
        raise UserError(f"data.normalize.mean has {len(statistics.mean)} values; the images have {channels} channels.")
    try:
        return Normalize(statistics.mean, statistics.std)
    except ValueError as error:
        raise UserError(f"data.normalize: {error}.") from error


def _check_augmentation(augmentation: Augmentation, source: Source) -> None:
    _, height, width = source.image_shape
    try:
        augmentation.check_size(height, width)
    except ValueError as error:
        raise UserError(str(error)) from error
    if augmentation.random_resized_crop is not None and not isinstance(source, FileSource):
        raise UserError(
            f"augmentation.random_resized_crop works on image files (data=imagenet, data=folder), not on {source.name}: use "
            "augmentation=crop_flip."
        )
