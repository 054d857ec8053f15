"""Checks of a command line before Hydra composes it: flags, --config-dir, --from, -m, and deletions such as ~model."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Sequence
from pathlib import Path
from typing import Literal, get_args

from omegaconf import DictConfig, OmegaConf

from hybrid.configuration.class_paths import use_recorded_folders
from hybrid.configuration.kept import read_kept
from hybrid.configuration.paths import ConfigFolders
from hybrid.configuration.trust import check_trusted
from hybrid.distributed.launch import Launch
from hybrid.errors import UserError

# Hydra's own displays: they print the configuration, or where its parts come from, and run nothing.
_DISPLAYS = {"--cfg", "-c", "--info", "-i"}
_FLAGS = {*_DISPLAYS, "--multirun", "-m", "--package", "-p", "--resolve"}
_FOLDER_FLAGS = ("--config-dir", "-cd")


Script = Literal["train", "svm", "classify"]  # the commands that make a run's folder


def script_of(sections: Container[str]) -> Script:
    """The command that a configuration with these sections is for: `hybrid svm` has svm, `hybrid classify` has classifier."""
    return "svm" if "svm" in sections else "classify" if "classifier" in sections else "train"


def program_of(script: Script) -> str:
    """The words that start a command."""
    return f"hybrid {script}"


def config_folders_apart(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The arguments without `--config-dir DIR` or `--config-dir=DIR`, and these folders, in their order."""
    rest, folders, waiting = [], [], False
    for text in arguments:
        flag, equals, value = text.partition("=")
        if waiting:
            folders.append(text)
            waiting = False
        elif flag in _FOLDER_FLAGS and equals:
            folders.append(value)
        elif flag in _FOLDER_FLAGS:
            waiting = True
        else:
            rest.append(text)
    return rest, [*folders, ""] if waiting else folders


def taken_as_they_are(arguments: Sequence[str]) -> list[str]:
    """The arguments with quotes around a value that begins with ~ or holds another "=": Hydra reads neither.

    A value is what follows the first "=". One with quotes, brackets or commas is left to Hydra's syntax.
    """
    return [_quoted(text) for text in arguments]


def _quoted(text: str) -> str:
    name, _, value = text.partition("=")
    free = not re.search(r"""['"\[\]{}(),\\$]""", value)
    if text.startswith(("-", "=")) or not re.fullmatch(r"[~+]*[\w./@]+", name) or not free or value != value.strip():
        return text
    return f"{name}='{value}'" if "=" in value[1:] or value.startswith("~") else text


def is_display(arguments: Sequence[str]) -> bool:
    """Whether the command only prints a configuration."""
    return any(text.split("=")[0] in _DISPLAYS for text in arguments)


def is_sweep(arguments: Sequence[str]) -> bool:
    """Whether the command asks for several runs."""
    return any(flag in arguments for flag in ("-m", "--multirun"))


def is_of_cluster(override: str) -> bool:
    """Whether an override belongs to `cluster`, which says where the runs of a sweep run."""
    return re.match(r"[+~]*cluster\b", override) is not None


def section_of(override: str) -> str:
    """The section or group at the top of an override: "model" of model=…, model/head=… and +model.head.hidden=…"""
    return re.split(r"[=./@]", override.lstrip("+~"), maxsplit=1)[0]


def refuse_flags(arguments: Sequence[str], meant: Callable[[str], str | None] = lambda name: None) -> None:
    """Raises UserError for --lr 0.1 and the like, which Hydra would answer with a page of usage.

    `meant` gives the setting, as it is typed, that an option's name stands for.
    """
    for text in arguments:
        if text.split("=")[0] == "--from":
            raise UserError("--from FILE takes the configuration whole: it stands first, and nothing beside the file.")
        if text.startswith("-") and text.split("=")[0] not in _FLAGS:
            name = text.lstrip("-").split("=")[0] or "key"
            written = meant(name.replace("-", "_")) or f"{name}=value"
            raise UserError(f"unknown option {text}: settings are written {written}; --help lists them all.")


