"""A run's folder, what is written into it, and reading it back: metrics.jsonl (the truth), TensorBoard's files, console lines.

Importing the package loads no torch: a table of finished runs needs none.
"""

from hybrid.lazy import lazy_names

__all__ = ["RunFolder", "StoredRun", "Tracker", "find_runs"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "StoredRun": "hybrid.runs.reading",
        "RunFolder": "hybrid.runs.folder",
        "Tracker": "hybrid.runs.tracker",
        "find_runs": "hybrid.runs.reading",
    },
)
