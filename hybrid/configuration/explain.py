"""The errors of Hydra, OmegaConf and yaml, which take several lines and advise `+key`, as one line with the valid choices."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from hybrid.configuration.paths import hint_of_unmarked
from hybrid.configuration.renamed import renamed
from hybrid.errors import closest_name, unknown_name

# Names of other programs -> the setting here, with a value that shows its form.
_ELSEWHERE = {
    "epochs": "trainer.duration='3 epochs'",
    "max_epochs": "trainer.duration='3 epochs'",
    "num_epochs": "trainer.duration='3 epochs'",
    "steps": "trainer.duration='500 steps'",
    "max_steps": "trainer.duration='500 steps'",
    "learning_rate": "optimizer.lr=…",
    "workers": "data.num_workers=…",
}
_MOST_MEANT = 3


def explain(error: Exception, compose_without: Callable[[str], DictConfig], groups: Sequence[str] = ()) -> str:
    """The error as one line with the valid choices.

    `compose_without(key)` composes the command line without its overrides of that key. `groups` are all groups from which a
    command line may choose.
    """
    text = _whole_text(error)
    if isinstance(error, OverrideParseException):
        return (
            f"cannot read the argument {error.override!r}: write key=value (quote values with spaces, commas, colons or "
            "brackets)."
        )
    if several := re.search(r"Ambiguous value for argument '([^'=]+)=([^']*)'", text):
        key, values = several.groups()
        a_list = "" if values.endswith(")") else f", {key}=[{values}] is one list"
        return f"{key}={values} are several values: -m before it makes a run of each{a_list}."
    if sweep := re.search(r"Sweep parameters '(.*)' requires --multirun", text):
        how = "`hybrid search` tries some of them" if "interval(" in sweep[1] else "-m before it makes a run of each"
        return f"{sweep[1]} are several values: {how}."
    if chosen := re.search(r"Multiple values for (\S+)\. To override", text):
        return f"{chosen[1]} is a choice of one option: write {chosen[1]}=… once, without a sign in front."
    if missing := re.search(r"(?:Could not find|In '.*?': Could not find) '([^']+)'", text):
        return _unknown_option(missing[1], text)
    if wrong := re.search(r"Could not (?:override|(?:append to|delete from) config\..*?) ?'([^']+)'", text):
        return _unknown_key(wrong[1].rstrip("."), text, compose_without, groups)
    if unread := re.search(r"at input '([^']+)'.*full_key: (\S+)", text, re.DOTALL):
        return f"{unread[2]}: {unread[1]} cannot be read: an interpolation is ${{key}} or ${{oc.env:NAME}}."
    return " ".join(text.split())


def yaml_fault(error: YAMLError) -> str:
    """The place of a mistake that makes a file no yaml, and what is wrong, in one line."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        return " ".join(str(error).split())
    problem = " ".join(str(getattr(error, "problem", None) or "it is no yaml").split())
    if "'\\t'" in problem:
        problem = "a tab: yaml is indented with spaces"
    if "<stream end>" in problem or "end of stream" in problem:
        problem = "a bracket, brace or quote above is not closed"
    return f"{mark.name}, line {mark.line + 1}: {problem}."


def _whole_text(error: Exception) -> str:
    cause = error.__cause__
    return str(error) + (f"\n{cause}" if cause is not None and isinstance(error, HydraException) else "")


def _unknown_option(option: str, text: str) -> str:
    group, _, name = option.rpartition("/")
    listed = re.search(r"Available options in '[^']*':\n((?:\t\S+\n?)+)", text)
    if not group or listed is None:
        return f"there is no configuration {option}."
    words = str(unknown_name(name, listed[1].split(), what=group))
    if group == "data" and Path(name).is_dir():
        return f"unknown data: {name}, which is a folder here: write data=folder data.root={name}."
    if group == "optimizer" and (found := _optimizer_of_torch(name)) is not None:
        words = words.replace(" Did you mean adamw?", "")
        words = words.replace(f": {name}.", f": {name}. torch has it: optimizer._target_={found} optimizer.lr=….", 1)
    return words + hint_of_unmarked(option)


def _optimizer_of_torch(name: str) -> str | None:
    """The class path of torch's optimizer of this name, in any case; torch is not loaded for it."""
    package = importlib.util.find_spec("torch")
    if package is None or package.origin is None:
        return None
    wanted = re.compile(rf"^class ({re.escape(name)})\(\w+\):", re.IGNORECASE | re.MULTILINE)
    for file in sorted((Path(package.origin).parent / "optim").glob("*.py")):
        if match := wanted.search(file.read_text(encoding="utf-8", errors="replace")):
            return f"torch.optim.{match[1]}"
    return None


def meant(name: str, cfg: DictConfig) -> str | None:
    """The settings that a name without its section, such as lr or epochs, may mean, as they are typed; None without any."""
    if name in _ELSEWHERE:
        return _ELSEWHERE[name]
    keys = list(_keys(cfg))
    exact = [key for key in keys if key.rpartition(".")[2] == name]
    if not exact and (close := closest_name(name, {key.rpartition(".")[2] for key in keys})) and len(name) > 2:
        exact = [key for key in keys if key.rpartition(".")[2] == close]
    exact = [key for key in exact if key.partition(".")[0] != "choices"]
    return " or ".join(f"{key}=…" for key in exact) if 0 < len(exact) <= _MOST_MEANT else None


def _keys(section: DictConfig, prefix: str = "") -> Iterator[str]:
    for name in section:
        node = None if OmegaConf.is_missing(section, name) else section._get_node(name)
        if isinstance(node, DictConfig) and not node._is_none():
            yield from _keys(node, f"{prefix}{name}.")
        elif prefix:
            yield f"{prefix}{name}"


def _unknown_key(key: str, text: str, compose_without: Callable[[str], DictConfig], groups: Sequence[str]) -> str:
    its_own = f"{key} is a setting of its own, neither to be added nor removed: write {key}=… without a sign in front."
    if "already at" in text:
        return its_own
    try:
        node = compose_without(key)
    except Exception:  # the rest of the command line is wrong too: then say only what Hydra says
        return " ".join(text.split("\n")[0].split())
    root, place = node, key.replace("/", ".").split("@")[0]
    parts = place.split(".")
    for depth, part in enumerate(parts):
        above = ".".join(parts[:depth])
        if not isinstance(node, DictConfig):
            return f"{above} is a single value: {place} does not exist."
        if part not in node:
            if (error := renamed(place)) is not None and _is_ours(node):
                return str(error)
            valid = {str(name) for name in node if name != "choices"} | set(() if above else groups)
            words = str(unknown_name(part, valid, what=f"key in {above}" if above else "key"))
            if (not above or part in _ELSEWHERE) and (own := meant(part, root)) and "Did you mean" not in words:
                words = words.replace(f": {part}.", f": {part}. Did you mean {own}?", 1)
            new = depth == len(parts) - 1 and "Could not override" in text
            return words + (_how_to_add(place, node) if new else "")
        node = node[part]
    return its_own


def _how_to_add(place: str, section: DictConfig) -> str:
    """A hint if the section is of a user's own class: no yaml lists the class's arguments, so `place` may be one of them."""
    if _is_ours(section):
        return ""
    return f" An argument of {section._target_} that is not listed here is added with a sign in front: +{place}=…"


def _is_ours(section: DictConfig) -> bool:
    """Whether a section is not one of a class of the user's own."""
    target = None if OmegaConf.is_missing(section, "_target_") else section.get("_target_")
    return target is None or target.split(".")[0] == "hybrid"
