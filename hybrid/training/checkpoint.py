"""Checkpoints that survive anything: whole or not at all on the disk, checked when read, never a pickle that runs code.

A file is torch's own, with a checksum of all its bytes behind it, so that torch.load reads it, too.

last.pt       everything a run needs to go on as if it had never stopped
previous.pt   the one before, for the day that last.pt is damaged
best.pt       the weights that were best on the validation images so far (trainer.best_metric)
best-N.pt     those of step N, the next best, where trainer.keep_best is more than 1
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from hybrid.errors import UserError, first_line
from hybrid.files import flush_folder, write_atomically
from hybrid.lazy import LazyModule

if TYPE_CHECKING:
    import torch
else:
    torch = LazyModule("torch")

FORMAT = 1
_CHECKSUM = re.compile(rb"\nhybrid-sha256 ([0-9a-f]{64})\n")
_CHECKSUM_SIZE = 80


class Damaged(UserError):
    """A file is not as it was written."""


def save(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint: temporary file, flush, rename. Raises OSError, naming the file, where there is no room for it."""
    write_atomically(path, lambda file: _write({"format": FORMAT, **content}, file), parents=False)


def save_last(folder: Path, content: dict[str, Any]) -> None:
    """Write last.pt; what was last.pt becomes previous.pt. At every moment in between, a whole last.pt is there."""
    last = folder / "last.pt"
    if last.exists():
        _duplicate(last, folder / "previous.pt")
    save(last, content)


def save_ranked(
    folder: Path,
    kept: list[dict[str, float]],
    entry: dict[str, float],
    content: dict[str, Any],
    *,
    most: int,
    rank: Callable[[dict[str, float]], float] = lambda numbers: -numbers["top1"],
) -> list[dict[str, float]]:
    """Write the weights of an evaluation if they are among the `most` best; returns the new ranking, best first.

    kept: the ranking so far; its entries, like `entry`, have "step" and the numbers of an evaluation. rank: of these numbers,
    less is better; by default the accuracy decides. Of equal entries the earlier ranks first.
    The best is best.pt, the others best-STEP.pt; at every moment in between, a whole best.pt is there.
    """
    there = _steps_on_disk(folder)  # a killed process may have written more than `kept` tells, and over what it tells
    kept = [each for each in kept if each["step"] in there and each["step"] != entry["step"]]
    ranking = sorted([*kept, entry], key=lambda each: (rank(each), each["step"]))[:most]
    if entry not in ranking:
        return kept
    for each in ranking[1:]:
        if each is entry:
            save(_ranked(folder, entry), content)
        elif there[each["step"]] != _ranked(folder, each):
            _duplicate(there[each["step"]], _ranked(folder, each))
    if ranking[0] is entry:
        save(folder / "best.pt", content)
    elif there[ranking[0]["step"]] != folder / "best.pt":
        _duplicate(there[ranking[0]["step"]], folder / "best.pt")
    wanted = {_ranked(folder, each) for each in ranking[1:]}
    for path in set(folder.glob("best-*.pt")) - wanted:
        path.unlink()
    return ranking


def _steps_on_disk(folder: Path) -> dict[int, Path]:
    """The files of best weights by the steps that they hold, whatever their names say."""
    found: dict[int, Path] = {}
    for path in sorted(folder.glob("best*.pt")):  # best.pt comes last, and wins
        try:
            found[int(torch.load(path, weights_only=True, mmap=True)["step"])] = path
        except Exception:  # whatever is wrong with it: these weights are not there
            continue
    return found


def ranked(folder: Path) -> list[str]:
    """The names of the best weights that are there: "best", then "best-STEP" in the order of the steps."""
    rest = sorted(int(path.stem[5:]) for path in folder.glob("best-*.pt") if path.stem[5:].isdecimal())
    return ["best"] * (folder / "best.pt").exists() + [f"best-{step}" for step in rest]


def _ranked(folder: Path, entry: dict[str, float]) -> Path:
    return folder / f"best-{entry['step']}.pt"


def _duplicate(path: Path, other: Path) -> None:
    """Give a file a second name (a copy where there are no hard links), replacing what has that name."""
    link = other.with_name(f".{other.name}.tmp")
    link.unlink(missing_ok=True)
    try:
        link.hardlink_to(path)
    except OSError:  # a file system without hard links
        shutil.copyfile(path, link)
    link.replace(other)
    flush_folder(other.parent)


