"""Which run a configuration describes: the settings that can change its results, and the name that they give to its folder."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import re
import sys
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from hybrid.configuration.class_paths import find_class
from hybrid.configuration.instantiate import class_path
from hybrid.configuration.kept import plain
from hybrid.configuration.paths import CONFIGS
from hybrid.configuration.renamed import class_path_now, has_torchvision_head, old_names, value_at
from hybrid.durations import in_one_spelling

# These settings change no result: moving the data or logging more often continues the run.
INCIDENTAL = {
    "choices", "analysis", "metrics", "run.root", "run.name", "run.restart", "data.root", "data.download", "data.num_workers",
    "trainer.device", "trainer.log_every", "trainer.checkpoint_every", "trainer.keep_best",
    "trainer.progress", "trainer.tensorboard", "trainer.rank_timeout", "trainer.feature_cache", "trainer.winograd",
    "trainer.gradient_checkpointing", "loggers", "device", "cache",
}  # fmt: skip
# Settings that came later: with these values a run is the run that it was without them, in the same folder.
_AS_BEFORE: dict[str, Any] = {
    "run.init_channels": "kymatio",
    "trainer.averages_begin": "initial",
    "data.fit": "crop",
    "data.value_range": None,
    "loss._target_": "hybrid.objective.losses.cross_entropy",
    "loss.class_weights": None,
    "trainer.best_metric": None,
    "data.test": None,
    "data.folds": None,
    "data.fold": None,
    "data.per_class": None,
    "data.pool": None,
    "data.skip_unreadable": False,
    "data.shuffle": "all",
    "callbacks": [],
    "trainer.freeze": [],
    "optimizer.rates": None,
    "schedule.early": "0 steps",
    "model.head.preactivation": False,
    "model.head.stem_stride": 1,
    "model.head.initial": "fan_out",
    "model.head.initial_gain": None,
    "model.head.block": "basic",
    "model.head.conv": "standard",
    "model.head.harmonics": 5,
    "model.head.levels": 1,
    "data.subset.validate_from": "others",
}
# The same for the settings of one class of front-end.
_OF_FRONTEND: dict[str, dict[str, Any]] = {
    "hybrid.models.frontends.Scattering": {"model.frontend.boundary": "reflect"},
    "hybrid.models.frontends.RotoTranslation": {"model.frontend.engine": "auto"},
    "hybrid.models.frontends.LearnedScattering": {"model.frontend.engine": "auto"},
}
_PARTS = (
    "data",
    "model/frontend",
    "model/normalization",
    "model/head",
    "loss",
)  # which a user may write, and are named
_NOT_OWN = {"hybrid", "torch", "torchvision"}
_READERS = {"folder", "npz", "h5", "torchvision", "huggingface", "webdataset"}  # of data that have a name of their own
_ARRAYS = "hybrid.data.arrays.Arrays"
_STEM, _LARGEST_SMALL = "model.head.stem", 64  # of a network of torchvision, whose pixels decide what auto is
# hybrid's own sources of published images (`Source.published`), listed here because folders of runs are read without torch.
PUBLISHED = {
    "hybrid.data.cifar.Cifar10", "hybrid.data.cifar.Cifar100", "hybrid.data.folder.ImageNet",
    "hybrid.data.folder.KthTips", "hybrid.data.mnist.Mnist", "hybrid.data.stl10.Stl10",
}  # fmt: skip


def identity(cfg: DictConfig, *, known_only: bool = False) -> dict[str, Any]:
    """Dotted key -> value of every setting that can change a run's results; each duration has one spelling.

    The folder of the images, data.root, counts unless their source says that they are published: those are the same images
    wherever they lie.

    known_only: nothing is imported, because the configuration may be somebody else's: of classes that this process has not
    imported, it is not asked what they say of themselves.
    """
    return identity_of(plain(cfg), known_only=known_only)


def identity_of(whole: dict[str, Any], *, known_only: bool = False) -> dict[str, Any]:
    """The same of a configuration that is plain data."""
    later = _AS_BEFORE | _of_frontend(whole) | ({_STEM: "imagenet"} if has_torchvision_head(whole) else {})
    return later | _settings(whole, known_only=known_only)


def _settings(whole: dict[str, Any], *, known_only: bool = False, as_written: bool = False) -> dict[str, Any]:
    whole = class_path_now(whole)
    values = {key: _spelt(value) for key, value in flattened(whole, without=INCIDENTAL)}
    if "callbacks" in whole:
        values["callbacks"] = [each for each in values["callbacks"] or [] if not _observes(each, known_only)]
    data = whole.get("data") or {}
    if data.get("_target_") == _ARRAYS and "data.in_memory" in values and not as_written:
        values["data.in_memory"] = None  # both ways give the same batches
    if values.get(_STEM) == "auto" and has_torchvision_head(whole) and _is_large(data.get("size")):
        values[_STEM] = "imagenet"
    if data.get("root") is not None and not _is_published(str(data.get("_target_")), known_only):
        values["data.root"] = str(Path(str(data["root"])).resolve())
    return values


def run_name(cfg: DictConfig, *, own_parts: bool = True, as_written: bool = False) -> str:
    """data-model-seedN-hash: readable, and different whenever the identity is.

    Parts of the user's own are named too, and data of his own by data.name, unless `own_parts` is False, as in earlier
    versions. `as_written`: data.in_memory counts, as it did in earlier versions.
    """
    written = _settings(OmegaConf.to_container(cfg, resolve=True), as_written=as_written)
    values = {key: value for key, value in written.items() if not _is_as_before(key, value, cfg)}
    digest = hashlib.sha256(json.dumps(old_names(values), sort_keys=True).encode()).hexdigest()[:8]
    chosen = cfg.get("choices", {})
    parts = [
        chosen.get("experiment"),
        _data_name(cfg) if own_parts else chosen.get("data"),
        chosen.get("model"),
        *(_own_parts(cfg) if own_parts else ()),
        chosen.get("debug"),
        f"svm_{chosen.svm}" if "svm" in chosen else None,
        *(chosen.get(group) for group in ("classifier", "features")),
        f"seed{cfg.seed}",
        digest,
    ]
    return "-".join(dict.fromkeys(str(part) for part in parts if part))  # experiment=digits data=digits: once


def _data_name(cfg: DictConfig) -> str | None:
    chosen = cfg.get("choices", {}).get("data")
    name = (cfg.get("data") or {}).get("name") if chosen in _READERS else None
    return re.sub(r"[^\w.-]+", "_", str(name)) if name else chosen


def _is_as_before(key: str, value: Any, cfg: DictConfig) -> bool:
    """Whether a setting came later and has its neutral value. One of a data set of a user's own may be older than ours."""
    if key.startswith("data.") and "folds" not in (cfg.get("data") or {}):
        return False
    neutral = (_AS_BEFORE | _of_frontend(cfg)).items()
    return (key, value) in neutral or ((key, value) == (_STEM, "imagenet") and has_torchvision_head(cfg))


