"""Models and data from the sections of a configuration that describe them.

`hybrid.models` and `hybrid.data` take Python objects and know no configuration. Here a section of one becomes these objects,
after its names and values have been checked, so that a mistake is one line that says where it is and what is valid.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from omegaconf import DictConfig

import hybrid.data
from hybrid.configuration.instantiate import build_record, given, instantiate, signature_of
from hybrid.data import Augmentation, Data, Holdout, PixelStatistics, Subset
from hybrid.data.facts import Facts
from hybrid.data.sources import Source
from hybrid.data.splits import Validation
from hybrid.errors import UserError, unknown_name
from hybrid.ranges import Seed32

if TYPE_CHECKING:  # it loads torch
    from hybrid.models import HybridModel

Section = Mapping[str, Any] | DictConfig
PARTS = ("frontend", "normalization", "head")


def model_from(section: Section, *, image_shape: tuple[int, int, int], num_classes: int) -> HybridModel:
    """The model that `cfg.model` describes: its sections are frontend, normalization and head, each with a `_target_`.

    Raises UserError for an unknown or missing section, and for whatever is wrong within one, as `instantiate` and
    `hybrid.models.build` do.
    """
    import hybrid.models

    for name in section:
        if name not in PARTS:
            raise unknown_name(str(name), PARTS, what="key in model")
    for name in PARTS:
        if section.get(name) is None:
            raise UserError(f"model.{name} is missing: choose one with model/{name}=…")
    parts = {name: part_from(section[name], name) for name in PARTS}
    return hybrid.models.build(**parts, image_shape=image_shape, num_classes=num_classes)


def part_from(section: Section, name: str) -> Any:
    """What makes the part `name` of a model, once the shapes are known: to be called with them."""
    return functools.partial(instantiate, section, path=f"model.{name}")


@dataclasses.dataclass(frozen=True)
class _Shared:
    """The keys that all sections of data share; the others are arguments of the class that `_target_` names."""

    normalize: dict | Literal["none", "auto", "contrast"] = "none"
    validation: Validation = 0
    split_seed: Seed32 = 0
    subset: dict = dataclasses.field(default_factory=dict)


_HOLDOUT = tuple(field.name for field in dataclasses.fields(Holdout))
_FOR_ALL = tuple(field.name for field in dataclasses.fields(_Shared))


def data_from(
    section: Section, augmentation: Section | None = None, *, seed: int, facts: Mapping[str, Any] | None = None
) -> Data:
    """The data set that `cfg.data` describes, augmented as `cfg.augmentation` says; no file is read.

    seed: decides the order of the images, their augmentation and, unless data.subset.seed is given, the subset; neither
        the validation split nor a test set that is drawn (data.split_seed).
    facts: what a run has kept of `Data.facts()`, as a dict.
    Raises UserError for an unknown key, a value of the wrong type or out of range, and settings that exclude each other.
    """
    settings = DataSettings.of(section, augmentation)
    known = None if facts is None else Facts.of(facts)
    return hybrid.data.build(settings.make_source(), **settings.options, seed=seed, facts=known)


@dataclasses.dataclass(frozen=True)
class DataSettings:
    """A section of data, read: what makes the source, and how `hybrid.data.build` divides and changes its images."""

    source: Mapping[str, Any]
    options: Mapping[str, Any]

    @classmethod
    def of(cls, section: Section, augmentation: Section | None = None) -> DataSettings:
        """Raises UserError for a value of the wrong type or out of range."""
        values = given(section, path="data")
        holdout = build_record(Holdout, _holdout(values), path="data")
        shared = build_record(_Shared, {name: values.pop(name) for name in _FOR_ALL if name in values}, path="data")
        normalize = shared.normalize
        if isinstance(normalize, dict):
            normalize = build_record(PixelStatistics, normalize, path="data.normalize")
        changes = build_record(Augmentation, given(augmentation or {}, path="augmentation"), path="augmentation")
        options = {
            "normalize": normalize,
            "augmentation": changes,
            "subset": build_record(Subset, shared.subset or {}, path="data.subset"),
            "validation": shared.validation,
            "split_seed": shared.split_seed,
            "holdout": holdout,
        }
        return cls(values, options)

    def make_source(self) -> Source:
        """Raises UserError for an unknown key, a missing one, and what the class of the data refuses."""
        return instantiate(self.source, path="data", also_valid=(*_FOR_ALL, *_HOLDOUT))


def _holdout(values: dict[str, Any]) -> dict[str, Any]:
    """Takes the keys of `Holdout` out of a section of data. A class's own argument of such a name (STL-10's fold) stays.

    With data.folds, data.fold is the fold that tests, whatever the class has.
    """
    own = () if values.get("folds") is not None else signature_of(values, path="data")
    return {name: values.pop(name) for name in _HOLDOUT if name in values and name not in own}
