"""Where a command writes: checked before it begins, since what it writes may take hours to measure; and the error of a write."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from hybrid.errors import UserError

PICTURES = (".png", ".svg", ".pdf")


def check_file(name: str, path: str | None, *, endings: Sequence[str] = (), makes_folder: bool = False) -> None:
    """Raises UserError if the file that option `name` asks for could not be written; None asks for none.

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
    """Raises UserError if no files could be written into the folder that option `name` asks for, which need not exist yet."""
    if path is None:
        return
    _try(name, path, Path(path))


@contextlib.contextmanager
def writing(name: str, path: str) -> Iterator[None]:
    """Where option `name` is written: an OSError becomes one line, a UserError."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{name}={path} cannot be written: {error.strerror}.") from error


def _try(name: str, path: str, folder: Path) -> None:
    """Try the folder, or what there is of it.

    Files are written under another name first, so a new one, which vanishes at once, tells; permissions alone do not.
    """
    existing = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    if not existing.is_dir():
        raise UserError(f"{name}={path} cannot be written: {existing} is no folder.")
    with writing(name, path), tempfile.TemporaryFile(dir=existing):
        pass