def _of_frontend(cfg: Any) -> dict[str, Any]:
    return _OF_FRONTEND.get(value_at(cfg, "model.frontend._target_"), {})


def _is_large(size: Any) -> bool:
    """Whether images of this data.size keep torchvision's own stem (hybrid/models/torchvision_head.py)."""
    sides = size if isinstance(size, list) else [size]
    return all(isinstance(side, int) for side in sides) and min(sides) > _LARGEST_SMALL


def _own_parts(cfg: DictConfig) -> Iterator[str]:
    """The names of the parts whose class is the user's own: that of his yaml; of the class, where the yaml is hybrid's."""
    for group in _PARTS:
        section = OmegaConf.select(cfg, group.replace("/", "."))
        if not isinstance(section, DictConfig) or OmegaConf.is_missing(section, "_target_"):
            continue
        target, choice = str(section.get("_target_", "hybrid")), cfg.get("choices", {}).get(group)
        if target.split(".")[0] not in _NOT_OWN:
            is_hybrids = choice is None or (CONFIGS / f"{group}/{choice}.yaml").is_file()
            yield target.rpartition(".")[2] if is_hybrids else choice


def _is_published(source: str, known_only: bool) -> bool:
    """Whether the class with this path says that its images are published."""
    return source in PUBLISHED if source.split(".")[0] == "hybrid" else _says(source, "published", known_only)


def _observes(callback: Any, known_only: bool) -> bool:
    """Whether the class of a callback says that it only looks; none of hybrid's own does."""
    return _says(class_path(callback, {}) or "", "observer", known_only)


def _says(path: str, name: str, known_only: bool) -> bool:
    """Whether the class with this path has a true attribute of this name. A class that cannot be imported here has not."""
    module, _, own = path.rpartition(".")
    if path.split(".")[0] == "hybrid":
        return False
    if known_only:
        found = vars(sys.modules[module]).get(own) if module in sys.modules else None
        return inspect.isclass(found) and bool(getattr(found, name, False))
    return _imported_says(path, name)


@functools.cache
def _imported_says(path: str, name: str) -> bool:
    try:
        found = find_class(path)
    except (ImportError, AttributeError, ValueError, TypeError):
        return False
    return bool(getattr(found, name, False))


def flattened(node: Any, *, without: Container[str] = (), prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of everything in nested sections but for the keys of `without`; an empty section is a value."""
    if prefix in without:
        return
    if isinstance(node, Mapping) and node:
        for key, value in node.items():
            yield from flattened(value, without=without, prefix=f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, node


def _spelt(value: Any) -> Any:
    if isinstance(value, dict):  # in a list; others are flattened
        return {key: _spelt(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_spelt(part) for part in value]
    return in_one_spelling(value) if isinstance(value, str) else value
