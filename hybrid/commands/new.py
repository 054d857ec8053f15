"""Make a project folder of your own, small and working: a data set, a head, a recipe, a test.

    hybrid new my_project
    cd my_project && hybrid train experiment=my_experiment

In the folder and below it, every command finds its configurations (configs/) and the classes of its Python files. From other
folders `--config-dir my_project`, or $HYBRID_CONFIGS, names it.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from hybrid.configuration.arguments import command, option
from hybrid.configuration.output_paths import check_folder, writing
from hybrid.errors import UserError
from hybrid.escaping import say


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command line."""

    folder: tuple[str, ...] = option("the folder to make; it must be empty if it is there", positional=True)

    def __post_init__(self) -> None:
        if len(self.folder) != 1:
            raise UserError(f"hybrid new makes one folder, not {len(self.folder)}: {' '.join(self.folder)}.")
        path = Path(self.folder[0])
        if path.exists() and not path.is_dir():
            raise UserError(f"{path} is not a folder.")
        if path.is_dir() and any(path.iterdir()):
            raise UserError(f"{path} is not empty. Choose a folder that does not exist yet.")
        check_folder("folder", self.folder[0])


@command(Options)
def new(options: Options) -> None:
    """Copy the files and say what to type next."""
    folder = Path(options.folder[0])
    with writing("folder", str(folder)), as_file(files("hybrid") / "commands" / "template") as template:
        shutil.copytree(template, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        say(path)
    say("", f"cd {folder} && hybrid train experiment=my_experiment")
