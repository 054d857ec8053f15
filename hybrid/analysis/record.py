"""An analysis on the disk: numbers and arrays in one .npz file that numpy alone can read, from which figures are drawn again.

record = Record.load("analysis/step-352.npz")
record.about["layers"][3]["numbers"]["boundary.nested_1"]
record.array("head.stem.2", "separation.other")
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hybrid.errors import UserError

FORMAT = 1


@dataclass(frozen=True)
class Record:
    """about: what was measured, how, and the numbers of each layer (JSON). arrays: "layer: quantity" -> array."""

    about: dict[str, Any]
    arrays: dict[str, np.ndarray]

    @property
    def layers(self) -> list[str]:
        """The names of the layers, in depth order."""
        return [layer["name"] for layer in self.about["layers"]]

    def rows(self) -> list[dict[str, Any]]:
        """One dictionary per layer: layer, kind, depth, dimension (where vectors were measured), and its numbers."""
        described = (("layer", "name"), ("kind", "kind"), ("depth", "depth"), ("dimension", "dimension"))
        return [
            {key: layer[name] for key, name in described if layer[name] is not None} | layer["numbers"]
            for layer in self.about["layers"]
        ]

    def array(self, layer: str, quantity: str) -> np.ndarray | None:
        """What was measured in a layer, or None where it was not."""
        return self.arrays.get(f"{layer}: {quantity}")

    def curve(self, number: str) -> list[tuple[str, float]]:
        """(layer, value) of one of the numbers, for the layers that have it."""
        layers = self.about["layers"]
        return [(layer["name"], layer["numbers"][number]) for layer in layers if number in layer["numbers"]]

    def to_bytes(self) -> bytes:
        """The content of the .npz file."""
        file = io.BytesIO()
        about = json.dumps({"format": FORMAT, **self.about}, ensure_ascii=False)
        np.savez_compressed(file, about=np.array(about), **self.arrays)
        return file.getvalue()

    @classmethod
    def load(cls, path: Path | str) -> Record:
        """Read a file; UserError, naming it, if it is no such file. No pickled object is ever loaded."""
        try:
            with np.load(path, allow_pickle=False) as content:
                about = json.loads(str(content["about"]))
                arrays = {name: content[name] for name in content.files if name != "about"}
        except FileNotFoundError:
            raise UserError(f"there is no analysis {path}.") from None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(f"{path} cannot be read as an analysis: {str(error)[:120]}") from error
        if about.pop("format", None) != FORMAT:
            raise UserError(f"{path} is not an analysis of this program (format {FORMAT}).")
        return cls(about, arrays)
