"""Check the yaml files of a user's own before Hydra composes them: a mistake is one line with the file and the line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from hybrid.configuration.explain import yaml_fault
from hybrid.configuration.hydra_arguments import chosen_groups
from hybrid.configuration.paths import CONFIGS, ConfigFolders
from hybrid.errors import UserError, unknown_name

_GLOBAL = re.compile(r"^\s*#\s*@package\s+_global_\s*$", re.MULTILINE)
_KINDS = {MappingNode: "a section", SequenceNode: "a list", ScalarNode: "a single value"}


def check_own_files(overrides: Sequence[str], config_name: str) -> None:
    """Raises UserError for the first mistake in a user's file that a command line of these overrides is composed from."""
    folders = ConfigFolders.read()
    if not folders.users:
        return
    groups = chosen_groups(config_name)
    waiting = [f"{group}/{option}" for group, option in groups.items() if option is not None]
    waiting = [*_chosen(overrides), *waiting]
    seen = set()
    while waiting:
        name = waiting.pop(0)
        path = folders.find(name)
        if path is None or path in seen or path.is_relative_to(CONFIGS):
            continue
        seen.add(path)
        waiting += _check(path, name, sections={*groups, "run"} - {"experiment", "debug"})


def _chosen(overrides: Sequence[str]) -> Iterator[str]:
    """ "model/head/mine" for model/head=mine, also for each of several values."""
    for text in overrides:
        group, _, options = text.lstrip("+~").partition("=")
        yield from (f"{group.partition('@')[0]}/{option}" for option in options.split(","))


def _check(path: Path, name: str, *, sections: set[str]) -> list[str]:
    """Check a file; return the names of the configurations that it starts from."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: it is no text in UTF-8.") from error
    node = _parse(path)
    if node is None:
        return []
    if not isinstance(node, MappingNode):
        _refuse(path, node, f"it is {_KINDS[type(node)]}, and must be settings, each `key: value`")
    _check_keys(path, node)
    values = {key.value: (key, value) for key, value in node.value}
    if _GLOBAL.search(text):
        _check_sections(path, {key: pair for key, pair in values.items() if key in sections})
    elif name.split("/")[0] == "experiment":
        raise UserError(f"{path}, line 1: a recipe begins with the line `# @package _global_`.")
    return _check_defaults(path, values["defaults"][1], name) if "defaults" in values else []


def _parse(path: Path) -> Node | None:
    try:
        with path.open(encoding="utf-8") as file:  # whose name the error has
            return yaml.compose(file, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise UserError(yaml_fault(error)) from error


def _check_keys(path: Path, node: Node) -> None:
    """No key is given twice, in any section."""
    if isinstance(node, MappingNode):
        first: dict[str, Node] = {}
        for key, value in node.value:
            if key.value in first:
                _refuse(path, key, f"{key.value} is given a second time (first in line {_line(first[key.value])})")
            first[key.value] = key
            _check_keys(path, value)
    elif isinstance(node, SequenceNode):
        for value in node.value:
            _check_keys(path, value)


def _check_sections(path: Path, values: dict[str, tuple[Node, Node]]) -> None:
    for name, (key, value) in values.items():
        if isinstance(value, MappingNode) or str(value.value).startswith("${"):
            continue
        if value.tag.endswith(":null"):
            _refuse(path, key, f"{name} is empty: leave it out, or write its settings below it, indented")
        shown = f"'{value.value}'" if isinstance(value, ScalarNode) else _KINDS[type(value)]
        _refuse(path, value, f"{name} is {shown}, and must be a section of settings: `{name}: {{key: value}}`")


def _check_defaults(path: Path, node: Node, name: str) -> list[str]:
    if not isinstance(node, SequenceNode):
        _refuse(path, node, "defaults is a list: each line of it begins with `- `")
    names, group = [], name.rpartition("/")[0]
    for entry in node.value:
        if isinstance(entry, ScalarNode):
            names.append(f"{group}/{entry.value}")
        elif isinstance(entry, MappingNode):
            names += [_default(path, key, value, group) for key, value in entry.value]
    return [each.lstrip("/") for each in names]


def _default(path: Path, key: Node, value: Node, group: str) -> str:
    *words, chosen = str(key.value).split()
    if unknown := [word for word in words if word not in ("override", "optional")]:
        _refuse(path, key, f"{unknown[0]} is no word of a defaults list: write `override {chosen}: {value.value}`")
    chosen = chosen.partition("@")[0]
    folders = ConfigFolders.read()
    if "override" in words and not folders.options(chosen.strip("/")):
        valid = [each for each in folders.groups() if each != "experiment"]
        raise UserError(f"{path}, line {_line(key)}: {unknown_name(chosen.strip('/'), valid, what='group')}")
    if group == "experiment" and not words and not chosen.startswith("/"):
        _refuse(path, key, f"write `override /{chosen}: {value.value}`: {chosen} is not within experiment")
    return f"{chosen}/{value.value}" if chosen.startswith("/") else f"{group}/{chosen}/{value.value}"


def _line(node: Node) -> int:
    return node.start_mark.line + 1


def _refuse(path: Path, node: Node, words: str) -> NoReturn:
    raise UserError(f"{path}, line {_line(node)}: {words}.")