class _File:
    """What torch.save writes to. It adds up the checksum, and keeps the system's errors, which torch.save hides."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.error, self.checksum = file, None, hashlib.sha256()

    def write(self, content: Any) -> int:
        self.checksum.update(content)
        try:
            return self._file.write(content)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._file.flush()


def _write(content: dict[str, Any], file: BinaryIO) -> None:
    target = _File(file)
    try:
        torch.save(content, target)
    except RuntimeError as error:
        raise (target.error or error) from None
    file.write(f"\nhybrid-sha256 {target.checksum.hexdigest()}\n".encode())


def load(path: Path, *, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint. Raises UserError, naming the file, if it is damaged, hostile, or of another format."""
    if not path.is_file():
        raise UserError(f"there is no checkpoint {path}.")
    try:
        _check_bytes(path)
        content = torch.load(path, map_location=device, weights_only=True)
    except (Damaged, MemoryError):
        raise
    except Exception as error:  # a damaged file may raise anything
        words = first_line(error)[:120]
        if words.startswith("Weights only"):  # torch's advice is to run the file
            words = (
                "it holds more than weights, numbers and texts. torch.save(model.state_dict(), …) writes weights alone."
            )
        raise UserError(f"{path} cannot be read as a checkpoint: {words}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path} is not a checkpoint of this program (format {FORMAT}).")
    return content


def _check_bytes(path: Path) -> None:
    """Compare the file with its checksum; a file of an older version, which has none, with those of its parts."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _CHECKSUM_SIZE))
        noted = _CHECKSUM.fullmatch(file.read())
        if noted is not None:
            if _digest(file, path.stat().st_size - _CHECKSUM_SIZE) != noted[1].decode():
                raise Damaged(f"{path} is damaged: its checksum is wrong.")
            return
    with zipfile.ZipFile(path) as archive:
        if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):  # could expand to any size
            raise Damaged(f"{path} is no checkpoint: it has compressed parts.")
        damaged = archive.testzip()
    if damaged is not None:
        raise Damaged(f"{path} is damaged: the checksum of {damaged} is wrong.")


def _digest(file: BinaryIO, size: int) -> str:
    """Of the first `size` bytes."""
    checksum = hashlib.sha256()
    file.seek(0, os.SEEK_SET)
    while size > 0 and (part := file.read(min(size, 1 << 20))):
        checksum.update(part)
        size -= len(part)
    return checksum.hexdigest()


def load_latest(folder: Path, *, device: torch.device | str = "cpu", set_aside: bool = False) -> dict[str, Any] | None:
    """The newest readable of last.pt and previous.pt; None where a run has none yet.

    `set_aside` renames a damaged last.pt to damaged.pt, so that the next checkpoint does not take it for the previous one.
    A damaged last.pt is a warning while previous.pt can be read, and a UserError when it cannot.
    """
    problems = []
    for path in (folder / "last.pt", folder / "previous.pt"):
        if not path.exists():
            continue
        try:
            content = load(path, device=device)
        except UserError as error:
            problems.append(str(error).rstrip(".") + ".")
            continue
        if problems:
            if set_aside:
                (folder / "last.pt").replace(folder / "damaged.pt")
            warnings.warn(f"{problems[0]} Continuing from {path.name}, step {content['step']}.", stacklevel=2)
        return content
    if problems:
        raise UserError(f"{problems[0]} No other checkpoint can be read: run.restart=true begins again.")
    return None


def present(folder: Path) -> bool:
    """Whether a run has left a checkpoint to continue from, readable or not."""
    return any((folder / name).exists() for name in ("last.pt", "previous.pt"))


def load_weights(model: torch.nn.Module, content: dict[str, Any], *, source: Path | str) -> None:
    """Copy a checkpoint's weights (the averaged ones where it has them) into a model; UserError if they are another model's."""
    try:
        model.load_state_dict(content["ema"]["weights"] if content.get("ema") else content["model"])
    except KeyError as error:
        raise UserError(f"{source} holds no model's weights.") from error
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:3]]
        raise UserError(f"{source} holds the weights of another model: {' '.join(lines)[:300]}") from error
