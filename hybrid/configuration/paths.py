"""Where configurations lie, and the folders that environment variables name.

hybrid's own configurations are package data. A user's own folders stand before them: each holds groups and recipes in the
same layout (`model/my_model.yaml`, `experiment/my_recipe.yaml`), and the first folder that has a file wins.
"""

from __future__ import annotations

import dataclasses
import os
from importlib.resources import files
from pathlib import Path

from omegaconf import OmegaConf

from hybrid.errors import UserError

VARIABLE = "HYBRID_CONFIGS"  # the user's own folders, with the separator of $PATH between them


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
        """The folders of $HYBRID_CONFIGS, then hybrid's own. Raises UserError for a folder that does not exist."""
        named = [Path(text).absolute() for text in os.environ.get(VARIABLE, "").split(os.pathsep) if text]
        for folder in named:
            if not folder.is_dir():
                raise UserError(f"${VARIABLE} names {folder}, which is not a folder.")
        return cls((*named, CONFIGS))

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


def add_folder(path: str) -> None:
    """Look for configurations in this folder first, in this process and in those that it starts.

    Raises UserError if it does not exist.
    """
    folder = Path(path).absolute()
    if not path:
        raise UserError("--config-dir needs a folder: --config-dir DIR.")
    if not folder.is_dir():
        raise UserError(f"--config-dir {path}: there is no such folder.")
    others = [text for text in os.environ.get(VARIABLE, "").split(os.pathsep) if text and text != str(folder)]
    os.environ[VARIABLE] = os.pathsep.join([str(folder), *others])


def folder(variable: str, default: str) -> str:
    """The folder that an environment variable names; `default` where it is not set, or empty.

    In yaml: ``${folder:HYBRID_DATA,data}``.
    """
    return os.environ.get(variable) or default


OmegaConf.register_new_resolver("folder", folder, replace=True)
