from __future__ import annotations

import numpy as np
import pytest

from hybrid.reports.divergence import below

NAN = np.nan


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        ([2, 1, 0.5], [2, 1, 0.5]),
        ([2, 1, 4, 1e9], [2, 1, 2.4]),  # up to where it crosses
        ([2, 1, 1.5, NAN, NAN], [2, 1, 1.5]),
        ([2, 0, 50, 1e9, NAN], [2, 0]),  # there is no growing by a factor from nothing
        ([2, NAN, 50, 1e9], [2, NAN]),
        ([5, 6], [5, 6]),  # never below
    ],
)
def test_a_diverging_loss_is_drawn_up_to_the_top(values, drawn):
    places, kept = below(2.4, np.arange(len(values), dtype=float), np.array(values, dtype=float))
    assert len(places) == len(kept) and np.isfinite(places).all()
    np.testing.assert_allclose(kept, drawn)
