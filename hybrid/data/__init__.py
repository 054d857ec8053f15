"""Images: read, split, augmented, preprocessed and handed to the training step in batches."""

from hybrid.data.augmentation import Augmentation
from hybrid.data.batch import Batch, Loader
from hybrid.data.build import build
from hybrid.data.dataset import Data
from hybrid.data.holdout import Holdout
from hybrid.data.preprocessing import PixelStatistics
from hybrid.data.sources import Files, FileSource, MemorySource
from hybrid.data.splits import Subset
from hybrid.data.tasks import Task

__all__ = [
    "Augmentation", "Batch", "Data", "FileSource", "Files", "Holdout", "Loader", "MemorySource", "PixelStatistics", "Subset",
    "Task",
    "build",
]  # fmt: skip
