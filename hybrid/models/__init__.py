"""Models: a front-end, a normalization and a head, each replaceable from the command line."""

from hybrid.models.hybrid import HybridModel, build

__all__ = ["HybridModel", "build"]
