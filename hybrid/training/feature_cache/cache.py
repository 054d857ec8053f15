"""Which features to keep and where, and the loaders and the rest of the model that use them."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from hybrid import distributed
from hybrid.data import Data, Loader
from hybrid.data.augmentation import BatchAugmenter
from hybrid.data.stored import FileSplit, Split
from hybrid.distributed.launch import Launch
from hybrid.errors import UserError
from hybrid.models import HybridModel
from hybrid.models.parts import is_fixed, trainable_filters
from hybrid.training.feature_cache.file import FeatureFile, feature_folder, gib
from hybrid.training.feature_cache.loader import FeatureLoader
from hybrid.training.memory import free_memory
from hybrid.training.plan import Plan
from hybrid.version import __version__

_AUTO_SHARE, _MOST = 0.25, 0.8  # of the memory that is free: what auto takes, and what may be asked for
_BATCH, _FEW = 256, 16  # images at a time; as many are computed again to check a file


@dataclasses.dataclass(frozen=True, kw_only=True)
class CachePlan:
    """Which splits to keep, and where.

    versions: 2 where training images are mirrored. shape: (C, H, W) of the front-end's output. channels_last: the rows are
    kept as the head wants them, not converted at every step.
    """

    plan: Plan
    data: Data
    place: Literal["memory", "disk"]
    splits: tuple[str, ...]
    versions: int
    shape: tuple[int, int, int]
    channels_last: bool

    def build(self, model: HybridModel) -> FeatureCache:
        """Compute the features, or find them on the disk. Raises UserError where the disk has no room for them."""
        began = time.monotonic()
        rows, computed = {}, False
        for split in self.splits:
            if self.place == "memory":
                rows[split], computed = self._in_memory(model, split), True
            else:
                rows[split], made = self._on_disk(model, split)
                computed = computed or made
        return FeatureCache(self, rows, seconds=time.monotonic() - began, computed=computed)

    def row_shape(self, split: str) -> tuple[int, ...]:
        channels, height, width = self.shape
        row = (height, width, channels) if self.channels_last else self.shape
        return (self.versions_of(split) * len(self.data.splits[split]), *row)

    def versions_of(self, split: str) -> int:
        return self.versions if split == "train" else 1

    def bytes_of(self, split: str) -> int:
        return 4 * math.prod(self.row_shape(split))

    @torch.no_grad()
    def _batches(self, model: HybridModel, split: str, batch_size: int = _BATCH) -> Iterator[Tensor]:
        """Rows of `split`, image after image, each followed by its mirror image where that is needed too."""
        loader = self.data.loader(split, batch_size=batch_size, device=self.plan.device)
        with contextlib.closing(loader.epoch(0)) as batches:
            for batch in batches:
                versions = [batch.images, batch.images.flip(-1)][: self.versions_of(split)]
                with self.plan.trainer.arithmetic.on(self.plan.device):
                    features = torch.stack([model.frontend(images) for images in versions], 1).flatten(0, 1).float()
                yield features.permute(0, 2, 3, 1).contiguous() if self.channels_last else features

    def _in_memory(self, model: HybridModel, split: str) -> Tensor:
        rows, filled = torch.empty(self.row_shape(split), device=self.plan.device), 0
        for batch in self._batches(model, split):
            rows[filled : filled + len(batch)] = batch
            filled += len(batch)
        return rows

    def _on_disk(self, model: HybridModel, split: str) -> tuple[Tensor, bool]:
        file = FeatureFile(self._key(split), self.row_shape(split))
        return file.rows(self._batches(model, split, batch_size=_FEW), lambda: self._batches(model, split))

    def _key(self, split: str) -> str:
        """A hash of the images themselves, in their order, and of all that makes features of them."""
        digest = hashlib.blake2b(digest_size=12)
        about = [_relevant(self.plan), self.row_shape(split), __version__]
        if (measured := self.data.measured) is not None or self.data.source.reads_shape:
            normalize = measured and {"mean": list(measured.mean), "std": list(measured.std)}
            about.append({"image_shape": list(self.data.image_shape), "normalize": normalize})
        digest.update(json.dumps(about, sort_keys=True).encode())
        digest_images(digest, self.data, self.data.splits[split])
        return digest.hexdigest()


def digest_images(digest: Any, data: Data, split: Split) -> None:
    """Add the images of a split, in their order, to a digest of hashlib: their pixels, or the bytes of their files."""
    if isinstance(split, FileSplit):
        for path in split.paths:
            digest.update(data.source.content(path))
    else:
        digest.update(np.ascontiguousarray(split.images.cpu().numpy()))


class FeatureCache:
    """The features of some splits. `seconds` is what it took to compute them (`computed`) or to find them."""

    def __init__(self, wanted: CachePlan, rows: dict[str, Tensor], *, seconds: float, computed: bool) -> None:
        self.wanted, self.seconds, self.computed = wanted, seconds, computed
        self._rows = rows
        self._normalized = False

    def __contains__(self, split: str) -> bool:
        return split in self._rows

    def describe(self) -> str:
        """One line: what is cached, where, how large, how long it took."""
        wanted = self.wanted
        counts = ", ".join(f"{len(wanted.data.splits[split])} {split}" for split in self._rows)
        size = sum(rows.numel() * rows.element_size() for rows in self._rows.values())
        where = "memory" if wanted.place == "memory" else str(feature_folder())
        mirrored = " and mirrored training" if wanted.versions == 2 else ""
        return (
            f"feature cache: the front-end's output for {counts}{mirrored} images, {gib(size)} in {where}, "
            f"{'computed' if self.computed else 'found'} in {self.seconds:.1f} s"
        )

    def loader(self, like: Loader) -> Loader:
        """That loader's batches with features in place of images."""
        wanted, split = self.wanted, self.wanted.data.splits[like.name]
        mirror = BatchAugmenter(wanted.data.augmentation, fill=torch.zeros(1, dtype=torch.uint8))
        kept = {"labels": split.labels, "indices": split.indices, "mirror": mirror}
        return FeatureLoader(
            like, self._rows[like.name], channels_last=wanted.channels_last, device=wanted.plan.device, **kept
        )

    def rest(self, model: HybridModel) -> nn.Module:
        """The part of `model` after the cache, made of the very modules of it."""
        parts = [model.head] if self._normalized else [model.normalization, model.head]
        parts += [model.units] if model.units is not None else []
        rest = parts[0] if len(parts) == 1 else nn.Sequential(*parts)
        rest.training = model.training
        return rest

    @torch.no_grad()
    def normalize(self, model: HybridModel) -> None:
        """Apply a fixed normalization, once it is fitted, in place: in memory alone, since files serve other runs too."""
        normalization = model.normalization
        if self.wanted.place == "disk" or not is_fixed(normalization):
            return
        for rows in self._rows.values():
            for part in rows.split(_BATCH):
                features = part.permute(0, 3, 1, 2) if self.wanted.channels_last else part
                features.copy_(normalization(features))
        self._normalized = True


