"""Classes and functions by their paths, such as `my_head.MyHead`, and the folders of a user's own.

A user's folders stand behind all others on Python's path, so that his file `queue.py` takes no module's place.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from hybrid.configuration.paths import code_folders, state_folder
from hybrid.configuration.renamed import class_path_now
from hybrid.errors import UserError
from hybrid.files import read_json, write_json

_LISTS = ("callbacks", "metrics", "loggers")  # whose items may be class paths by themselves
RECORD = "project.json"  # in a run's folder: the folders that it was made with
_KNOWN = "projects"  # the file that lists the folders whose classes this user has trained with


def find_class(path: str) -> Any:
    """The object of a dotted path, which may be that of an earlier version.

    Raises what Python raises where there is none: ImportError, AttributeError, ValueError.
    """
    make_importable()
    module, _, name = class_path_now(path).rpartition(".")
    return getattr(importlib.import_module(module), name)


def make_importable() -> None:
    """Let Python find modules in the user's own folders, after all others."""
    for folder in map(str, code_folders()):
        if folder not in sys.path:
            sys.path.append(folder)


def explain_missing(path: str, error: Exception) -> str:
    """The reason, in a line, why `find_class` has not found this path."""
    top = path.split(".")[0]
    own = next((each for each in map(Path, code_folders()) if source_in(each, top) is not None), None)
    place = folder_of(path)
    if own is not None and place is not None and place != own:
        return f"{error}. {source_in(own, top)} is not read, as another module is called {top}: give it another name."
    if isinstance(error, ModuleNotFoundError):
        return (
            f"{error}. Start the command in the folder of that file or in its project, or name the folder with "
            "--config-dir DIR."
        )
    return f"{error}."


def class_paths(cfg: Any) -> Iterator[str]:
    """Every class path of a configuration that is not one of hybrid's own: each `_target_`, and the items of its lists."""
    if isinstance(cfg, DictConfig):
        cfg = OmegaConf.to_container(cfg, resolve=False)
    found = _targets(cfg)
    if isinstance(cfg, dict):
        items = [item for name in _LISTS for item in cfg.get(name) or ()]
        found = itertools.chain(found, (next(iter(item), None) if isinstance(item, dict) else item for item in items))
    yield from (path for path in found if isinstance(path, str) and "." in path and path.split(".")[0] != "hybrid")


def _targets(node: Any) -> Iterator[Any]:
    if isinstance(node, DictConfig):
        node = OmegaConf.to_container(node, resolve=False)
    if isinstance(node, dict):
        yield node.get("_target_")
        node = list(node.values())
    if isinstance(node, list):
        for value in node:
            yield from _targets(value)


def folders_used(cfg: DictConfig) -> list[str]:
    """The user's own folders from which the classes of this configuration were imported, sorted; none of packages."""
    own = set(code_folders())
    found = {folder_of(path) for path in class_paths(cfg)}
    return sorted(str(folder) for folder in found if folder in own)


def folder_of(path: str) -> Path | None:
    """The folder in which the module of a class path lies, if it is imported: of its topmost package, where it has one."""
    module = sys.modules.get(path.split(".")[0])
    file = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), None)
    if file is None:
        return None
    place = Path(file).absolute()
    return place.parents[1] if hasattr(module, "__path__") and place.name == "__init__.py" else place.parent


def _remember(folders: list[str]) -> None:
    """Note that these folders are the user's: runs that were made with their classes find them from anywhere."""
    new = [folder for folder in folders if folder not in _remembered()]
    if not new:
        return
    with contextlib.suppress(OSError):  # a home that cannot be written
        _known_file().parent.mkdir(parents=True, exist_ok=True)
        with _known_file().open("a", encoding="utf-8") as file:
            file.write("".join(f"{folder}\n" for folder in new))


def record_folders(run: Path, cfg: DictConfig) -> None:
    """Write into a run's folder which of the user's own folders its classes come from, if it has such classes."""
    if folders := folders_used(cfg):
        write_json(run / RECORD, {"folders": folders})
        _remember(folders)


def use_recorded_folders(run: Path, sections: Any) -> None:
    """Let the classes that these sections of a run's configuration name be found in the folders that it was made with.

    A run's folder may come from somebody else, so what it names is only read where this user has trained with it, or has
    chosen it (the current folder or project, --config-dir, $HYBRID_CONFIGS). Raises UserError, which says how to choose it.
    """
    make_importable()
    folders = _recorded(run)
    for folder in folders:
        if folder in _remembered() and folder not in sys.path:
            sys.path.append(folder)
    for path in class_paths(sections) if folders else ():
        try:
            find_class(path)
        except (ImportError, AttributeError, ValueError, TypeError) as error:
            raise UserError(f"{run} was made with {path}, {_where(path, folders, error)}") from error
        _warn_of_another(path, folders)


def _warn_of_another(path: str, folders: list[str]) -> None:
    """Warn if a class is not read from the folder that the run was made with, although it is still there."""
    top, place = path.split(".")[0], folder_of(path)
    left = [folder for folder in folders if source_in(Path(folder), top) is not None]
    if left and place is not None and str(place) not in folders:
        warnings.warn(f"{path} is read from {place}; the run was made with that of {left[0]}.", stacklevel=3)


def _recorded(run: Path) -> list[str]:
    try:
        return [str(folder) for folder in read_json(run / RECORD)["folders"]]
    except (UserError, KeyError, TypeError):
        return []


def _where(path: str, folders: list[str], error: Exception) -> str:
    top = path.split(".")[0]
    there = [folder for folder in folders if source_in(Path(folder), top) is not None]
    if not there:
        return f"which was in {folders[0]} and is no longer there: name its new folder with --config-dir DIR."
    if there[0] not in sys.path:
        return f"of {there[0]}, where you have trained nothing: allow it with --config-dir {there[0]}."
    return f"which cannot be imported from {there[0]}: {error}."


def source_in(folder: Path, module: str) -> Path | None:
    """The file or package in this folder that a module's name means."""
    return next((path for path in (folder / f"{module}.py", folder / module / "__init__.py") if path.is_file()), None)


def _remembered() -> list[str]:
    try:
        return _known_file().read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def _known_file() -> Path:
    return state_folder() / _KNOWN