def refuse_many_processes() -> None:
    """Raises UserError for a sweep under torchrun or srun."""
    launch = Launch.read()
    if launch.manner == "torchrun" or launch.size > 1:
        raise UserError(
            f"a sweep (-m) does not run under {launch.manner}, where every process would sweep: start it with "
            f"hybrid train -m …; for several GPUs per run, start {launch.manner} once for each of its runs."
        )


def refuse_cluster(arguments: Sequence[str]) -> None:
    """Raises UserError for cluster=… beside a single run."""
    if any(map(is_of_cluster, arguments)):
        raise UserError("`cluster=` applies to sweeps: add -m, also for a sweep of one run.")


def refuse_deletions(arguments: Sequence[str], config_name: str) -> None:
    """Raises UserError for ~model and the like, which leave a run without a part that it must have."""
    groups, whole = chosen_groups(config_name), _root(config_name)
    for text in arguments:
        name = text.removeprefix("~").split("=")[0]
        if not text.startswith("~") or groups.get(name, ...) is None:
            continue
        if name in groups:
            raise UserError(f"{text} leaves nothing in the place of {name}: choose another with {name}=….")
        if name in whole:
            form = f"{name}.KEY=…" if isinstance(whole[name], DictConfig) else f"{name}=…"
            raise UserError(f"{text}: {name} cannot be left out. Change it with {form}.")


def chosen_groups(config_name: str) -> dict[str, str | None]:
    """Group -> the option that a command's configuration chooses, None for no option: {"model": "scat_resnet", …}."""
    pairs = [pair for entry in _root(config_name).defaults if isinstance(entry, DictConfig) for pair in entry.items()]
    return {str(group): option for group, option in pairs if not str(group).startswith("override ")}


def choosable_groups(config_name: str) -> list[str]:
    """The groups that a command line may choose from, those of a sweep among them; every command takes recipes."""
    more = chosen_groups("sweep") if config_name == "train" else ["experiment"]
    return [*chosen_groups(config_name), *more]


def _root(config_name: str) -> DictConfig:
    return OmegaConf.load(ConfigFolders.read().find(config_name))


def read_whole(arguments: Sequence[str], config_name: str = "train") -> DictConfig:
    """The configuration of `--from FILE`; FILE may also be a run's folder, whose config.yaml is read.

    `trust=[package]` may stand beside it: what the file may name, if no run of this user has written it.

    `config_name` is the configuration of the command that is to repeat the run. Raises UserError if another command made it.
    """
    trust = [name for text in arguments if text.startswith("trust=") for name in _names(text)]
    arguments = [text for text in arguments if not text.startswith("trust=")]
    if len(arguments) != 1:
        raise UserError("--from takes one file, such as a run's config.yaml, and nothing beside it but trust=[…].")
    path = Path(arguments[0])
    if path.is_dir():
        path = path / "config.yaml"
        if not path.is_file():
            raise UserError(f"--from {arguments[0]}: it is not a run's folder, as it has no config.yaml.")
    cfg = read_kept(path, live=True)
    if not isinstance(cfg, DictConfig) or "choices" not in cfg:
        raise UserError(f"--from {arguments[0]}: it is not the configuration of a run.")
    if config_name in get_args(Script) and (script := script_of(cfg)) != config_name:
        right = f"{program_of(script)} --from {arguments[0]}"
        raise UserError(f"--from {arguments[0]}: another command made this run; write {right}.")
    check_trusted(cfg, path, trust=trust)
    use_recorded_folders(path.parent, cfg)
    return cfg


def _names(text: str) -> list[str]:
    """The names in trust=[a,b] or trust=a."""
    return [name.strip() for name in text.partition("=")[2].strip("[]").split(",") if name.strip()]