def plan_cache(plan: Plan, data: Data, model: HybridModel) -> CachePlan | None:
    """What trainer.feature_cache comes to for this run; None for no cache. All ranks must call it.

    Raises UserError, naming the obstacle, for memory or disk where it cannot be.
    """
    mode = plan.trainer.feature_cache
    if mode == "off":
        return None
    obstacle = _obstacle(model, data)
    versions = 2 if data.augmentation.flip else 1
    if mode == "auto" and (obstacle or plan.device.type != "cpu" or not _pays(plan, data, versions)):
        return None
    # the test images are looked at once in a run: their features serve other runs alone
    kept = ("train", "validation", "test") if mode == "disk" else ("train", "validation")
    wanted = CachePlan(
        plan=plan,
        data=data,
        place="disk" if mode == "disk" else "memory",
        splits=tuple(split for split in kept if split in data.splits),
        versions=versions,
        shape=model.frontend.output_shape,
        channels_last=model.channels_last,
    )
    obstacle = obstacle or (
        _lack_of_memory(wanted, _AUTO_SHARE if mode == "auto" else _MOST) if mode != "disk" else None
    )
    if obstacle and mode == "auto":
        return None
    if obstacle:
        raise UserError(f"trainer.feature_cache={mode} is not possible: {obstacle}. Valid here: auto, off.")
    return wanted


def _obstacle(model: HybridModel, data: Data) -> str | None:
    frontend = model.frontend
    if trainable_filters(frontend):
        return f"the front-end {type(frontend).__name__} learns"
    if not is_fixed(frontend):
        return f"the front-end {type(frontend).__name__} does not say that its output can be kept (fixed = True)"
    changes = data.augmentation.beyond_mirroring
    return f"{changes[0]} makes new images all the time; mirroring alone can be kept" if changes else None


def _pays(plan: Plan, data: Data, versions: int) -> bool:
    """Whether a rank's steps see more images than it would have to compute: its share of them, against all."""
    steps_per_epoch = -(-len(data.splits["train"]) // plan.trainer.batch_size)
    return plan.length.total_steps > versions * distributed.size() * steps_per_epoch


def _lack_of_memory(wanted: CachePlan, share: float) -> str | None:
    """Why the features do not fit, on the rank that has the least; every rank on a machine's CPU has its own copy."""
    launch = Launch.read()
    device = wanted.plan.device
    copies = 1 if device.type == "cuda" else launch.size if launch.manner == "srun" else launch.local_size
    needed, unknown = copies * sum(map(wanted.bytes_of, wanted.splits)), -1
    own = free_memory(device)
    free = min(distributed.gather_objects(unknown if own is None else own))
    if free == unknown:
        return "this system does not tell how much memory is free" if share == _AUTO_SHARE else None
    if needed <= share * free:
        return None
    return f"it needs {gib(needed)} of memory, and takes at most {share:.0%} of the {gib(free)} that are free"


def _relevant(plan: Plan) -> dict[str, Any]:
    """What features depend on, but for the images themselves, which are a part of the key of their own."""
    elsewhere = {"root", "download", "num_workers", "validation", "split_seed", "subset"}
    data = {key: value for key, value in plan.features_from["data"].items() if key not in elsewhere}
    return {"data": data, "frontend": plan.features_from["frontend"], "precision": plan.trainer.precision}
