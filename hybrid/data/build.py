"""From a source of images to data that are split, augmented, preprocessed and loaded."""

from __future__ import annotations

import logging

from hybrid.data.augmentation import Augmentation
from hybrid.data.dataset import Data
from hybrid.data.facts import Facts
from hybrid.data.holdout import Holdout
from hybrid.data.scale import Scale, check_scale, for_channels
from hybrid.data.sources import FileSource, Source
from hybrid.data.splits import Division, Subset
from hybrid.errors import UserError

_log = logging.getLogger(__name__)


def build(
    source: Source,
    *,
    normalize: Scale = "none",
    augmentation: Augmentation | None = None,
    subset: Subset | None = None,
    validation: int | float | None = 0,
    split_seed: int = 0,
    holdout: Holdout | None = None,
    seed: int = 0,
    facts: Facts | None = None,
) -> Data:
    """The data of a source, ready to load; no file is read before it is needed.

        build(Cifar10(root="data"), normalize="none", augmentation=Augmentation(pad=4, flip=0.5), validation=5000)

    Args:
        source: the data set itself.
        normalize: the `PixelStatistics` of the training images; "auto" measures them once; "none" leaves pixels in [0, 1];
            "contrast" is local contrast normalisation.
        augmentation: the random changes of training images; none by default.
        subset: a small training set; all images by default.
        validation: the images that validate, as a fraction in (0, 1) or a number; 0: none; None: the split that the data set
            brings, or a tenth of the training images.
        split_seed: decides which images test, where they are drawn, and which validate.
        holdout: which images test; by default the test images that the data set brings.
        seed: decides the order of the images, their augmentation, and the subset if it has no seed of its own.
        facts: what an earlier `Data.facts()` of the same data set said, which is then not read or measured again;
            what has changed since is said when the files are read.

    Raises UserError for values out of range and settings that exclude each other.
    """
    if not isinstance(source, Source):
        raise UserError(f"data: a {type(source).__name__} is no hybrid.data.MemorySource or hybrid.data.FileSource.")
    if facts is not None and facts.image_shape is not None:
        source.assume(facts.image_shape)
    augmentation = augmentation or Augmentation()
    _check_augmentation(augmentation, source)
    normalize = for_channels(normalize, source.image_shape[0])
    check_scale(normalize, channels=source.image_shape[0])  # before anything is read
    data = Data(
        source,
        scale=normalize,
        augmentation=augmentation,
        division=Division(subset or Subset(), validation, split_seed, holdout or Holdout()),
        seed=seed,
    )
    if facts is not None:
        data.know(facts)
    return data


def _check_augmentation(augmentation: Augmentation, source: Source) -> None:
    if augmentation.cutmix and source.task == "regression":
        raise UserError(
            f"augmentation.cutmix={augmentation.cutmix:g} makes no sense for values: those of an image with a piece of another "
            "are not known. Valid for regression: augmentation.mixup, or none."
        )
    channels, height, width = source.image_shape
    if augmentation.policy is not None and channels not in (1, 3):
        raise UserError(
            f"augmentation.policy={augmentation.policy} changes colours, and {source.name} has images of {channels} channels: it "
            "works on grey or RGB. Valid here: pad, flip, cutout, mixup, cutmix."
        )
    augmentation.check_size(height, width)
    if augmentation.random_resized_crop is not None and not isinstance(source, FileSource):
        raise UserError(
            f"augmentation.random_resized_crop works on image files (data=imagenet, data=folder), not on {source.name}: use "
            "augmentation=crop_flip."
        )
    kind = type(source)
    own_reading = kind.open_image is not Source.open_image and kind.item_box is Source.item_box
    if augmentation.random_resized_crop is not None and own_reading:
        _log.warning(
            "augmentation.random_resized_crop reads training images without %s.open_image, which reads the others: override "
            "item_box, too, or use augmentation=crop_flip.",
            kind.__name__,
        )
