"""NumPy's arrays and integers are as good as tensors and Python's numbers, for every plain function of hybrid.analysis."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hybrid import analysis
from hybrid.errors import UserError

RANDOM = np.random.RandomState(0)
ROWS, LABELS = RANDOM.rand(24, 6), np.arange(24) % 3
IMAGES = RANDOM.rand(4, 3, 8, 8).astype(np.float32)
MODEL = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 5))
TABLE = analysis.nearest_neighbours(torch.from_numpy(ROWS), 5)
PAIRS = analysis.sample_pairs(torch.from_numpy(LABELS), 10, generator=torch.Generator().manual_seed(0))
TAKERS = {
    "boundary_counts": lambda f, y, x: analysis.boundary_counts(f, y, np.int64(4)),
    "released_boundary_counts": lambda f, y, x: analysis.released_boundary_counts(f, y, np.int64(4)),
    "class_distances": lambda f, y, x: analysis.class_distances(f, y),
    "class_separation": lambda f, y, x: analysis.class_separation(f, y),
    "class_spectra": lambda f, y, x: analysis.class_spectra(f, y),
    "contraction_ratios": lambda f, y, x: analysis.contraction_ratios(f[:, 0], f[:, 1], y == 0),
    "distances_of": lambda f, y, x: analysis.distances_of(f, PAIRS),
    "jacobian_norm": lambda f, y, x: analysis.jacobian_norm(torch.sin, f, iterations=np.int64(3)),
    "knn_accuracy": lambda f, y, x: analysis.knn_accuracy(TABLE, y, y, np.int64(3)),
    "nearest_neighbours": lambda f, y, x: analysis.nearest_neighbours(f, np.int64(3)),
    "pair_distances": lambda f, y, x: analysis.pair_distances(f[:5], f[5:10]),
    "perturb": lambda f, y, x: analysis.perturb(
        x, "noise", np.float64(0.1), generator=torch.Generator().manual_seed(0)
    ),
    "pooled": lambda f, y, x: analysis.pooled(x),
    "probe_accuracies": lambda f, y, x: analysis.probe_accuracies(f, y, f, y, probes=["knn"], k=np.int64(3)),
    "saliency": lambda f, y, x: analysis.saliency(MODEL, x, y[:4]),
    "sample_pairs": lambda f, y, x: analysis.sample_pairs(y, np.int64(10), generator=torch.Generator().manual_seed(0)),
}


@pytest.mark.parametrize("name", TAKERS)
def test_arrays_give_what_tensors_give(name):
    ours = TAKERS[name](*(torch.from_numpy(each) for each in (ROWS, LABELS, IMAGES)))
    assert str(TAKERS[name](ROWS, LABELS, IMAGES)) == str(ours)


@pytest.mark.parametrize("name", ["class_spectra", "boundary_counts", "nearest_neighbours", "jacobian_norm"])
def test_what_holds_no_numbers_is_one_line(name):
    with pytest.raises(UserError, match="must be a tensor or an array of numbers"):
        TAKERS[name](np.array([["a", "b"]] * 24), LABELS, IMAGES)
