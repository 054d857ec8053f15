"""Compose the configuration of a command line, and explain in one line why one cannot be composed."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from hybrid.configuration.explain import explain
from hybrid.configuration.hydra_arguments import choosable_groups, is_of_cluster
from hybrid.configuration.paths import CONFIGS, ConfigFolders
from hybrid.errors import UserError


class UsersFolders(SearchPathPlugin):
    """Tells Hydra of the user's own folders, which stand before hybrid's."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for place in reversed(ConfigFolders.read().users):
            search_path.prepend("user", f"file://{place}")


Plugins.instance().register(UsersFolders)


def compose(overrides: Sequence[str] = (), *, config_name: str = "train") -> DictConfig:
    """The configuration that a command line of these overrides gives."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"), composing():
        cfg = hydra_compose(config_name, overrides=list(overrides), return_hydra_config=True)
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
    known = functools.partial(_compose_without, overrides, config_name)
    return explain(error, known, choosable_groups(config_name))


@contextlib.contextmanager
def composing() -> Iterator[None]:
    """A context in which ValueError and TypeError, which Hydra raises for some values of a group, become a UserError."""
    try:
        yield
    except UserError:
        raise
    except (ValueError, TypeError) as error:
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
