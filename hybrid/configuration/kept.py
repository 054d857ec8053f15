"""Whole configurations that are kept in files, such as a run's config.yaml: read as data, and written without orders or secrets.

Such a file may come from somebody else. It is read within bounds, it has no aliases (1 kB of them can stand for 9^8 values), and
nothing in it is computed: `${oc.env:HOME}` stays these characters. Which classes it may name, hybrid/configuration/trust.py
decides.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf._utils import get_yaml_loader
from omegaconf.basecontainer import BaseContainer

from hybrid.configuration.explain import yaml_fault
from hybrid.configuration.renamed import upgrade
from hybrid.configuration.signature import is_signed, sign
from hybrid.errors import UserError, first_line

_LARGEST, _MOST, _DEEPEST = 2 << 20, 100_000, 50  # bytes, values, sections within sections
_VARIABLE = re.compile(r"(?<!\\)(?:\\\\)*\$\{\s*oc\.env\s*:")  # with no escape before it
_TEXT = re.compile(r"(?<!\\)(?:\\\\)*\\\$\{")  # an escaped ${, which is these two characters
_DECODED = re.compile(r"\$\{\s*oc\.decode\s*:\s*\$\{\s*oc\.env\s*:")
_INTERPOLATION = re.compile(r"(\\*)\$\{")


def read_kept(path: Path, *, live: bool = False, upgraded: bool = True) -> Any:
    """The configuration in a file: a DictConfig, or what else the file holds.

    live: whether environment variables (`${oc.env:NAME}`) are looked up where the user's own run has written the file.
    upgraded: whether settings of earlier versions get their new names.
    An order that the run was given, run.restart, is not given again. Raises UserError, naming the file, for whatever is wrong
    with it.
    """
    text, content = _read(path, upgraded=upgraded)
    if not isinstance(content, dict):
        return content
    return OmegaConf.create(content if live and is_signed(text) else _as_text(content))


def read_plain(path: Path) -> Any:
    """The same as plain data, many times as fast: dicts, lists and values, with every `${…}` as it is written."""
    return _read(path)[1]


def _read(path: Path, *, upgraded: bool = True) -> tuple[str, Any]:
    """(text, content) of the file, the orders taken back."""
    try:
        text = _text(path)
        _check_size(path, text)
        content = yaml.load(text, Loader=_loader())
        if isinstance(content, dict):
            _take_orders_back(content)
            content = upgrade(content) if upgraded else content
        return text, content
    except yaml.YAMLError as error:
        raise UserError(f"{path} cannot be read: {yaml_fault(error).replace('<unicode string>, ', '')}") from error
    except UserError:
        raise
    except Exception as error:  # whatever a hostile or damaged file makes a reader raise
        reason = getattr(error, "strerror", None) or " ".join(first_line(error).split())[:120]
        raise UserError(f"{path} cannot be read: {reason}.") from error


@functools.cache
def _loader() -> Any:
    """OmegaConf's own, a SafeLoader, so that numbers are read as in configs/; with libyaml's parser, where there is one."""
    own = get_yaml_loader()
    if not hasattr(yaml, "CSafeLoader"):
        return own

    class Loader(yaml.cyaml.CParser, own):
        def __init__(self, stream: str) -> None:
            yaml.cyaml.CParser.__init__(self, stream)
            yaml.constructor.SafeConstructor.__init__(self)
            yaml.resolver.Resolver.__init__(self)

    return Loader


def is_own(path: Path) -> bool:
    """Whether a run of this user's has written the file, as it is now."""
    try:
        return is_signed(_text(path))
    except (OSError, ValueError):
        return False


def as_kept(cfg: DictConfig) -> str:
    """The text of a configuration that is kept: all its values, but for secrets, and no order.

    It is signed where it names classes that are not hybrid's own, or environment variables. It is not where it has the characters
    `${` of a foreign configuration: what is signed is looked up.
    """
    from hybrid.configuration.class_paths import class_paths

    cfg = cfg.copy()
    _take_orders_back(cfg)
    written = OmegaConf.to_container(cfg, resolve=False)
    text = OmegaConf.to_yaml(OmegaConf.create(_as_text(plain(cfg))), resolve=True)
    to_sign = _names_variables(written) or any(True for _ in class_paths(cfg))
    return sign(text) if to_sign and not _has(_TEXT, written) else text


def plain(cfg: DictConfig) -> dict[str, Any]:
    """All values of a configuration, interpolations computed. A value from the environment stays the text `${oc.env:NAME}`.

    Such a value may be a password, and what is printed or kept goes to others.
    """
    written = OmegaConf.to_container(cfg, resolve=False)
    if not _names_variables(written):
        return OmegaConf.to_container(cfg, resolve=True)
    with _variables_as_text():
        return _with_decoded(OmegaConf.to_container(cfg, resolve=True), written)


def _text(path: Path) -> str:
    if path.stat().st_size > _LARGEST:
        raise UserError(f"{path} cannot be read: it has more than {_LARGEST >> 20} MiB, which no configuration has.")
    with path.open("rb") as file:
        return file.read(_LARGEST + 1).decode()


def _check_size(path: Path, text: str) -> None:
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent):
            line = event.start_mark.line + 1
            raise UserError(
                f"{path} cannot be read: it has an alias (*{event.anchor}, line {line}), which no run writes."
            )
        if count > _MOST or depth > _DEEPEST:
            raise UserError(
                f"{path} cannot be read: it holds more than {_MOST:,} values, or {_DEEPEST} levels of them."
            )


def _as_text(node: Any) -> Any:
    """The node with every interpolation escaped, so that it is read as the characters that it is."""
    if isinstance(node, dict):
        return {key: _as_text(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_as_text(value) for value in node]
    return _INTERPOLATION.sub(lambda found: f"{found[1] * 2}\\${{", node) if isinstance(node, str) else node


def _take_orders_back(cfg: DictConfig | dict[str, Any]) -> None:
    """run.restart is an order for one start: who repeats the run, or continues it, has not given it."""
    run = cfg.get("run")
    if isinstance(run, DictConfig | dict) and run.get("restart") not in (None, False):
        run["restart"] = False


def _names_variables(node: Any) -> bool:
    return _has(_VARIABLE, node)


def _has(pattern: re.Pattern[str], node: Any) -> bool:
    if isinstance(node, dict):
        node = list(node.values())
    if isinstance(node, list):
        return any(_has(pattern, each) for each in node)
    return isinstance(node, str) and pattern.search(node) is not None


@contextlib.contextmanager
def _variables_as_text() -> Iterator[None]:
    def named(name: str, *default: Any) -> str:
        return "${oc.env:" + ",".join([name, *(json.dumps(each, ensure_ascii=False) for each in default)]) + "}"

    before = BaseContainer._resolvers["oc.env"]
    OmegaConf.register_new_resolver("oc.env", named, replace=True)
    try:
        yield
    finally:
        BaseContainer._resolvers["oc.env"] = before


def _with_decoded(node: Any, written: Any) -> Any:
    """The node with `${oc.decode:${oc.env:NAME}}` as it was written: without it a number would become a text."""
    if isinstance(node, dict):
        return (
            {key: _with_decoded(value, written.get(key)) for key, value in node.items()}
            if isinstance(written, dict)
            else node
        )
    if isinstance(node, list):
        return [_with_decoded(*pair) for pair in zip(node, written, strict=True)] if isinstance(written, list) else node
    return written if isinstance(written, str) and _DECODED.match(written) else node
