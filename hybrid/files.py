"""Files that are there whole or not at all, also after a power cut."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from hybrid.errors import UserError, first_line

_ABANDONED = 24 * 3600  # seconds; no file takes so long to write
_LARGEST_JSON = 256 << 20  # bytes


def write_atomically(path: Path, write: Callable[[BinaryIO], None], *, parents: bool = True) -> None:
    """Let `write` fill a temporary file beside `path`, flush it to the disk, and rename it into place.

    The folder is made; without `parents` not the one that it lies in: a run's folder that was removed must not come back piece
    by piece. An OSError says which file could not be written.
    """
    path.parent.mkdir(parents=parents, exist_ok=True)
    remove_temporaries(path.parent, of=path.name, seconds=_ABANDONED)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with naming(path), temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        put_in_place(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_temporaries(folder: Path, *, of: str | None = None, seconds: float = 0.0) -> None:
    """Remove the temporary files that killed processes have left in a folder: of this file alone, not touched for so long.

    Without `seconds` the caller knows that no process writes there now, as the owner of a run's lock does.
    """
    before = time.time() - seconds
    for path in folder.glob(".*.tmp" if of is None else f".{glob.escape(of)}.*.tmp"):
        with contextlib.suppress(OSError):  # another process was faster
            if path.stat().st_mtime <= before:
                path.unlink()


def put_in_place(temporary: Path, path: Path) -> None:
    """Rename a file whose content is on the disk to `path`, in the same folder or below it, and make the rename durable."""
    os.replace(temporary, path)
    flush_folder(path.parent)


@contextlib.contextmanager
def naming(path: Path | str) -> Iterator[None]:
    """An OSError says which file it is about; a full disk's does not by itself."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


def write_text(path: Path, text: str, *, parents: bool = True) -> None:
    """`text` as UTF-8, whole or not at all. Names that are no UTF-8 are written as they are typed: caf\\udce9."""
    write_atomically(path, lambda file: file.write(text.encode(errors="backslashreplace")), parents=parents)


def json_line(content: Any) -> str:
    """Return one line of JSON with letters as they are, or all escaped where some are of a name that is no UTF-8."""
    text = json.dumps(content, ensure_ascii=False)
    return text if _is_unicode(text) else json.dumps(content)


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def write_json(path: Path, content: Mapping[str, Any] | list[Any]) -> None:
    """Indented JSON, whole or not at all."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_json(path: Path, kind: type | tuple[type, ...] = dict) -> Any:
    """The content of a JSON file, of this kind. Raises UserError, naming the file, for whatever is wrong with it."""
    try:
        if path.stat().st_size > _LARGEST_JSON:
            raise ValueError(f"it has more than {_LARGEST_JSON >> 20} MiB")
        content = json.loads(path.read_bytes())
        if not isinstance(content, kind):
            raise TypeError(f"a {type(content).__name__} is not what belongs there")
    except json.JSONDecodeError as error:
        raise UserError(f"{path} cannot be read: no JSON from line {error.lineno}.") from error
    except Exception as error:  # thousands of brackets within each other, bytes that are no UTF-8, …
        raise UserError(
            f"{path} cannot be read: {getattr(error, 'strerror', None) or first_line(error)[:120]}."
        ) from error
    return content


def flush_folder(folder: Path) -> None:
    """Make renames in a folder durable, where the file system allows it."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
