"""Where configurations and a user's own classes lie, and the folders that environment variables name.

hybrid's own configurations are package data. A user's own folders stand before them: each holds groups and recipes in the
same layout (`model/my_model.yaml`, `experiment/my_recipe.yaml`), and the first folder that has a file wins. They are, in this
order, the folders of `--config-dir`, those of $HYBRID_CONFIGS, and the project of the current folder.

A project is a folder with a file `hybrid.yaml`. Its configurations are in `configs/`, and its Python files beside it.
"""

from __future__ import annotations

import dataclasses
import os
from importlib.resources import files
from pathlib import Path

import hybrid.configuration.resolvers  # noqa: F401  (yaml files use them)
from hybrid.errors import UserError

VARIABLE = "HYBRID_CONFIGS"  # the user's own folders, with the separator of $PATH between them
MARKER = "hybrid.yaml"  # the file that makes a folder a project; nothing is read from it


def _own_configs() -> Path:
    """`hybrid/configs` of an installed package; `configs/` at the top of a checkout, where the wheel takes it from."""
    package = Path(str(files("hybrid")))
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


CONFIGS = _own_configs()


@dataclasses.dataclass(frozen=True)
class ConfigFolders:
    """The folders in which configurations are looked for, the first one first."""

    folders: tuple[Path, ...]

    @classmethod
    def read(cls) -> ConfigFolders:
        """The folders of $HYBRID_CONFIGS, that of the current project, then hybrid's own.

        Raises UserError for a folder of the variable that does not exist.
        """
        own = [_configs_of(folder) for folder in _named()]
        project = current_project()
        if project is not None and (project / "configs").is_dir():
            own.append(project / "configs")
        return cls(tuple(dict.fromkeys([*own, CONFIGS])))

    @property
    def users(self) -> tuple[Path, ...]:
        """The user's own folders."""
        return self.folders[:-1]

    def find(self, name: str) -> Path | None:
        """The yaml file of a configuration such as "train" or "model/scat_wrn"; None if no folder has it."""
        paths = (folder / f"{name}.yaml" for folder in self.folders)
        return next((path for path in paths if path.is_file()), None)

    def options(self, group: str) -> list[str]:
        """The names that a group such as "model/head" offers, sorted."""
        return sorted({path.stem for folder in self.folders for path in (folder / group).glob("*.yaml")})

    def groups(self) -> list[str]:
        """All groups, sorted; a group within another is "model/head"."""
        found = {
            path.parent.relative_to(folder).as_posix() for folder in self.folders for path in folder.rglob("*.yaml")
        }
        return sorted(found - {"."})


def current_project() -> Path | None:
    """The nearest folder that is a project, from the current one upwards; None if there is none.

    The file that marks it must belong to the owner of the current folder: in a folder such as /tmp, which all users of a
    machine share, nobody makes a project for the others.
    """
    here = _current()
    if here is None:
        return None
    owner = here.stat().st_uid
    for folder in (here, *here.parents):
        if (folder / MARKER).is_file() and (folder / MARKER).stat().st_uid == owner:
            return folder
    return None


def code_folders() -> list[Path]:
    """Where the classes that a yaml names are looked for, behind the places where Python looks for everything.

    They are the current folder, the current project, and the folders that hold the configurations of $HYBRID_CONFIGS.
    """
    named = [_configs_of(folder).parent for folder in _named()]
    return list(dict.fromkeys(folder for folder in (_current(), current_project(), *named) if folder is not None))


def replaced_by_project() -> list[Path]:
    """The files of the current project that are read in place of files of hybrid's own, sorted."""
    project = current_project()
    if project is None or project / "configs" in {_configs_of(folder) for folder in _named()}:
        return []
    found = (path for path in (project / "configs").rglob("*.yaml"))
    return sorted(path for path in found if (CONFIGS / path.relative_to(project / "configs")).is_file())


def hint_of_unmarked(option: str) -> str:
    """A sentence for the user who has this option in configs/ of the current folder, which is not marked as a project."""
    file = Path("configs", f"{option}.yaml")
    if current_project() is not None or not file.is_file():
        return ""
    return f" {file} is not read: an empty file {MARKER} beside configs makes this folder a project."


def add_folder(path: str) -> None:
    """Look for configurations and classes in this folder first, in this process and in those that it starts.

    Raises UserError if it does not exist.
    """
    folder = Path(path).absolute()
    if not path:
        raise UserError("--config-dir needs a folder: --config-dir DIR.")
    if not folder.is_dir():
        raise UserError(f"--config-dir {path}: there is no such folder.")
    others = [text for text in os.environ.get(VARIABLE, "").split(os.pathsep) if text and text != str(folder)]
    os.environ[VARIABLE] = os.pathsep.join([str(folder), *others])


def named_folders() -> str:
    """The value of $HYBRID_CONFIGS with which a process in another folder finds what this one finds; "" for none."""
    project = current_project()
    return os.pathsep.join(map(str, dict.fromkeys([*_named(), *([] if project is None else [project])])))


def state_folder() -> Path:
    """Where hybrid keeps what it knows about this user: his signature's key, the folders that his runs took classes from."""
    return Path(os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state"), "hybrid")


def projects_of_choice() -> list[Path]:
    """The projects that the user has named by `--config-dir` or $HYBRID_CONFIGS, themselves or by their folder configs."""
    found = ((folder, _configs_of(folder).parent) for folder in _named())
    return [project for folder, project in found if folder == project or folder.name == "configs"]


def _named() -> list[Path]:
    """The folders of $HYBRID_CONFIGS."""
    named = [Path(text).absolute() for text in os.environ.get(VARIABLE, "").split(os.pathsep) if text]
    for folder in named:
        if not folder.is_dir():
            raise UserError(f"${VARIABLE} names {folder}, which is not a folder.")
    return named


def _configs_of(folder: Path) -> Path:
    """The configurations of a folder that the user names: those of a project are in its folder configs."""
    inner = folder / "configs"
    return inner if inner.is_dir() or (folder / MARKER).is_file() else folder


def _current() -> Path | None:
    try:
        return Path.cwd()
    except FileNotFoundError:  # somebody has deleted it
        return None
