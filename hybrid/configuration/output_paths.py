"""Check the files and folders that a command will write before its work begins, which may take hours."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from hybrid.errors import UserError

PICTURES = (".png", ".svg", ".pdf")


def check_file(name: str, path: str | None, *, endings: Sequence[str] = (), makes_folder: bool = False) -> None:
    """Raises UserError if the file of option `name` could not be written; None means that no file is wanted.

    It must lie in a folder that exists, or could be made where the command `makes_folder`, and have one of the `endings` if any
    are given. A file that is there will be replaced.
    """
    if path is None:
        return
    place = Path(path)
    if endings and place.suffix not in endings:
        raise UserError(f"{name}={path} has none of the endings {', '.join(endings)}.")
    if place.is_dir():
        raise UserError(f"{name}={path} cannot be written: it is a folder.")
    if not makes_folder and not place.parent.is_dir():
        raise UserError(f"{name}={path} cannot be written: there is no folder {place.parent}.")
    if place.exists() and not place.is_file():
        raise UserError(f"{name}={path} cannot be written: it is no plain file.")
    _try(name, path, place.parent)


def check_folder(name: str, path: str | None) -> None:
    """Raises UserError if no files could be written into the folder of option `name`, which need not exist yet."""
    if path is None:
        return
    _try(name, path, Path(path))


@contextlib.contextmanager
def writing(name: str, path: str) -> Iterator[None]:
    """A context that writes the file of option `name`: an OSError becomes a UserError."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{name}={path} cannot be written: {error.strerror}.") from error


def _try(name: str, path: str, folder: Path) -> None:
    """Try to make a file in the folder, or in the nearest folder above it that exists; the file is removed at once.

    A look at the permissions would not be enough, for example on a file system that is mounted read-only.
    """
    existing = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    if not existing.is_dir():
        raise UserError(f"{name}={path} cannot be written: {existing} is no folder.")
    with writing(name, path), tempfile.TemporaryFile(dir=existing):
        pass
