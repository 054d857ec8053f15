"""A run's folder and what is written into it: metrics.jsonl (the truth), TensorBoard's files, lines on the console."""

from hybrid.runs.folder import RunFolder
from hybrid.runs.tracker import Tracker

__all__ = ["RunFolder", "Tracker"]
