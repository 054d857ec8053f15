"""What tells groups of runs apart: the settings in which they differ, and a name for each group that says so."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from hybrid.configuration.composition import compose
from hybrid.configuration.hydra_arguments import Script
from hybrid.configuration.paths import ConfigFolders
from hybrid.errors import UserError
from hybrid.reports.groups import ABSENT, Group, as_text
from hybrid.runs.identity import INCIDENTAL, identity
from hybrid.runs.reading import full_name

COLUMNS = ("model", "data")  # the choices that every table shows
PLACES = (
    "data.root",
    "data.images",
    "data.labels",
    "data.dataset",
)  # where data lie: told where nothing else tells rows apart
_METHODS = ("svm", "classifier", "features")  # choices of runs that train no network
FEW = 3  # so many settings are told of every group; of more, each group tells those that are its own


def telling_settings(groups: Sequence[Group], by: Sequence[str] = ()) -> list[str]:
    """Return the names of the settings that tell groups apart: model, data, then those in which they differ, or `by`.

    A setting that every group's choices bring with them is left out: the names scat_wrn and resnet18 say enough. Raises
    UserError for a name in `by` that no group has.
    """
    if by:
        names = named_settings(groups, by)
        return list(dict.fromkeys([*(name for name in COLUMNS if name not in names), *names]))
    choices = [name for name in _varying(groups, "choices") if name not in INCIDENTAL and not _is_implied(name, groups)]
    settings = _varying(groups, "settings")
    if settings:
        settings = [name for name in settings if any(_is_chosen(name, group) for group in groups)]
        settings = [name for name in settings if name != "data.name"]  # which is in the column data
    return _without_places(groups, list(dict.fromkeys([*COLUMNS, *choices, *settings])))


def _without_places(groups: Sequence[Group], names: list[str]) -> list[str]:
    """Leave out where the data lie, as long as the other settings tell as many groups apart."""
    for place in PLACES:
        others = [name for name in names if name != place]
        if len(others) < len(names) and _distinct(groups, others) == _distinct(groups, names):
            names = others
    return names


def named_settings(groups: Sequence[Group], by: Sequence[str]) -> list[str]:
    """Return the whole names of the settings in `by`. Raises UserError for one that no group has, or that is averaged over."""
    valid = {name for group in groups for name in group.facts}
    names = []
    for name in by:
        if any(name in (key, key.rpartition(".")[2]) for group in groups for key in group.over):
            raise UserError(
                f"by: the {name} tells no groups apart, they are averages over it; choose runs with where=[{name}=…], or "
                "say with over= what to average over."
            )
        names.append(full_name(name, valid, what="setting in by"))
    return names


def varying(groups: Sequence[Group], names: Sequence[str]) -> list[str]:
    """Return those of the settings that have not one value in all groups."""
    return [name for name in names if len({as_text(group.fact(name)) for group in groups}) > 1]


def labels(groups: Sequence[Group], *, by: Sequence[str] = (), without: Sequence[str] = ()) -> list[str]:
    """Return a name for each group that says in what it differs from the others, such as "scat_wrn, lr=0.2".

    A single group is named by its model and data. Where the groups differ in more than three settings, each tells those that
    its model, its data and its other choices do not bring with them.

    Args:
        by: the settings to name first. Others follow only where these do not tell all groups apart.
        without: settings that are told elsewhere.
    """
    names = [name for name in _told(groups, by) if name not in without]
    short = short_names(groups, names)
    return [", ".join(_words(group, names, short, few=bool(by) or len(names) <= FEW)) for group in groups]


def short_names(groups: Sequence[Group], names: Sequence[str]) -> dict[str, str]:
    """Return the settings' names without their sections where one setting alone ends so; one letter keeps its section."""
    ends = Counter(_last(name) for name in {name for group in groups for name in group.facts})
    return {name: _last(name) if ends[_last(name)] <= 1 and len(_last(name)) > 1 else _two(name) for name in names}


def _last(name: str) -> str:
    return name.rpartition(".")[2].rpartition("/")[2]


def _two(name: str) -> str:
    return ".".join(name.split(".")[-2:]) if name.count(".") > 1 and len(_last(name)) == 1 else name


def _told(groups: Sequence[Group], by: Sequence[str]) -> list[str]:
    names = telling_settings(groups, by)
    told = varying(groups, names)
    for name in telling_settings(groups) if by else ():
        if _distinct(groups, [*told, name]) > _distinct(groups, told):
            told.append(name)
    return told or names[:2]


def _words(group: Group, names: Sequence[str], short: Mapping[str, str], *, few: bool) -> list[str]:
    """Return the parts of a group's name."""
    found = []
    for name in names:
        value = group.fact(name)
        if name in COLUMNS:
            found.append(str(value))
        elif value == ABSENT or not (few or is_own(name, group)):
            continue
        else:
            found.append(f"{short[name]}={setting_text(value)}")
    return found


def setting_text(value: Any) -> str:
    """Write a setting as on the command line."""
    if isinstance(value, list):
        return "[" + ",".join(setting_text(item) for item in value) + "]"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _distinct(groups: Sequence[Group], settings: Sequence[str]) -> int:
    return len({tuple(as_text(group.fact(name)) for name in settings) for group in groups})


def _varying(groups: Sequence[Group], kind: str) -> list[str]:
    tables = [getattr(group, kind) for group in groups]
    names = dict.fromkeys(name for table in tables for name in table)
    return [name for name in names if len({as_text(table.get(name, ABSENT)) for table in tables}) > 1]


def is_own(name: str, group: Group) -> bool:
    """Return whether a group has this setting or choice by itself, and not because another choice brings it."""
    if name in group.choices:
        return name in _METHODS or _brought(group).get(name, ABSENT) != group.choices[name]
    return _is_chosen(name, group)


def _is_implied(choice: str, groups: Sequence[Group]) -> bool:
    """Whether model and data, which have columns, bring this choice with them: a data set its augmentation, a model its head.

    Older runs have no choice where there was no such group: they are as they would be without one. A support vector machine is
    no such group, but another method than training.
    """
    return choice not in _METHODS and all(
        _brought(group).get(choice, ABSENT) == group.choices[choice] for group in groups if choice in group.choices
    )


def _is_chosen(name: str, group: Group) -> bool:
    """Whether a group's setting is other than its choices alone would make it, as far as this checkout knows them."""
    known = _composed(group.runs[0].script, tuple(group.choices.items()))
    return known is None or known.settings.get(name, ABSENT) != group.settings.get(name, ABSENT)


def _brought(group: Group) -> Mapping[str, str]:
    """The options that the choice of model and data alone brings with it; none if this checkout does not know them."""
    choices = tuple((name, group.choices[name]) for name in COLUMNS if name in group.choices)
    known = _composed(group.runs[0].script, choices) if all(_is_here(*choice) for choice in choices) else None
    return {} if known is None else known.choices


def _is_here(group: str, option: str) -> bool:
    return option in ConfigFolders.read().options(group)


class _Composed(NamedTuple):
    settings: Mapping[str, Any]
    choices: Mapping[str, str]


@functools.cache  # composing takes about a second, and groups share their choices
def _composed(script: Script, choices: tuple[tuple[str, str], ...]) -> _Composed | None:
    """Compose these choices, but for options that are not here."""
    known = [f"{group}={option}" for group, option in choices if _is_here(group, option)]
    try:
        cfg = compose(known, config_name=script)
        return _Composed(identity(cfg), dict(cfg.choices))
    except (HydraException, OmegaConfBaseException, UserError):
        return None
