"""An analysis: numbers and arrays of every layer, which lie on the disk as one .npz file that numpy alone can read.

analysis = Analysis.load("analysis/step-352.npz")
analysis.table["boundary.nested_1"]                      # pandas, a row a layer
analysis.array("head.stem.2", "separation.other")        # NumPy
analysis.plot("boundary", "contraction")                 # {name: matplotlib figure}
"""

from __future__ import annotations

import base64
import io
import json
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid.errors import UserError, first_line, unknown_name

if TYPE_CHECKING:  # loaded where they are used
    from matplotlib.figure import Figure
    from pandas import DataFrame

FORMAT = 1
_LARGEST = 1 << 30  # bytes of all arrays of an analysis
DESCRIPTION = ("layer", "kind", "depth", "vectors", "dimension")  # the columns of the table that are no measurements


class Figures(dict[str, "Figure"]):
    """name -> matplotlib figure, which a notebook shows as pictures."""

    def _repr_html_(self) -> str:
        return "\n".join(f'<img alt="{name}" src="data:image/png;base64,{_png(each)}">' for name, each in self.items())


@dataclass(frozen=True)
class Analysis:
    """What came of analysing a model.

    about: what was measured and how, as JSON: "layers", each with its name, kind, depth and numbers; "settings", "images",
        "test_images", "problems"; and what the caller added, such as "model" and "step".
    arrays: "layer: quantity" -> array, for figures.

    Example:
        >>> import hybrid, torch
        >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))
        >>> images, labels = torch.rand(60, 1, 8, 8), torch.arange(60) % 2
        >>> hybrid.analyse(network, images, labels, measures=["separation"], neighbours=5).save("separation.npz")
        >>> analysis = hybrid.Analysis.load("separation.npz")
        >>> analysis.layers
        ['pixels', '2', 'logits']
    """

    about: dict[str, Any]
    arrays: dict[str, np.ndarray]

    @property
    def layers(self) -> list[str]:
        """The names of the layers, in depth order."""
        return [layer["name"] for layer in self.about["layers"]]

    @property
    def problems(self) -> list[str]:
        """What could not be measured and why, a line each."""
        return list(self.about.get("problems", ()))

    @property
    def table(self) -> DataFrame:
        """The numbers as a pandas DataFrame, a row a layer in depth order, with the layer's name as index.

        A measurement that was not made, or not possible in a layer, is NaN there. The columns:

            kind, depth                  what the layer is; its place
            vectors, dimension           how its vectors were made (averaged over positions, flattened, or projected), and
                                         their length; for all measures but contraction, step and jacobian
            contraction.same             median of ‖Φx - Φx'‖ / ‖x - x'‖ over pairs of images of one class
            contraction.different        the same over pairs of two classes
            contraction.expanded         share of all pairs that the layer moves apart, in %
            step.…                       the three of contraction, from the layer before instead of the model's input
            classes.within, .between     mean distance of two images of one class; of two classes
            classes.ratio                within / between; below 1 where images of a class are nearer to each other
            spectra.effective_rank       exp(entropy) of a class's covariance eigenvalues, the mean over classes
            spectra.participation_ratio  (Σλ)² / Σλ² of them, the mean over classes
            separation.same_median       median distance to the nearest image of the same class
            separation.other_median      to the nearest image of another class
            separation.other_minimum     the smallest distance of two images of different classes
            boundary.nested_K            |Γ^K| in % of the images, for K = 1 and the largest K (see `boundary_counts`)
            boundary.plain_K, .plurality_K   the two other counts of that function for the largest K, in %
            probe.1nn, .knn, .linear, .svm   accuracy of a classifier on the layer, on the test images, in %
            jacobian.median, .largest    largest singular value of the layer's Jacobian, over images
        """
        from pandas import DataFrame

        return DataFrame(self.rows()).set_index("layer")

    def rows(self) -> list[dict[str, Any]]:
        """One dictionary per layer: layer, kind, depth, vectors, dimension (where they were measured), and its numbers."""
        layers = [
            {**layer, "layer": layer["name"], "vectors": self.vectors(layer["name"])} for layer in self.about["layers"]
        ]
        return [
            {key: layer[key] for key in DESCRIPTION if layer[key] is not None} | layer["numbers"] for layer in layers
        ]

    def vectors(self, layer: str) -> str | None:
        """How the vectors of a layer were made: "averaged" over positions, "flattened" or "projected"; None without vectors.

        Analyses that were made before pixels were flattened do not say it: their pooling is that of all their layers.
        """
        about = next(each for each in self.about["layers"] if each["name"] == layer)
        if about["dimension"] is None or "vectors" in about:
            return about.get("vectors")
        averaged = self.about["settings"].get("pooling") == "average" and about["kind"] != "logits"
        return "averaged" if averaged else "flattened"

    def in_words(self) -> str:
        """A line that compares the first layer with the last: boundary points, and distances within and between classes."""
        first, last = self.about["layers"][0], self.about["layers"][-1]
        parts = []
        for number, words, unit in (
            ("boundary.nested_1", "boundary points (k = 1)", " %"),
            ("classes.ratio", "within/between distance", ""),
        ):
            if number in first["numbers"] and number in last["numbers"]:
                values = [f"{each['numbers'][number]:.3g}{unit} in {self._named(each)}" for each in (first, last)]
                parts.append(f"{words} {', '.join(values)}")
        return "; ".join(parts) or f"{len(self.layers)} layers"

    def _named(self, about: dict[str, Any]) -> str:
        """A layer's name with what its vectors are: "pixels (flattened)", "relu1 (averaged)"; logits are what they are."""
        vectors = self.vectors(about["name"])
        return about["name"] if about["kind"] == "logits" or vectors is None else f"{about['name']} ({vectors})"

    def array(self, layer: str, quantity: str) -> np.ndarray | None:
        """What was measured in a layer, for example "boundary.nested", or None where it was not."""
        return self.arrays.get(f"{layer}: {quantity}")

    def arrays_of(self, layer: str) -> dict[str, np.ndarray]:
        """quantity -> array of one layer. Raises UserError for a layer that was not measured."""
        if layer not in self.layers:
            raise unknown_name(layer, self.layers, what="layer of the analysis")
        start = f"{layer}: "
        return {name.removeprefix(start): array for name, array in self.arrays.items() if name.startswith(start)}

    def curve(self, number: str) -> list[tuple[str, float]]:
        """(layer, value) of one column of the table, for the layers that have it."""
        layers = self.about["layers"]
        return [(layer["name"], layer["numbers"][number]) for layer in layers if number in layer["numbers"]]

    def plot(self, *names: str) -> Figures:
        """Draw the figures of these names, or all that the measurements allow: name -> matplotlib figure.

        A notebook shows them as pictures. Names are accuracy_by_depth, boundary, cumulative_distances, contraction, spectra
        and the like. Raises UserError for a name that cannot be drawn, listing the others.
        """
        from hybrid.reports.analysis_figures import analysis_figures

        drawn = analysis_figures({"": self}, only=names or None)
        for name in names:
            if name not in drawn:
                raise unknown_name(name, analysis_figures({"": self}), what="figure of this analysis")
        return Figures(drawn)

    def with_about(self, **about: Any) -> Analysis:
        """The same analysis with more entries in `about`; they do not replace what is there."""
        return Analysis({**about, **self.about}, self.arrays)

    def save(self, path: Path | str) -> None:
        """Write the .npz file, whole or not at all; its folder is made. Raises UserError where it cannot be written."""
        from hybrid.files import write_atomically

        content = self.to_bytes()
        try:
            write_atomically(Path(path), lambda file: file.write(content))
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror}.") from error

    def to_bytes(self) -> bytes:
        """The content of the .npz file."""
        file = io.BytesIO()
        about = json.dumps({"format": FORMAT, **self.about}, ensure_ascii=False)
        np.savez_compressed(file, about=np.array(about), **self.arrays)
        return file.getvalue()

    @classmethod
    def load(cls, path: Path | str) -> Analysis:
        """Read a file; UserError, naming it, if it is no such file. No pickled object is ever loaded."""
        try:
            _check_size(path)
            with np.load(path, allow_pickle=False) as content:
                about = json.loads(str(content["about"]))
                arrays = {name: content[name] for name in content.files if name != "about"}
            form = about.pop("format", None)
            if form == FORMAT and not all(isinstance(layer["name"], str) for layer in about["layers"]):
                raise ValueError("a layer has no name")
        except FileNotFoundError:
            raise UserError(f"there is no analysis {path}.") from None
        except Exception as error:  # whatever a damaged or foreign file makes a reader raise
            raise UserError(f"{path} cannot be read as an analysis: {first_line(error)[:120]}.") from error
        if form != FORMAT:
            raise UserError(f"{path} is not an analysis of this program (format {FORMAT}).")
        return cls(about, arrays)

    def __repr__(self) -> str:
        about = self.about
        images = f"{about.get('images', 0):,} images"
        count = len(self.problems)
        noted = f"; {count} note{'s' * (count > 1)} in .problems" if count else ""
        return f"Analysis of {about.get('model', 'a model')}: {len(self.layers)} layers, {images}; see .table and .plot(){noted}"

    def _repr_html_(self) -> str:
        """The table, as a notebook shows it."""
        return self.table._repr_html_()


def _check_size(path: Path | str) -> None:
    """Raises ValueError for a file whose arrays would fill the memory: a few kB of zeros can stand for gigabytes."""
    with zipfile.ZipFile(path) as archive:
        if sum(part.file_size for part in archive.infolist()) > _LARGEST:
            raise ValueError(f"its arrays have more than {_LARGEST >> 20} MiB")
        for part in archive.infolist():
            with archive.open(part) as file:
                np.lib.format.read_magic(file)
                shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            if dtype.itemsize * math.prod(shape) > part.file_size:
                raise ValueError(f"{part.filename} is cut off")


def _png(figure: Figure) -> str:
    """The picture in base64."""
    file = io.BytesIO()
    figure.savefig(file, format="png", bbox_inches="tight")
    return base64.b64encode(file.getvalue()).decode("ascii")
