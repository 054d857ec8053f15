"""Several processes that train one run: how they start, meet, watch one another, and share batches, gradients and batch norm.

The names below come from `group` and `alike`. Importing the package loads no torch: `launch` and `rank_slices` are needed
before it.
"""

from hybrid.lazy import lazy_names

__all__ = [
    "compare", "done", "from_main", "gather", "gather_objects", "gather_rows", "heard", "is_main", "max_later", "min_", "on_exit",
    "own_shares", "prepare", "rank", "same_weights", "seed_rank", "session", "size", "sum_", "together",
]  # fmt: skip

_ALIKE = dict.fromkeys(("compare", "own_shares", "prepare", "same_weights", "seed_rank"), "hybrid.distributed.alike")
__getattr__, __dir__ = lazy_names(__name__, dict.fromkeys(__all__, "hybrid.distributed.group") | _ALIKE)
