"""What a network says of images that belong to no data set: found, decoded in batches, predicted, and written as a table."""

from hybrid.prediction.image_files import Unreadable, find_images, read_batches
from hybrid.prediction.predict import Prediction, predict, predict_arrays
from hybrid.prediction.tables import WRITERS, as_table

__all__ = [
    "WRITERS",
    "Prediction",
    "Unreadable",
    "as_table",
    "find_images",
    "predict",
    "predict_arrays",
    "read_batches",
]
