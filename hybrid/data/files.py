"""Files on disk: are they there, are they the official ones, and if not, fetch them or say how to get them."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import socket
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from hybrid.errors import UserError

_log = logging.getLogger(__name__)
_NETWORK_TIMEOUT_SECONDS = 60


class OfficialFile(NamedTuple):
    """A file that a data set reads, and the checksum that its publishers give (None: they give none)."""

    path: Path
    md5: str | None


def require(
    list_files: Callable[[], Sequence[OfficialFile]],
    *,
    name: str,
    root: Path,
    archive: str,
    page: str,
    download: Callable[[], None] | None,
) -> None:
    """Return if all files are there, downloading them first if `download` is given. UserError, one line, otherwise.

    A file whose checksum is not the official one is reported once as a warning: a re-encoded or shortened copy is a
    legitimate data set, but nobody should compare it with published figures without knowing.
    """
    missing = [file.path for file in list_files() if not file.path.is_file()]
    if missing:
        _fetch(missing[0], name=name, root=root, archive=archive, page=page, download=download)
    files = list_files()  # again: what was downloaded may be packed, under another name
    for file in files:
        if not file.path.is_file():
            raise UserError(f"{name}: {file.path} is still missing after unpacking {archive} in {root}.")
    unofficial = tuple(str(file.path) for file in files if not is_official(file))
    if unofficial:
        _warn_once(name, unofficial)


def is_official(file: OfficialFile) -> bool:
    """Whether the file has the published checksum; a file without one counts as official."""
    return file.md5 is None or md5(file.path) == file.md5


def md5(path: Path) -> str:
    """The file's MD5 in hexadecimal digits: the checksum that these data sets publish, not a protection against forgery.

    A file is read once in the life of a process, unless it changes.
    """
    about = path.stat()
    return _md5(path, about.st_size, about.st_mtime_ns)


@cache
def _md5(path: Path, size: int, changed: int) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _fetch(
    missing: Path, *, name: str, root: Path, archive: str, page: str, download: Callable[[], None] | None
) -> None:
    place = f"{name}: {missing.name} is missing in {missing.parent.absolute()}"
    advice = f"Get {archive} from {page}, unpack it in {root.absolute()}, or set data.root or $HYBRID_DATA"
    if download is None:
        raise UserError(f"{place} and data.download=false forbids the download. {advice}.")
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _network_timeout():
            download()
    except (OSError, RuntimeError) as error:  # no network, no such page, a full disk, or torchvision's checksum error
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{place} and the download failed ({reason}). {advice}.") from error


@contextlib.contextmanager
def _network_timeout() -> Iterator[None]:
    """torchvision's download waits forever on a silent server; a data set's server does get silent."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_NETWORK_TIMEOUT_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@cache
def _warn_once(name: str, paths: tuple[str, ...]) -> None:
    others = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    _log.warning(
        "%s: %s%s: the checksum is not the official one; the files are used as they are.", name, paths[0], others
    )
