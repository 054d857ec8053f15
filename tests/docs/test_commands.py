"""No command that the documentation shows is refused: each is read and composed as it stands, but not run.

The files that the pages write (blocks that begin with `# my_heads.py` or `# configs/…/x.yaml`) are there, as their reader has
them.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hybrid.commands.main import COMMANDS, load
from hybrid.commands.words import CONFIGURATIONS
from hybrid.configuration.arguments import parse
from hybrid.configuration.class_paths import find_class
from hybrid.configuration.combinations import expand
from hybrid.configuration.composition import compose, in_one_line
from hybrid.configuration.hydra_arguments import (
    config_folders_apart,
    is_of_cluster,
    is_sweep,
    refuse_cluster,
    refuse_deletions,
    refuse_flags,
)
from hybrid.configuration.paths import add_folder
from hybrid.runs.sweeps.launch import cluster_settings
from hybrid.runs.sweeps.search_space import Search, split_space
from hybrid.training.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "guide").glob("*.md"))]
PAGES += [*sorted((ROOT / "docs" / "lab").glob("*.md")), ROOT / "hybrid/commands/template/README.md"]
RECIPES = sorted((ROOT / "configs" / "experiment").glob("*.yaml"))
_BEFORE = re.compile(r"^(?:\$ |[A-Z_]+=\S+ |srun |torchrun .*?(?=-m hybrid))*")
_START = re.compile(r"^(?:hybrid|python -m hybrid|-m hybrid|python train\.py(?= ))(?: (?! )|$)")
# What stands for something else, and what a reader would write there.
_INSTEAD = {
    "search experiment=cifar10_few_labels_tuned model=scat_wrn data.subset.n=500 …":
        "search experiment=cifar10_few_labels_tuned model=scat_wrn data.subset.n=500 trials=1 optimizer.lr=0.1,0.2",
    "train -m … ": "train -m seed=0,1 ",
    "data=my_scenes ": "data=digits ",
}  # fmt: skip
_REFUSED = {"train model=scat_resnt"}  # shown with its error
_FILES = {"my_configs/experiment/mine.yaml": "# @package _global_\nseed: 1\n"}  # which no page writes out


def commands_of(text: str, indent: str = "    ") -> Iterator[str]:
    """The words after `hybrid` of every command in a text's lines of code; a backslash continues a line."""
    text = re.sub(r" *\\\n\s*(?:#\s+)?", " ", text)
    fenced = re.findall(r"^```(?:sh|bash|console|shell|text)?\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in fenced for line in block.splitlines()]
    lines += [line.removeprefix(indent) for line in text.splitlines() if line.startswith(indent)]
    for part in (part for line in lines for part in re.split(r" && | \| ", line.strip())):
        part = re.sub(r"\s{3,}.*$| &$", "", _BEFORE.sub("", part))  # an explanation stands apart
        if start := _START.match(part):
            words = ("train " if "train.py" in start[0] else "") + part[start.end() :]
            yield words.split(" #")[0].strip()


def _all() -> Iterator[str]:
    for page in PAGES:
        yield from commands_of(page.read_text())
    for recipe in RECIPES:
        yield from commands_of(recipe.read_text(), "#   ")
    for name in COMMANDS:
        yield from commands_of(sys.modules[load(name).__module__].__doc__ or "")


SHOWN = sorted(set(_all()) - _REFUSED - {""})


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with the files that the pages write, and in it a project as `hybrid new` makes it."""
    place, texts = tmp_path_factory.mktemp("reader"), dict(_FILES)
    shutil.copytree(ROOT / "hybrid" / "commands" / "template", place / "made")
    for page in PAGES:
        for block in re.findall(r"^```(?:python|yaml)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
            if name := re.match(r"# ([\w/]+\.(?:py|yaml))\n", block):
                texts[name[1]] = texts.get(name[1], "") + block[name.end() :]  # pages add to a file
    for name, text in texts.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    return place


@pytest.fixture(autouse=True)
def _reader(folder, monkeypatch):
    monkeypatch.chdir(folder)
    for name in ("HYBRID_CONFIGS", "HYBRID_DATA", "HYBRID_OUTPUTS"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in {path.stem for path in folder.rglob("*.py")} & set(sys.modules):
        del sys.modules[name]


def test_the_documentation_is_full_of_them():
    assert len(SHOWN) > 130 and {words.split()[0] for words in SHOWN} > set(COMMANDS)


@pytest.mark.parametrize("words", SHOWN)
def test_a_command_that_is_shown_is_not_refused(words, folder, monkeypatch):
    for logger in ("wandb", "mlflow"):  # which need not be installed here
        monkeypatch.setattr(f"hybrid.runs.{logger}_logger.require", lambda module: None)
    if "my_experiment" in words:
        monkeypatch.chdir(folder / "made")
    for placeholder, meant in _INSTEAD.items():
        words = words.replace(placeholder, meant)
    command, *arguments = shlex.split(words, comments=True)
    arguments, folders = config_folders_apart([text for text in arguments if text != "…"])
    for path in folders:
        add_folder(path)
    if command.startswith("--") or "--help" in arguments:
        return
    assert command in COMMANDS
    if command == "search":
        options = sys.modules[load(command).__module__].Options
        own = [
            text for text in arguments if text.split("=")[0] in {field.name for field in dataclasses.fields(options)}
        ]
        parse(options, own)
        fixed, space = split_space([text for text in arguments if text not in own])
        examples = Search(fixed=fixed, space=space, metric="validation/top1", pruner="none", seed=0).examples()
        check([*fixed, *examples], "train")
    elif command in CONFIGURATIONS:
        compose_all(arguments, CONFIGURATIONS[command])
    elif command != "completion":
        parse(sys.modules[load(command).__module__].Options, arguments)


def compose_all(arguments: list[str], config_name: str) -> None:
    """Compose as the command does: of a sweep the last run."""
    if arguments[:1] == ["--from"]:
        assert len(arguments) == 2 or (len(arguments) == 3 and arguments[2].startswith("trust="))
        return
    several = is_sweep(arguments) or (config_name == "prepare_data" and any("," in text for text in arguments))
    arguments = [text for text in arguments if text not in ("-m", "--multirun")]
    refuse_flags(arguments)
    refuse_deletions(arguments, config_name)
    if several:
        cluster_settings([text for text in arguments if is_of_cluster(text)])
        runs = expand([text for text in arguments if not is_of_cluster(text)])
        check(runs[-1], config_name)
    else:
        refuse_cluster(arguments)
        check(arguments, config_name)


def check(overrides: Sequence[str], config_name: str) -> None:
    """Compose, find every class, and read the settings of a run of training."""
    try:
        cfg = compose(overrides, config_name=config_name)
    except (HydraException, OmegaConfBaseException) as error:
        pytest.fail(in_one_line(error, overrides, config_name=config_name))
    for path in targets(OmegaConf.to_container(cfg, resolve=True)):
        find_class(path)
    if config_name == "train":
        Settings.of(cfg)


def targets(node: Any) -> Iterator[str]:
    """Every class path."""
    if isinstance(node, dict):
        yield from (node[name] for name in ("_target_",) if name in node)
        node = list(node.values())
    for value in node if isinstance(node, list) else ():
        yield from targets(value)
