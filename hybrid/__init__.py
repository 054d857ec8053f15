"""Hybrid scattering + CNN networks: train them and measure why they work."""

from hybrid.version import __version__

__all__ = ["__version__"]
