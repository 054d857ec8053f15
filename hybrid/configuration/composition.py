"""Compose the configuration of a command line, and explain in one line why one cannot be composed."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.errors import HydraException, OverrideParseException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.version import VersionBase
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.basecontainer import BaseContainer
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from hybrid.configuration.explain import explain, yaml_fault
from hybrid.configuration.hydra_arguments import choosable_groups, is_of_cluster, section_of, taken_as_they_are
from hybrid.configuration.own_files import check_own_files
from hybrid.configuration.paths import CONFIGS, ConfigFolders
from hybrid.errors import UserError

_STATE = (
    GlobalHydra,
    HydraConfig,
    VersionBase,
)  # Hydra's global state, beside its plugins and its store of configurations

# Commands beside training that take a recipe: the sections that it gives them, and what the command itself fixes there.
_OF_RECIPE = {
    "svm": (("model", "data", "seed"), ("model/normalization=statistics", "data.validation=0")),
    "classify": (("model", "data", "seed"), ("model/normalization=none", "data.validation=0")),
    "describe": (("model", "data", "augmentation"), ()),
    "data_stats": (("data", "augmentation", "seed"), ()),
    "prepare_data": (("data", "augmentation"), ()),
    "pack": (("data", "augmentation"), ()),
}  # fmt: skip


class UsersFolders(SearchPathPlugin):
    """Tells Hydra of the user's own folders, which stand before hybrid's, while hybrid composes."""

    active = False  # a program of the user's may compose configurations of its own, which these folders are not for

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        if UsersFolders.active:
            for place in reversed(ConfigFolders.read().users):
                search_path.prepend("user", f"file://{place}")


Plugins.instance().register(UsersFolders)


def compose(overrides: Sequence[str] = (), *, config_name: str = "train") -> DictConfig:
    """The configuration that a command line of these overrides gives. Hydra's global state is afterwards as it was before."""
    if config_name in _OF_RECIPE and any(section_of(text) == "experiment" for text in overrides):
        return _compose_of_recipe(overrides, config_name)
    check_own_files(overrides, config_name)
    with own_hydra(), initialize_config_dir(str(CONFIGS), version_base="1.3"), composing():
        cfg = hydra_compose(config_name, overrides=taken_as_they_are(overrides), return_hydra_config=True)
    choices = cfg.hydra.runtime.choices
    with open_dict(cfg):
        del cfg.hydra
    _leave_torchs_defaults(cfg, overrides)
    return with_choices(cfg, choices)


def _leave_torchs_defaults(cfg: DictConfig, overrides: Sequence[str]) -> None:
    """A class of torch.optim that the command line names has its own defaults: the chosen yaml's keys for another one go."""
    given = {text.lstrip("+").partition("=")[0] for text in overrides}
    for section in {name.removesuffix("._target_") for name in given & {"optimizer._target_", "schedule._target_"}}:
        if str(OmegaConf.select(cfg, f"{section}._target_")).startswith("torch.optim."):
            with open_dict(cfg):
                for key in set(cfg[section]) - {"_target_"}:
                    if not any(name == f"{section}.{key}" or name.startswith(f"{section}.{key}.") for name in given):
                        del cfg[section][key]


def _compose_of_recipe(overrides: Sequence[str], config_name: str) -> DictConfig:
    """A command's configuration with the sections of a recipe, which is written for training, that the command has, too."""
    sections, fixed = _OF_RECIPE[config_name]
    of_recipe = [text for text in overrides if section_of(text) in ("experiment", *sections)]
    given = {text.split("=")[0] for text in of_recipe}
    kept = [text for text in fixed if text.split("=")[0] not in given]
    recipe = compose([*kept, *of_recipe])
    cfg = compose([text for text in overrides if text not in of_recipe], config_name=config_name)
    for name in sections:
        cfg[name] = recipe[name]
    with open_dict(cfg):
        own = {key: value for key, value in cfg.choices.items() if section_of(key) not in sections}
        chosen = {key: value for key, value in recipe.choices.items() if section_of(key) in ("experiment", *sections)}
        cfg.choices = {**own, **chosen}
    return cfg


@contextlib.contextmanager
def own_hydra() -> Iterator[None]:
    """A context with a Hydra that is not yet initialized; the caller, which may be a Hydra app itself, gets its own back."""
    before = {kind: Singleton._instances.pop(kind, None) for kind in _STATE}
    resolvers = dict(BaseContainer._resolvers)
    UsersFolders.active = True
    try:
        yield
    finally:
        UsersFolders.active = False
        for kind, instance in before.items():
            Singleton._instances.pop(kind, None)
            if instance is not None:
                Singleton._instances[kind] = instance
        BaseContainer._resolvers.update(resolvers)


def composed(overrides: Sequence[str] = ()) -> DictConfig:
    """As `compose`; whatever is wrong with the overrides is a UserError, one line that says what is valid."""
    try:
        return compose(overrides)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(in_one_line(error, overrides)) from error


def in_one_line(error: Exception, overrides: Sequence[str], *, config_name: str = "train") -> str:
    """Says what is wrong with a command line of these overrides, and what is valid, from the error that composing it raised."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, YAMLError):
        return yaml_fault(error)
    if isinstance(error, OverrideParseException) and (cut := _cut_value(error.override, overrides)):
        return f"cannot read the argument {error.override!r}: a value with spaces is quoted: {cut}."
    known = functools.partial(_compose_without, overrides, config_name)
    return explain(error, known, choosable_groups(config_name))


def _cut_value(word: str, overrides: Sequence[str]) -> str | None:
    """The override of which a word without a sign is the end, in quotes: trainer.duration=5 epochs was two arguments."""
    place = list(overrides).index(word) if word in overrides else 0
    before = overrides[place - 1] if place else ""
    key, _, value = before.partition("=")
    if "=" in word or not value.replace(".", "", 1).isdecimal():
        return None
    return f"{key}='{value} {word}'"


@contextlib.contextmanager
def composing() -> Iterator[None]:
    """A context in which a UserError is raised for a file that is no yaml.

    So it is for ValueError and TypeError, which Hydra raises for some values of a group.
    """
    try:
        yield
    except UserError:
        raise
    except YAMLError as error:
        raise UserError(yaml_fault(error)) from error
    except (ValueError, TypeError) as error:
        if "Config group override must be a string" in str(error):
            raise UserError(
                "the command line cannot be composed: a group has the value null; leave it out for its usual choice."
            ) from error
        raise UserError(f"the command line cannot be composed: {error}.") from error


def with_choices(cfg: DictConfig, choices: DictConfig) -> DictConfig:
    """Write into the configuration which option of each group was chosen: data=digits, model=scat_resnet, …"""
    names = {str(key): value for key, value in choices.items() if not str(key).startswith("hydra/")}
    with open_dict(cfg):
        cfg.choices = OmegaConf.create({key: value for key, value in names.items() if value not in (None, "null")})
    return cfg


def _compose_without(overrides: Sequence[str], config_name: str, culprit: str) -> DictConfig:
    """The configuration without the overrides of one key, so that an error can list the keys beside it.

    `cluster` is a configuration of its own, that of a sweep.
    """
    of_cluster = is_of_cluster(culprit)
    kept = [text for text in overrides if "=" in text and text.split("=")[0].lstrip("+~") != culprit]
    kept = [text for text in kept if not text.startswith("-") and is_of_cluster(text) == of_cluster]
    return compose(kept, config_name="sweep" if of_cluster else config_name)
