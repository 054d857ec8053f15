"""The mark by which this machine knows a configuration that a run of its user has written.

The last line of such a file is a comment with an HMAC of the bytes before it. The key is a file of the user's alone, `key` in
$XDG_STATE_HOME/hybrid or ~/.local/state/hybrid. A file that somebody else has written, or edited, has no such mark.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import re
import secrets
import stat
import warnings
from pathlib import Path

from hybrid.configuration.paths import state_folder

_LINE = re.compile(r"# hybrid-signature ([0-9a-f]{64})\n")
_LENGTH = len("# hybrid-signature ") + 64 + 1
_OF_CHILDREN = "HYBRID_SIGNATURE_KEY"  # where no key can be kept: the processes that this one starts know its signature


def sign(text: str) -> str:
    """The text with its signature as the last line; the text alone where no key can be had."""
    text = unsigned(text)
    key = _key()
    return text if key is None else f"{text}# hybrid-signature {_digest(key, text)}\n"


def is_signed(text: str) -> bool:
    """Whether the text ends with this user's signature of all that stands before it."""
    found = _LINE.fullmatch(text[-_LENGTH:])
    key = None if found is None else _key(make=False)
    return key is not None and hmac.compare_digest(_digest(key, text[:-_LENGTH]), found[1])


def unsigned(text: str) -> str:
    """The text without its signature, whose ever it is."""
    return text[:-_LENGTH] if _LINE.fullmatch(text[-_LENGTH:]) else text


def _digest(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _key(*, make: bool = True) -> bytes | None:
    """The user's key, which is made where there is none yet."""
    path = state_folder() / "key"
    if given := os.environ.get(_OF_CHILDREN):
        return given.encode()
    if make and not os.path.lexists(path):
        try:
            _make(path)
        except OSError:  # a home that cannot be written
            os.environ[_OF_CHILDREN] = secrets.token_hex(32)
            return os.environ[_OF_CHILDREN].encode()
    return _read(path)


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".key.{os.getpid()}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(handle, secrets.token_hex(32).encode())
        with contextlib.suppress(FileExistsError):  # another process was faster
            os.link(temporary, path)
    finally:
        os.close(handle)
        temporary.unlink()


def _read(path: Path) -> bytes | None:
    """The key; None where there is none, or others may know it or may have put it there."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        return _unusable(path, error.strerror)
    try:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode) or about.st_uid != os.getuid() or about.st_mode & 0o077:
            return _unusable(path, "it must be a file of yours alone (chmod 600), or be deleted")
        content = os.read(handle, 1000)
    finally:
        os.close(handle)
    return content if len(content) >= 32 else _unusable(path, "it is too short: delete it")


def _unusable(path: Path, reason: str | None) -> None:
    warnings.warn(f"{path} is not used, so that your runs bear no signature: {reason}.", stacklevel=4)
