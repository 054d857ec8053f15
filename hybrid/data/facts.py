"""What the files of a data set say about it: a run keeps it, and compares it when it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from hybrid.data.scale import PixelStatistics


class Facts(NamedTuple):
    """What the files of a data set say about it. A run keeps it, to be used without them and to notice that they changed.

    image_shape: (C, H, W) of its images; None: not known. measured: their statistics, where they were measured. left_out: the
    damaged files that are not used, as the data set names them; None: all files are used. images: split -> {"number": of its
    images, "labels": a digest of their labels}. class_names: one for each class, label or value; None: not known.
    """

    image_shape: tuple[int, int, int] | None = None
    measured: PixelStatistics | None = None
    left_out: tuple[str, ...] | None = None
    images: Mapping[str, Mapping[str, Any]] | None = None
    class_names: tuple[str, ...] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain data, of which `of` makes the facts again; without the names, which a run keeps in a file of their own."""
        found = self.measured
        normalize = None if found is None else {"mean": list(found.mean), "std": list(found.std)}
        content = {
            "image_shape": self.image_shape and list(self.image_shape),
            "normalize": normalize,
            "images": self.images,
        }
        return content if self.left_out is None else {**content, "left_out": list(self.left_out)}

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Facts:
        """The facts of `as_dict`, also of one with fewer keys; "class_names" may be among them."""
        shape, found = content.get("image_shape"), content.get("normalize")
        left_out, names = content.get("left_out"), content.get("class_names")
        return cls(
            image_shape=None if shape is None else (shape[0], shape[1], shape[2]),
            measured=None if found is None else PixelStatistics(tuple(found["mean"]), tuple(found["std"])),
            left_out=None if left_out is None else tuple(left_out),
            images=content.get("images"),
            class_names=None if names is None else tuple(names),
        )
