"""A trained model as files that need neither this program nor its configuration, each checked against the model."""

from hybrid.export.pipeline import Pipeline, for_export

__all__ = ["Pipeline", "for_export"]
