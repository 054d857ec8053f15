"""Classes of image files that belong to no data set: found, decoded in batches, predicted, written as a table."""

from hybrid.prediction.image_files import Unreadable, find_images, read_batches
from hybrid.prediction.predict import Prediction, predict
from hybrid.prediction.tables import WRITERS

__all__ = ["WRITERS", "Prediction", "Unreadable", "find_images", "predict", "read_batches"]
