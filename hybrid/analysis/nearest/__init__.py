"""Exact nearest neighbours of features: one table per layer, shared by boundary complexity, separation and k-NN probes.

neighbours = nearest_neighbours(features, 31)
boundary_counts(features, labels, neighbours=neighbours)
class_separation(features, labels, neighbours=neighbours)

The names below are the whole interface. The other files of this folder are private to it: `exact_search` is the search,
`rounding` bounds its errors, `smallest` picks the few that count.
"""

from hybrid.analysis.nearest.neighbours import Neighbours, nearest_neighbours, nearest_of_another_class

__all__ = ["Neighbours", "nearest_neighbours", "nearest_of_another_class"]
