"""What is looked at in a command line before Hydra composes it: flags, whole configurations, sweeps, parts left out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from hybrid.configuration.paths import CONFIGS
from hybrid.configuration.renamed import upgrade
from hybrid.distributed.launch import Launch
from hybrid.errors import UserError

_FLAGS = {  # Hydra's own
    "--cfg", "-c", "--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp", "--experimental-rerun",
    "--hydra-help", "--info", "-i", "--multirun", "-m", "--package", "-p", "--resolve", "--run", "-r",
    "--shell-completion", "-sc",
}  # fmt: skip


Script = Literal["train", "fit_svm"]  # what makes a run's folder


def script_of(choices: Mapping[str, str]) -> Script:
    """Which command made a run, by the options that it chose: the name of its configuration in configs/, too."""
    return "fit_svm" if "svm" in choices else "train"


def program_of(script: Script) -> str:
    """What is typed to start it."""
    return "python train.py" if script == "train" else f"python scripts/{script}.py"


def is_sweep(arguments: Sequence[str]) -> bool:
    """Whether the command asks for several runs."""
    return any(flag in arguments for flag in ("-m", "--multirun"))


def is_of_cluster(override: str) -> bool:
    """Whether it is about where the runs of a sweep run, not about what they are."""
    return re.match(r"[+~]*cluster\b", override) is not None


def refuse_flags(arguments: Sequence[str]) -> None:
    """What other programs write as --lr 0.1: Hydra would answer with a page of usage."""
    for text in arguments:
        if text.split("=")[0] == "--from":
            raise UserError("--from FILE takes the configuration whole: it stands first, and nothing beside the file.")
        if text.startswith("-") and text.split("=")[0] not in _FLAGS:
            name = text.lstrip("-").split("=")[0] or "key"
            raise UserError(f"unknown option {text}: settings are written {name}=value; --help lists them all.")


def refuse_many_processes() -> None:
    """A sweep under torchrun."""
    launch = Launch.read()
    if launch.manner == "torchrun" or launch.size > 1:
        raise UserError(
            f"a sweep (-m) does not run under {launch.manner}, where every process would sweep: start it with "
            f"python train.py -m …; for several GPUs per run, start {launch.manner} … train.py once for each of its runs."
        )


def refuse_cluster(arguments: Sequence[str]) -> None:
    """cluster=… for a single run."""
    if any(map(is_of_cluster, arguments)):
        raise UserError("cluster says where the runs of a sweep run: add -m, also for a sweep of one run.")


def refuse_deletions(arguments: Sequence[str], config_name: str) -> None:
    """~model and the like, which leave a run without a part that it must have."""
    groups, whole = chosen_groups(config_name), OmegaConf.load(CONFIGS / f"{config_name}.yaml")
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
    """Group -> the option that a configuration of `configs/` chooses, None for no one: {"model": "scat_resnet", …}."""
    listed = OmegaConf.load(CONFIGS / f"{config_name}.yaml").defaults
    pairs = [pair for entry in listed if isinstance(entry, DictConfig) for pair in entry.items()]
    return {str(group): option for group, option in pairs if not str(group).startswith("override ")}


def choosable_groups(config_name: str) -> list[str]:
    """The groups that a command line may choose from, those of a sweep among them."""
    return [*chosen_groups(config_name), *(chosen_groups("sweep") if config_name == "train" else ())]


def read_whole(arguments: Sequence[str], config_name: str = "train") -> DictConfig:
    """The configuration of `--from FILE`; in place of its config.yaml a run's folder will do.

    `config_name` is the command that is to repeat the run: the one that made it, if that is said.
    """
    if len(arguments) != 1:
        raise UserError("--from takes one file, such as a run's config.yaml, and nothing beside it.")
    path = Path(arguments[0])
    if path.is_dir():
        path = path / "config.yaml"
        if not path.is_file():
            raise UserError(f"--from {arguments[0]}: it is not a run's folder, as it has no config.yaml.")
    try:
        cfg = upgrade(OmegaConf.load(path))
    except (OSError, YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"--from {arguments[0]} cannot be read: {str(error).splitlines()[0]}.") from error
    if not isinstance(cfg, DictConfig) or "choices" not in cfg:
        raise UserError(f"--from {arguments[0]}: it is not the configuration of a run.")
    if config_name in get_args(Script) and (script := script_of(cfg.choices)) != config_name:
        right = f"{program_of(script)} --from {arguments[0]}"
        raise UserError(f"--from {arguments[0]}: another command made this run; write {right}.")
    return cfg
