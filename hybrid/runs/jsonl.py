"""metrics.jsonl: one JSON object per logged step, readable without this code."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hybrid.files import naming, write_text
from hybrid.runs.tracker import SilentSink


class JsonLines(SilentSink):
    """Appends records. `resume_step` drops what was logged after the checkpoint that the run continues from.

    again: beginnings of the names of what is measured again at that step itself, and dropped, too.
    """

    def __init__(self, path: Path, *, resume_step: int = 0, again: Sequence[str] = ("test/",)) -> None:
        def repeated(record: Mapping[str, Any]) -> bool:
            return record["step"] == resume_step and any(name.startswith(tuple(again)) for name in record)

        found = Records.read(path)
        if found.damaged:
            aside = path.with_suffix(".damaged")
            warnings.warn(f"{path} has {found.words()}; they are kept in {aside.name}.", stacklevel=2)
            with naming(aside), aside.open("ab") as file:
                file.write(b"".join(line + b"\n" for _, line in found.damaged))
        records = [record for record in found if record["step"] <= resume_step]
        kept = [record for record in records if not repeated(record)]
        write_text(path, "".join(json.dumps(record) + "\n" for record in kept))
        self._file = path.open("a", encoding="utf-8")

    def scalars(self, step: int, epoch: float, values: Mapping[str, float]) -> None:
        record = {"step": step, "epoch": round(epoch, 6), **{name: _finite(value) for name, value in values.items()}}
        with naming(self._file.name):
            self._file.write(json.dumps(record) + "\n")
            self._file.flush()

    def flush(self) -> None:
        with naming(self._file.name):
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        with naming(self._file.name):
            self._file.close()


class Records(list[dict[str, Any]]):
    """The records of a metrics.jsonl, in their order. `damaged` has the number and the bytes of every line that is none.

    A last line that a crash cut off is left out without a word.
    """

    damaged: list[tuple[int, bytes]]

    @classmethod
    def read(cls, path: Path) -> Records:
        """An absent file has no records."""
        lines = path.read_bytes().split(b"\n") if path.is_file() else []
        records = cls()
        records.damaged = []
        for number, line in enumerate(lines, start=1):
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):  # no JSON, no UTF-8, or brackets without end
                record = None
            if isinstance(record, dict) and _is_record(record):
                records.append(record)
            elif number < len(lines):
                records.damaged.append((number, line))
        return records

    def words(self) -> str:
        """How many lines are damaged, and which."""
        numbers = [str(number) for number, _ in self.damaged]
        shown = ", ".join(numbers[:5]) + " …" * (len(numbers) > 5)
        return f"{len(numbers)} damaged line{'s' * (len(numbers) > 1)} (line{'s' * (len(numbers) > 1)} {shown})"


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The records of a metrics.jsonl. A warning counts the lines that are damaged."""
    records = Records.read(path)
    if records.damaged:
        warnings.warn(f"{path} has {records.words()}: the other lines are used.", stacklevel=2)
    return records


def _is_record(record: Mapping[str, Any]) -> bool:
    """Whether it has a step, an epoch, and beside them numbers or None."""
    step, epoch = record.get("step"), record.get("epoch")
    known = type(step) is int and 0 <= step < 1 << 62 and epoch is not None
    return known and all(value is None or _is_number(value) for value in record.values())


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < 1 << 62)


def _finite(value: float) -> float | None:
    """JSON has no infinity and no NaN."""
    return value if math.isfinite(value) else None
