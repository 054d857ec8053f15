"""Data sets of published files: they are checked, and fetched where they are missing, or the user is told how to get them."""

from __future__ import annotations

import contextlib
import logging
import socket
from abc import abstractmethod
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from hybrid.data.files import OfficialFile, is_official
from hybrid.data.images import Size, check_size
from hybrid.data.sources import MemorySource
from hybrid.errors import UserError, first_line

_log = logging.getLogger(__name__)
_NETWORK_TIMEOUT_SECONDS = 60


class OfficialSource(MemorySource):
    """A data set in memory whose files are published. Subclasses write `official_files`, `fetch`, `read` and `class_names`.

    archive: what is downloaded. page: where it is. native_size: the images' side in pixels.
    """

    published = True
    archive: str
    page: str
    native_size: int

    def __init__(self, *, root: str, download: bool = True, size: Size | None = None) -> None:
        """`root`: the folder of the files. `download`: fetch those that are missing. `size`: resize the images to it."""
        self.root, self.download = Path(root).expanduser(), download
        self.size = self.native_size if size is None else size
        check_size(self.size, name="data.size")

    @abstractmethod
    def official_files(self) -> list[OfficialFile]:
        """The files that it reads, with their published checksums where there are any."""

    @abstractmethod
    def fetch(self) -> None:
        """Download the archive and unpack it in `root`. Raises OSError or RuntimeError where that fails."""

    def prepare(self) -> None:
        """Return if all files are there, downloading them first where that is allowed. UserError, one line, otherwise.

        A file whose checksum is not the official one is reported once as a warning: a re-encoded or shortened copy is a
        legitimate data set, but nobody should compare it with published figures without knowing.
        """
        self.look_for_files()
        if missing := self._missing:
            self._fetch(missing)
        files = self.official_files()  # again: what was downloaded may be packed, under another name
        for file in files:
            if not file.path.is_file():
                raise UserError(
                    f"{self.name}: {file.path} is still missing after unpacking {self.archive} in {self.root}."
                )
        unofficial = tuple(str(file.path) for file in files if not is_official(file))
        if unofficial:
            _warn_once(self.name, unofficial)

    def look_for_files(self) -> None:
        if not self.download and (missing := self._missing):
            place, advice = self._words(missing)
            raise UserError(f"{place} and data.download=false forbids the download. {advice}.")

    @property
    def _missing(self) -> Path | None:
        """The first file that is not there."""
        return next((file.path for file in self.official_files() if not file.path.is_file()), None)

    def _words(self, missing: Path) -> tuple[str, str]:
        """(what is missing where, what can be done about it)."""
        place = f"{self.name}: {missing.name} is missing in {missing.parent.absolute()}"
        advice = f"Get {self.archive} from {self.page}, unpack it in {self.root.absolute()}, or set data.root or $HYBRID_DATA"
        return place, advice

    def _fetch(self, missing: Path) -> None:
        place, advice = self._words(missing)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with _network_timeout():
                self.fetch()
        except (
            OSError,
            RuntimeError,
        ) as error:  # no network, no such page, a full disk, or torchvision's checksum error
            reason = first_line(error)
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
