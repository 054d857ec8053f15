"""metrics.jsonl: one JSON object per logged step, readable without this code."""

from __future__ import annotations

import json
import math
import os
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

        records = [record for record in read_metrics(path) if record["step"] <= resume_step]
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


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The records of a metrics.jsonl; a last line that a crash cut off is left out."""
    records = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                break
    return records


def _finite(value: float) -> float | None:
    """JSON has no infinity and no NaN."""
    return value if math.isfinite(value) else None
