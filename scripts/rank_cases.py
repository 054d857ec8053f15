"""The cases of compare_ranks.py: whole runs of narrow models on some hundred small images. No command of its own."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from compare_commits import draw_photos

# 100 training images in batches of 24: the last batch of an epoch has four
_FEW = (
    "data.size=16 data.subset.n=100 data.validation=40 trainer.batch_size=24 trainer.duration='8 steps' trainer.device=cpu "
    "optimizer.lr=0.02 trainer.log_every='2 steps' trainer.evaluate_every='4 steps' trainer.checkpoint_every='4 steps' "
    "analysis=none trainer.tensorboard=false trainer.progress=none trainer.feature_cache=off run.name=run"
)
_SCATTERING = "model.frontend.J=2 model.frontend.max_order=1"
_SYNC, _MIXED = "trainer.sync_batch_norm=true", "augmentation=mixup"
_PHOTOS = (
    "data=folder data.root={} data.size=32 data.resize=36 data.subset.n=null data.validation=8 model=scat_linear "
    f"{_SCATTERING} {_SYNC} augmentation=random_resized_crop"
)
_LINEAR = f"model=scat_linear model/normalization=none {_SCATTERING}"
_NORMED = f"model=scat_mlp model.head.hidden=[16] model.head.batch_norm=true {_SCATTERING}"
_ARRAYS = (
    "data=npz data.root={arrays} data.size=null data.subset.n=null data.validation=0 data.test_images=x_test "
    "data.test_labels=y_test"
)
_OF_3, _OF_25 = (f"{_ARRAYS} data.images=x{count} data.labels=y{count}" for count in (3, 25))
_EVEN = "trainer.drop_last=true"  # one image alone cannot be normalised
_OWN_IMAGES = "each rank normalises by its own images"
_OWN_DROPOUT = "each rank draws its own dropout"


@dataclass(frozen=True)
class Case:
    """Settings of a run; those with which it goes on after a stop; and why several ranks differ, if they do by definition."""

    settings: str
    then: str | None = None
    then_ranks: int | None = None
    differs: str = ""


def _heads() -> Iterator[tuple[str, Case]]:
    """Every head, with batch norm over all ranks' images."""
    wide = "model.head.k=1 model.head.n=1 model.head.widths=[8,8] model.head.stem_width=8"
    heads = {
        "linear": "model=scat_linear",
        "mlp": "model=scat_mlp model.head.hidden=[16] model.head.batch_norm=true",
        "cnn": "model=scat_cnn model.head.widths=[[8],[8]]",
        "resnet": "model=scat_resnet model.head.widths=[8,8] model.head.blocks=1 model.head.strides=[1,1]",
        "wrn": f"model=scat_wrn {wide}",
        "wrn, preactivation": f"model=scat_wrn {wide} model.head.preactivation=true",
        "sle": "model=scat_sle model.head.encoder=[16] model.head.hidden=[16] model.head.dropout=0",
    }
    for name, settings in heads.items():
        yield name, Case(f"{settings} {_SCATTERING} {_SYNC}")
    long = (
        "data.size=32 trainer.batch_size=36 trainer.duration='6 steps' optimizer.lr=0.1 trainer.averages_begin=initial"
    )
    yield "wrn, six long steps", Case(f"model=scat_wrn model.head.k=2 {_SCATTERING} {_SYNC} {long}")
    yield "learned wavelets", Case(f"{heads['resnet']} model/frontend=scattering_learned model.frontend.J=2 {_SYNC}")
    yield "regular cnn", Case(f"model=regular_cnn model.head.width=8 model.head.dropout=0 {_SYNC}")
    narrow = "model.head.widths=[[8],[8],[8]] model.head.hidden=[16] model.head.dropout=0"
    yield "vgg16", Case(f"model=vgg16 {narrow} {_SYNC}")
    yield "wrn on pixels", Case(f"model=wrn_16_8 model.head.k=1 model.head.n=1 model.head.widths=[8,8,8] {_SYNC}")
    small = "model.head.name=mobilenet_v3_small +model.head.options.width_mult=0.25 +model.head.options.dropout=0"
    yield "torchvision", Case(f"model=resnet18 {small} {_SYNC}")


CASES = {
    **dict(_heads()),
    "accumulation": Case(f"{_LINEAR} trainer.accumulation=2"),
    "accumulation, batch norm": Case(f"{_NORMED} {_SYNC} trainer.accumulation=2"),
    "averages": Case(f"{_NORMED} {_SYNC} trainer.ema=0.8"),
    "mixup": Case(f"{_LINEAR} {_MIXED}"),
    "cutmix, batch norm": Case(f"{_NORMED} {_SYNC} augmentation=cutmix"),
    "clipping": Case(f"{_NORMED} {_SYNC} trainer.clip_norm=0.1"),
    "all of these": Case(
        f"{_NORMED} {_SYNC} {_MIXED} trainer.accumulation=2 trainer.ema=0.8 trainer.clip_norm=0.1 trainer.label_smoothing=0.1"
    ),
    "adamw": Case(f"{_NORMED} {_SYNC} optimizer=adamw optimizer.lr=0.001"),
    "best weights": Case(f"{_NORMED} {_SYNC} trainer.test_weights=best trainer.evaluate_every='2 steps'"),
    "a last batch of one image": Case(f"model=scat_cnn model.head.widths=[[8],[8]] {_SCATTERING} {_SYNC} {_OF_25}"),
    "fewer labels than ranks": Case(f"{_LINEAR} {_OF_3}"),
    "feature cache": Case(f"{_LINEAR} trainer.feature_cache=memory augmentation=none"),
    "files": Case("{photos} data.num_workers=0"),
    "resume": Case(f"{_NORMED} {_SYNC} trainer.ema=0.8", then=""),
    "resume with other workers": Case("{photos} data.num_workers=0", then="data.num_workers=2"),
    "resume with another accumulation": Case(_LINEAR, then="trainer.accumulation=2"),
    "resume on one rank": Case(f"{_NORMED} {_SYNC} trainer.ema=0.8", then="", then_ranks=1),
    "own batch norm": Case(f"{_NORMED} {_EVEN}", differs=_OWN_IMAGES),
    "own batch norm, wrn": Case(
        f"model=scat_wrn {_SCATTERING} model.head.k=1 model.head.n=1 {_EVEN}", differs=_OWN_IMAGES
    ),
    "dropout": Case(
        f"model=scat_mlp model.head.hidden=[16] model.head.dropout=0.5 {_SCATTERING}", differs=_OWN_DROPOUT
    ),
}


def settings_of(case: Case, folder: Path) -> dict[str, str]:
    """Key -> value of every setting of the case; its data lie in `folder`, where `make_data` has put them."""
    places = {"photos": _PHOTOS.format(folder / "photos"), "arrays": folder / "arrays.npz"}
    return parsed(f"{_FEW} {case.settings.format(**places)}")


def parsed(text: str) -> dict[str, str]:
    """Key -> value of settings as they are typed."""
    return dict(setting.split("=", 1) for setting in shlex.split(text))


def make_data(folder: Path) -> None:
    """Write the data sets that some cases read: 64 drawn photographs of two classes, and arrays of 3 and of 25 images."""
    draw_photos(folder / "photos")
    random, arrays = np.random.default_rng(0), {}
    for name, count in (("3", 3), ("25", 25), ("_test", 5)):
        arrays[f"x{name}"] = random.integers(0, 256, (count, 16, 16), dtype=np.uint8)
        arrays[f"y{name}"] = np.arange(count) % 2
    np.savez(folder / "arrays.npz", **arrays)
