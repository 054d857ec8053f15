"""A data set of Hugging Face: from the hub, or from a folder that `save_to_disk` or a parquet writer has made."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from hybrid.data.images import Fit, Interpolation, Size
from hybrid.data.indexed import IndexedSource, numbered
from hybrid.data.pixels import ValueRange
from hybrid.data.stored import Part
from hybrid.errors import UserError, first_line, unknown_name
from hybrid.ranges import Workers


class HuggingFace(IndexedSource):
    """Images and labels in two columns of a data set of the library `datasets`, which keeps it in files of Arrow.

    Args:
        dataset: its name on the hub, such as zalando-datasets/fashion_mnist, or a folder.
        config: which of several configurations of the data set.
        image, label: the names of the columns. Classes of a ClassLabel column have its names.
        train_split, validation_split, test_split: the names of the splits; None: there is none. Where the data set has no
            split "test" or "validation", the defaults count as None.
        name: in tables and file names. `FileSource` explains the others.
    """

    def __init__(
        self,
        *,
        dataset: str,
        config: str | None = None,
        image: str = "image",
        label: str = "label",
        train_split: str = "train",
        validation_split: str | None = "validation",
        test_split: str | None = "test",
        name: str = "huggingface",
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
        self._dataset, self._config, self._image, self._label = dataset, config, image, label
        self._splits = {"train": train_split, "validation": validation_split, "test": test_split}
        self._usual = {"validation": "validation", "test": "test"}

    def prepare(self) -> None:
        self._part("train")

    @cached_property
    def class_names(self) -> tuple[str, ...]:  # type: ignore[override]
        names = getattr(self._part("train").features[self._label], "names", None)
        return tuple(names) if names else numbered(self.labels_of("train") or [])

    def labels_of(self, part: Part) -> Sequence[Any] | None:
        rows = self._part(part)
        return None if rows is None else list(rows[self._label])

    def picture(self, part: Part, number: int) -> Any:
        return self._part(part)[number][self._image]

    def _part(self, part: Part) -> Any:
        name = self._splits[part]
        if name is None or (name == self._usual.get(part) and name not in self._all):
            return None
        if name not in self._all:
            raise unknown_name(name, self._all, what=f"split of {self._dataset}")
        rows = self._all[name]
        for column in (self._image, self._label):
            if column not in rows.column_names:
                raise unknown_name(column, rows.column_names, what=f"column of {self._dataset}")
        return rows

    @cached_property
    def _all(self) -> Any:
        """Split -> rows."""
        try:
            import datasets
        except ImportError as error:
            raise UserError("data=huggingface needs datasets: pip install 'hybrid-scattering[huggingface]'.") from error
        folder = Path(self._dataset).expanduser()
        try:
            if (folder / "dataset_dict.json").is_file() or (folder / "dataset_info.json").is_file():
                found = datasets.load_from_disk(str(folder))
            else:
                found = datasets.load_dataset(self._dataset, self._config)
        except Exception as error:  # no network, no such data set, and whatever its files are wrong in
            raise UserError(f"data.dataset={self._dataset} cannot be loaded: {first_line(error)[:200]}") from error
        return found if isinstance(found, dict) else {"train": found}
