"""From Hydra's composed configuration to checked Python objects, with errors that a user can act on."""

from hybrid.configuration.instantiate import build_record, instantiate

__all__ = ["build_record", "instantiate"]
