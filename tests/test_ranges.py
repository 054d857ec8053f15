"""Numbers have a range beside their type, and every number of configs/ has one."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import math
import typing
from typing import Annotated, Any, Literal

import pytest
import yaml
from omegaconf import DictConfig, OmegaConf

from hybrid.analysis.settings import AnalysisSettings
from hybrid.classification.kernel_machine import KernelMachine
from hybrid.configuration.class_paths import find_class
from hybrid.configuration.composition import compose
from hybrid.configuration.from_config import _Shared, data_from
from hybrid.configuration.instantiate import build_record
from hybrid.configuration.paths import CONFIGS
from hybrid.data import Augmentation, Holdout, PixelStatistics, Subset
from hybrid.errors import UserError
from hybrid.ranges import Count, OutOfRange, Range, check_ranges, range_of
from hybrid.runs.sweeps.settings import LocalSettings, SlurmSettings
from hybrid.training.settings import LiveSettings, RunSettings, Settings, TrainerSettings

# Sections whose class is not named in the yaml: the records that take their keys.
RECORDS = {
    "trainer": (TrainerSettings,),
    "augmentation": (Augmentation,),
    "analysis": (LiveSettings, AnalysisSettings),
    "cluster": (LocalSettings, SlurmSettings),
    "run": (RunSettings,),
    "svm": (KernelMachine,),
    "data.subset": (Subset,),
    "data.normalize": (PixelStatistics,),
}
OF_DATA = (Holdout, _Shared)  # beside the class of a data set
ROOTS = {"seed", "columns", "image_shape", "num_classes"}  # keys of no section, which have tests of their own below


COUNT = range_of(Count)


@dataclasses.dataclass(frozen=True)
class Record:
    share: Annotated[float, Range(0, 1)] = 0.5
    sizes: Annotated[tuple[int, ...], Range(1, 9)] | None = None
    free: float = 0.0


def test_a_range_says_what_is_valid():
    assert str(Range(0, 1, below=True)) == "from 0 to below 1"
    assert COUNT.words(0) == "at least 1"  # and nothing of the limit that is far away
    assert COUNT.words(2**40) == "from 1 to 2147483647"
    assert COUNT.words(math.inf) == "finite and at least 1"
    assert str(Range(0, 1, above=True)) == "above 0 and at most 1"
    assert [number in Range(0, 1, above=True, below=True) for number in (0, 0.5, 1, math.nan, math.inf)] == [
        False, True, False, False, False,
    ]  # fmt: skip
    with pytest.raises(OutOfRange, match=r"^\[1,10\] is not valid: each number must be from 1 to 9$"):
        Range(1, 9).check((1, 10))
    Range(1, 9).check("auto")
    Range(1, 9).check(True)  # which is no number


def test_a_record_and_a_section_are_compared_with_their_annotations():
    check_ranges(Record(), path="here")
    with pytest.raises(UserError, match=r"^here.share=nan is not valid: it must be from 0 to 1.$"):
        check_ranges(Record(share=math.nan), path="here")
    assert build_record(Record, {"sizes": [1, 9]}, path="here").sizes == (1, 9)
    with pytest.raises(UserError, match=r"^here.sizes=\[10\] is not valid: each number must be from 1 to 9.$"):
        build_record(Record, {"sizes": [10]}, path="here")
    with pytest.raises(UserError, match="here.share: 'x' is not a number."):
        build_record(Record, {"share": "x"}, path="here")


def has_number(annotation: Any) -> bool:
    if typing.get_origin(annotation) is Literal or {str, int, float} <= set(typing.get_args(annotation)):
        return False  # choices; a duration, whose text `hybrid.durations` reads
    return annotation in (int, float) or any(map(has_number, typing.get_args(annotation)))


def without_range(annotation: Any, place: str) -> list[str]:
    """The arguments in an annotation, or in the record that it is, that take numbers of any size."""
    if dataclasses.is_dataclass(annotation):
        hints = typing.get_type_hints(annotation, include_extras=True)
        return [line for name, hint in hints.items() for line in without_range(hint, f"{place}.{name}")]
    if typing.get_origin(annotation) is Annotated:
        return [] if range_of(annotation) else [place]
    inner = typing.get_args(annotation)
    if any(map(dataclasses.is_dataclass, inner)):
        return [line for each in inner for line in without_range(each, place)]
    return [place] if has_number(annotation) and range_of(annotation) is None else []


def sections(cfg: DictConfig, place: str = "") -> list[tuple[str, DictConfig]]:
    """Every section of a configuration with its place."""
    inner = [
        each
        for key in cfg
        if isinstance(node := cfg._get_node(key), DictConfig) and not OmegaConf.is_missing(cfg, key)
        for each in sections(node, f"{place}.{key}".lstrip("."))
    ]
    return [(place, cfg), *inner]


def hints_of(place: str, section: DictConfig) -> dict[str, Any]:
    target = None if OmegaConf.is_missing(section, "_target_") else section.get("_target_")
    takers = list(RECORDS.get(place, ()))
    if target is not None:
        found = find_class(target)
        takers.append(found.__init__ if isinstance(found, type) else found)
    if place == "data":
        takers += OF_DATA
    return {k: v for taker in takers for k, v in typing.get_type_hints(taker, include_extras=True).items()}


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


GROUPS = ("data", "augmentation", "loss", "optimizer", "schedule", "trainer", "analysis", "model")
PARTS = ("model/frontend", "model/normalization", "model/head")


@functools.cache
def compositions() -> list[DictConfig]:
    """Configurations that have every option of every group at least once, but for recipes."""
    choices = [[f"{group}={name}" for name in options(group) if name != "custom"] for group in (*GROUPS, *PARTS)]
    lines = [[text for text in line if text] for line in itertools.zip_longest(*choices)]
    svm = [compose([f"svm={name}"], config_name="svm") for name in options("svm")]
    cluster = [compose([f"cluster={name}"], config_name="sweep") for name in options("cluster")]
    others = [compose(config_name=name) for name in ("describe", "data_stats", "prepare_data")]
    return [*map(compose, lines), *svm, *cluster, *others]


def test_every_number_of_the_configurations_has_a_range():
    wrong, seen = set(), set()
    for cfg in compositions():
        for place, section in sections(cfg):
            if place.split(".")[0] in ("choices", ""):
                continue
            hints = hints_of(place, section)
            for key in section:
                if key in hints:
                    seen.add(f"{place}.{key}")
                    wrong.update(without_range(hints[key], f"{place}.{key}"))
    assert {"model.head.hidden", "model.head.norm", "trainer.ema", "cluster.memory", "svm.C"} <= seen
    assert not wrong, sorted(wrong)


def test_every_number_in_the_files_belongs_to_a_checked_key():
    """A number in a yaml whose key no constructor and no record names would be compared with nothing."""
    loose = set()
    for cfg in compositions():
        for place, section in sections(cfg):
            known = hints_of(place, section) if place else {}
            nested = place.startswith("model.head.norm") or place.startswith("choices")
            for key in section:
                value = section._get_node(key)
                if place == "" and key in ROOTS or nested or isinstance(value, DictConfig):
                    continue
                if any(type(number) in (int, float) for number in _leaves(value)) and key not in known:
                    loose.add(f"{place}.{key}")
    assert not loose, sorted(loose)


def _leaves(node: Any) -> list[Any]:
    value = OmegaConf.to_container(node, resolve=False) if OmegaConf.is_config(node) else node._value()
    return list(yaml.safe_load(yaml.safe_dump(value))) if isinstance(value, list) else [value]


NONSENSE = [
    "trainer.ema=nan", "trainer.batch_size=99999999999", "trainer.clip_norm=inf", "seed=9223372036854775808", "seed=1.5",
    "+analysis.nope=3",
]  # fmt: skip


@pytest.mark.parametrize("override", NONSENSE)
def test_what_the_settings_refuse(override):
    name = override.lstrip("+").split("=")[0].split(".")[-1]
    with pytest.raises(UserError, match=name) as caught:
        Settings.of(compose(["analysis=none", override]))
    assert "\n" not in str(caught.value)


OF_DATA_NONSENSE = [
    "data.validation=nan", "data.validation=inf", "data.test=nan", "data.normalize.mean=[nan]", "data.normalize.std=[1e300]",
    "augmentation.mixup=nan", "augmentation.cutmix=inf", "augmentation.flip=2", "data.size=100000", "data.split_seed=-1",
]  # fmt: skip


@pytest.mark.parametrize("override", OF_DATA_NONSENSE)
def test_what_the_data_refuse(override):
    cfg = compose([override])
    name, _, _ = override.partition("=")
    with pytest.raises(UserError, match=f"^{name}=.* is not valid") as caught:
        data_from(cfg.data, cfg.augmentation, seed=0)
    assert "\n" not in str(caught.value)


def test_the_archived_runs_are_within_the_ranges(root):
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    wrong, seen = [], 0
    for file in sorted((root / "docs" / "results" / "runs").glob("*/config.yaml")):
        cfg = OmegaConf.create(yaml.load(file.read_text(), Loader=loader))
        for place, section in sections(cfg):
            hints = hints_of(place, section)
            for key in hints.keys() & section.keys():
                value = OmegaConf.to_container(section, resolve=False)[key]
                if (allowed := range_of(hints[key])) is not None and not isinstance(value, str):
                    seen += 1
                    with contextlib.suppress(OutOfRange):
                        allowed.check(value)
                        continue
                    wrong.append(f"{file.parent.name}: {place}.{key}={value}")
    assert not wrong
    assert seen > 1000
