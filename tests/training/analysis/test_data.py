"""Features that several ranks compute together: those of one rank, in its order."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hybrid import distributed
from hybrid.analysis.features import collect
from hybrid.analysis.layers import layers_of
from hybrid.distributed.rank_slices import Shares
from hybrid.training.analysis.data import exchange

IMAGES = torch.rand(17, 1, 4, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(17)


def of_all(action):
    """What each rank does, once they have met."""

    def work():
        with distributed.session(timeout=30):
            return action()

    return work


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2))


def features(shares=None, *, broken=None, layers=("1", "logits")):
    """In batches of 8, 8 and 1: of the last one, all but the first rank have nothing."""
    model, shares = network(), shares or distributed.own_shares(1)
    batches = [(IMAGES[start : start + 8], LABELS[start : start + 8]) for start in (0, 8, 16)]
    parts = [(x[rows], y[rows]) for x, y in batches for rows in shares.rows(len(y))]

    def own():
        if shares.rank == broken:
            raise ZeroDivisionError("no luck\nat all")
        return collect(model, parts, layers_of(model, taps=layers, image_shape=(1, 4, 4)))

    return exchange(own)


@pytest.mark.parametrize("size", [2, 3])
def test_the_features_are_those_of_one_rank_in_its_order(ranks, size):
    alone = features(Shares())
    for found in ranks(size, of_all(features)).results():
        assert found.labels.tolist() == list(range(17)) and found.sizes == alone.sizes == (8, 8, 1)
        for name, rows in alone.values.items():
            torch.testing.assert_close(found.values[name], rows)


def test_what_fails_on_one_rank_fails_on_all(ranks):
    def attempt():
        try:
            features(broken=1)
        except (ZeroDivisionError, RuntimeError) as error:
            return f"{type(error).__name__}: {error}"

    first, second = ranks(2, of_all(attempt)).results()
    assert first == "RuntimeError: rank 1: no luck" and second.startswith("ZeroDivisionError")


def test_ranks_that_measure_other_layers_are_refused(ranks):
    def attempt():
        with pytest.raises(RuntimeError, match="rank 1 measured other layers than rank 0"):
            features(layers=("logits",) if distributed.rank() else ("1",))
        return "refused"

    assert ranks(2, of_all(attempt)).results() == ["refused"] * 2
