"""Models: a front-end, a normalization and a head, each of them replaceable."""

from hybrid.models.describe import Description, Layer, describe
from hybrid.models.hybrid import HybridModel, build
from hybrid.taps import capture, nonlinearity_taps

__all__ = ["Description", "HybridModel", "Layer", "build", "capture", "describe", "nonlinearity_taps"]
