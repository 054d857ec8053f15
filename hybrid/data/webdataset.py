"""Shards in the format of WebDataset: tar files with the image, the label and more of each sample under one key.

The headers of the shards are read once, and then every image by its place in its file. So the images of an epoch are
shuffled as a whole, by (seed, epoch), and a run resumes bit for bit, which a stream of shards cannot do.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

from hybrid.data.images import EXTENSIONS, Fit, Interpolation, Size
from hybrid.data.indexed import IndexedSource, numbered
from hybrid.data.pixels import ValueRange
from hybrid.data.stored import Part
from hybrid.errors import UserError
from hybrid.ranges import Workers


class _Place(NamedTuple):
    """Where the image of a sample lies."""

    path: Path
    offset: int
    size: int


class WebDataset(IndexedSource):
    """Samples KEY.jpg (or .png, …) and KEY.cls of tar files that are not compressed.

    Args:
        root: the folder of the shards.
        shards: a pattern of the shards that train, in `root`.
        test_shards, validation_shards: of those that test and validate; None: there are none.
        label: the ending of the file with the label, a whole number as text: "cls". "json:KEY" takes a value of a JSON file.
        class_names: one for each class; None numbers them.
        name: in tables and file names. `FileSource` explains the others.
    """

    def __init__(
        self,
        *,
        root: str,
        shards: str = "train*.tar",
        test_shards: str | None = None,
        validation_shards: str | None = None,
        label: str = "cls",
        class_names: list[str] | None = None,
        name: str = "webdataset",
        size: Size = 224,
        resize: Size | None = None,
        fit: Fit = "crop",
        interpolation: Interpolation = "bicubic",
        channels: Literal[1, 3] = 3,
        value_range: ValueRange | None = None,
        num_workers: Workers | Literal["auto"] = "auto",
    ) -> None:
        super().__init__(
            name=name,
            size=size,
            resize=resize,
            fit=fit,
            interpolation=interpolation,
            channels=channels,
            value_range=value_range,
            num_workers=num_workers,
        )
        self.root = Path(root).expanduser()
        self._patterns = {"train": shards, "validation": validation_shards, "test": test_shards}
        self._label, self._given_names = label, class_names
        self._found: dict[str, tuple[list[_Place], list[int]]] = {}

    def prepare(self) -> None:
        self.look_for_files()

    def look_for_files(self) -> None:
        if not self.root.is_dir():
            raise UserError(f"{self.name}: no folder {self.root.absolute()}; set data.root.")

    @cached_property
    def class_names(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(self._given_names) if self._given_names else numbered(self.labels_of("train") or [])

    def labels_of(self, part: Part) -> Sequence[Any] | None:
        return None if self._patterns[part] is None else self._samples(part)[1]

    def picture(self, part: Part, number: int) -> Any:
        from PIL import Image

        place = self._samples(part)[0][number]
        with place.path.open("rb") as stream:
            stream.seek(place.offset)
            return Image.open(io.BytesIO(stream.read(place.size)))

    def _samples(self, part: Part) -> tuple[list[_Place], list[int]]:
        """(places, labels), shard after shard, in the order of each."""
        if part not in self._found:
            shards = sorted(self.root.glob(str(self._patterns[part])))
            if not shards:
                raise UserError(f"{self.name}: no shard {self._patterns[part]} in {self.root.absolute()}.")
            samples = [sample for shard in shards for sample in self._of_shard(shard)]
            self._found[part] = [place for place, _ in samples], [label for _, label in samples]
        return self._found[part]

    def _of_shard(self, shard: Path) -> list[tuple[_Place, int]]:
        places: dict[str, _Place] = {}
        labels: dict[str, int] = {}
        ending = self._label.partition(":")[0]
        try:
            with tarfile.open(shard, "r:") as archive:
                for member in archive:
                    key, _, kind = member.name.rpartition("/")[2].partition(".")
                    key = member.name.removesuffix(f".{kind}")
                    if f".{kind.lower()}" in EXTENSIONS:
                        places[key] = _Place(shard, member.offset_data, member.size)
                    elif kind == ending and (stream := archive.extractfile(member)) is not None:
                        labels[key] = self._value(stream.read(), f"{shard}, {member.name}")
        except (tarfile.TarError, OSError) as error:
            raise UserError(f"{shard}: no tar file that can be read, or one that is compressed ({error}).") from error
        if places.keys() != labels.keys():
            key = min(places.keys() ^ labels.keys())
            raise UserError(f"{shard}: the sample {key} has no {f'label .{ending}' if key in places else 'image'}.")
        return [(place, labels[key]) for key, place in places.items()]

    def _value(self, content: bytes, where: str) -> int:
        _, _, field = self._label.partition(":")
        try:
            return int(json.loads(content)[field] if field else content)
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{where}: no label, which is a whole number ({error}).") from error
