"""Images: read, split, augmented, preprocessed and handed to the training step in batches.

Importing the package loads no torch, which takes seconds: what the settings of a data set say is checked before it.
"""

from hybrid.data.augmentation import Augmentation
from hybrid.data.batch import Batch, Loader
from hybrid.data.build import build
from hybrid.data.dataset import Data
from hybrid.data.holdout import Holdout
from hybrid.data.scale import PixelStatistics
from hybrid.data.sources import Files, FileSource, MemorySource
from hybrid.data.splits import Subset
from hybrid.data.tasks import Task

__all__ = [
    "Augmentation", "Batch", "Data", "FileSource", "Files", "Holdout", "Loader", "MemorySource", "PixelStatistics", "Subset",
    "Task",
    "build",
]  # fmt: skip
