"""The words that can complete a command line: commands, groups, their options, settings and their values."""

from __future__ import annotations

import dataclasses
import sys
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig, ListConfig, OmegaConf

from hybrid.commands.main import COMMANDS, load
from hybrid.configuration.composition import compose
from hybrid.configuration.help import choosable
from hybrid.configuration.hydra_arguments import config_folders_apart, is_of_cluster, is_sweep
from hybrid.configuration.paths import ConfigFolders, add_folder
from hybrid.configuration.resolvers import folder as output_folder

# Commands whose arguments compose a configuration -> its name.
CONFIGURATIONS = {
    "train": "train", "find-lr": "train", "search": "train", "svm": "svm", "classify": "classify", "describe": "describe",
    "data-stats": "data_stats", "prepare-data": "prepare_data",
    "pack": "pack",
}  # fmt: skip
_FLAGS = ("--help", "--version", "--config-dir", "--from", "--cfg", "-m")


def candidates(words: Sequence[str]) -> list[str]:
    """All words that can complete the last word, sorted. `words` are the arguments of `hybrid`; the last may be empty.

    A candidate that ends in one of = . / , goes on; any other is complete.
    """
    *before, word = words or [""]
    if not before:
        found = iter([*COMMANDS, "--help", "--version"])
    elif before[0] not in COMMANDS:
        found = iter(())
    else:
        found = _arguments(before[0], before[1:], word)
    return sorted({text for text in found if text.startswith(word)})


def _arguments(command: str, before: Sequence[str], word: str) -> Iterator[str]:
    if before[-1:] in (["--from"], ["--config-dir"]):
        yield from paths(word)
        return
    if word.startswith("-"):
        yield from _FLAGS if command in CONFIGURATIONS else ("--help", "--version")
        return
    rest, folders = config_folders_apart(before)
    for folder in reversed(folders):
        add_folder(folder)
    if command == "completion":
        yield from ("bash", "zsh", "fish")
    options = getattr(sys.modules[load(command).__module__], "Options", None)
    own = {f"{field.name}=" for field in dataclasses.fields(options)} if options else set()
    if options is not None:
        yield from _of_options(options, word)
    if command in CONFIGURATIONS and not word.startswith(tuple(own)):
        yield from _of_configuration(CONFIGURATIONS[command], rest, word)


def paths(text: str) -> Iterator[str]:
    """The files and folders whose path begins with this text; a folder ends in a slash."""
    folder, slash, beginning = text.rpartition("/")
    try:
        places = sorted(Path(folder + slash or ".").expanduser().iterdir())
    except OSError:
        return
    for place in places:
        if place.name.startswith(beginning) and (beginning or not place.name.startswith(".")):
            yield f"{folder}{slash}{place.name}{'/' * place.is_dir()}"


def _of_options(options: type, word: str) -> Iterator[str]:
    """The options of a command with a dataclass of options, or the values of the option that is being typed."""
    name, equals, value = word.partition("=")
    hints = typing.get_type_hints(options)
    fields = {field.name: field for field in dataclasses.fields(options)}
    if not equals:
        yield from (f"{key}=" for key, field in fields.items() if not field.metadata["positional"])
        if any(field.metadata["positional"] for field in fields.values()):
            yield from paths(word)
    elif name in fields:
        known = [*_choices(hints[name]), *ConfigFolders.read().options(name)]
        yield from (f"{name}={each}" for each in _in_list(known, value))
        if not known:
            yield from (f"{name}={each}" for each in _of_kind(name, value) or paths(value))


def run_folders(text: str) -> list[str]:
    """The runs' folders whose path begins with this text, and folders that hold some, with a slash.

    Where there are none, all folders with a slash, so that one can go on typing.
    """
    places = [place for place in paths(text) if place.endswith("/")]
    found = []
    for place in places:
        folder = Path(place).expanduser()
        if (folder / "config.yaml").is_file():
            found.append(place.rstrip("/"))
        elif next((True for pattern in ("*/config.yaml", "*/*/config.yaml") for _ in folder.glob(pattern)), False):
            found.append(place)
    return found or places


def _of_kind(name: str, value: str) -> list[str]:
    """The words for options of the same name in several commands: runs, sweeps, devices, checkpoints; [] for any other."""
    if name == "run":
        kept = value[: value.rfind(",") + 1]
        return [f"{kept}{each}" for each in run_folders(value[len(kept) :])]
    if name == "sweep":
        lists = Path(output_folder("HYBRID_OUTPUTS", "outputs"), "sweeps").glob("*/sweep.json")
        return ["last", *sorted(path.parent.name for path in lists)]
    return list({"device": ("auto", "cpu", "cuda"), "weights": ("last", "best")}.get(name, ()))


def _choices(annotation: Any) -> list[str]:
    """The values that a Literal or a bool admits, also within a list or beside None."""
    if annotation is bool:
        return ["true", "false"]
    if typing.get_origin(annotation) is Literal:
        return [str(choice) for choice in typing.get_args(annotation)]
    return [choice for part in typing.get_args(annotation) for choice in _choices(part)]


def _of_configuration(config_name: str, before: Sequence[str], word: str) -> Iterator[str]:
    """Groups, their options, and settings of a command that composes a configuration, as far as `before` composes it."""
    key, equals, value = word.partition("=")
    configs = ConfigFolders.read()
    groups = choosable(configs, config_name)
    if key in groups and equals:
        yield from (f"{key}={each}" for each in _in_list(configs.options(key.lstrip("+")), value))
    elif equals:
        now = OmegaConf.select(_compose(config_name, before, key), key)
        yield from (f"{key}={each}" for each in _of_kind(key.rpartition(".")[2], value) or _values(now, value))
    else:
        yield from (f"{group}=" for group in groups)
        yield from _settings(_compose(config_name, before, key), key)


def _values(now: Any, value: str) -> list[str]:
    """Values for a setting whose value is `now`: true and false, the present one, or paths where it is or may be a path."""
    if isinstance(now, bool):
        return ["true", "false"]
    if isinstance(now, DictConfig | ListConfig):
        return []
    if isinstance(now, int | float):
        return [str(now)]
    if now is None:
        return list(paths(value))
    is_path = "/" in value or "/" in str(now) or Path(str(now)).is_dir()
    return [str(now), *(paths(value) if is_path else ())]


def _in_list(options: Sequence[str], value: str) -> Iterator[str]:
    """The options as the last of several values: "a,b" gives "a," with each option."""
    kept = value[: value.rfind(",") + 1]
    return (f"{kept}{option}" for option in options)


def _compose(config_name: str, before: Sequence[str], key: str) -> DictConfig:
    """The configuration that is typed so far; the default configuration if that is not valid yet."""
    of_cluster = is_of_cluster(key) and is_sweep(before)
    name = "sweep" if of_cluster else config_name
    overrides = [text for text in before if "=" in text and is_of_cluster(text) == of_cluster and "," not in text]
    try:
        return compose(overrides, config_name=name)
    except Exception:  # whatever is wrong with it will be said when the command is given
        return compose(config_name=name)


def _settings(cfg: DictConfig, beginning: str) -> Iterator[str]:
    """The keys of the section in which a key begins: "trainer.b" gives trainer.batch_size= and all others of trainer."""
    above, dot, _ = beginning.rpartition(".")
    section = OmegaConf.select(cfg, above) if above else cfg
    if isinstance(section, DictConfig):
        for key in section:
            if above or key != "choices":
                yield f"{above}{dot}{key}{'.' if isinstance(section._get_node(key), DictConfig) else '='}"
