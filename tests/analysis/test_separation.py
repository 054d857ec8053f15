"""separation: the exact distances to the nearest of the own and of the other classes."""

from __future__ import annotations

import pytest
import torch

from hybrid.analysis.nearest import nearest_neighbours
from hybrid.analysis.separation import class_separation


def brute(values, labels):
    matrix = torch.stack([(values.double() - row).square().sum(1).sqrt() for row in values.double()])
    own = labels[:, None] == labels
    other = matrix.masked_fill(own, torch.inf).amin(1)
    matrix.fill_diagonal_(torch.inf)
    return matrix.masked_fill(~own, torch.inf).amin(1), other, own[torch.arange(len(labels)), matrix.argmin(1)]


def data(kind):
    labels = torch.randint(0, 6, (400,)) * 3 - 5
    noise = torch.randn(400, 7)
    return (
        {
            "mixed": noise,
            "pure": noise + 20 * labels[:, None],  # all 31 neighbours are of the own class
            "tight": 1e-4 * noise + torch.randn(20, 7)[labels + 5],
            "ties": torch.randint(0, 3, (400, 3)).float(),
            "duplicates": noise[:40].repeat(10, 1),
            "all equal": torch.ones(400, 2),
        }[kind],
        labels,
    )


@pytest.mark.parametrize("kind", ["mixed", "pure", "tight", "ties", "duplicates", "all equal"])
@pytest.mark.parametrize("table", [None, 1, 60])
def test_brute_force(kind, table):
    values, labels = data(kind)
    neighbours = table and nearest_neighbours(values, table)
    result = class_separation(values, labels, neighbours=neighbours, memory_bytes=10**6)
    same, other, nearest_is_same = brute(values, labels)
    torch.testing.assert_close(result.same, same, rtol=1e-15, atol=0)
    torch.testing.assert_close(result.other, other, rtol=1e-15, atol=0)
    if kind in ("mixed", "pure", "tight", "all equal"):  # argmin does not promise the first of several
        assert torch.equal(result.nearest_is_same, nearest_is_same)


def test_classes_of_two_among_many():
    """The own class is rarely among 31 neighbours."""
    values, labels = torch.randn(200, 4), torch.arange(200) // 2
    result = class_separation(values, labels)
    expected = (values.double()[::2] - values.double()[1::2]).square().sum(1).sqrt().repeat_interleave(2)
    torch.testing.assert_close(result.same, expected, rtol=1e-15, atol=0)


def test_figures():
    values = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    result = class_separation(values, torch.tensor([0, 0, 1, 1]))
    assert result.same.tolist() == [1, 1, 4, 4] and result.other.tolist() == [3, 2, 2, 6]
    assert result.nearest_is_same.tolist() == [True, True, False, True]
    assert result.minimum() == 2
    assert result.quantiles([0, 0.5, 1]) == (2, 2.5, 6)
    assert result.cumulative("other", torch.tensor([1.9, 2, 3, 9])).tolist() == [0, 0.5, 0.75, 1]
    assert result.cumulative("same", torch.tensor([1.0, 4])).tolist() == [0.5, 1]
    same, other = result.published()
    assert (same.tolist(), other.tolist()) == ([1, 1, 4], [2])


def test_invariances():
    values, labels = data("mixed")
    result = class_separation(values, labels)
    order = torch.randperm(400)
    shuffled = class_separation(values[order], 100 - labels[order])
    scaled = class_separation(values * 4, labels)
    assert torch.equal(shuffled.same, result.same[order]) and torch.equal(shuffled.other, result.other[order])
    assert torch.equal(scaled.other, 4 * result.other) and torch.equal(scaled.same, 4 * result.same)


def test_mistakes():
    values, labels = data("mixed")
    with pytest.raises(ValueError, match="one class"):
        class_separation(values, labels * 0)
    with pytest.raises(ValueError, match=r"class 0 has one sample \(400 such"):
        class_separation(values, torch.arange(400))
    with pytest.raises(ValueError, match="class 9 has one sample"):
        class_separation(values, torch.cat([labels[1:], torch.tensor([9])]))
    with pytest.raises(ValueError, match="finite"):
        class_separation(values * torch.nan, labels)
    result = class_separation(values, labels)
    with pytest.raises(ValueError, match="between 0 and 1"):
        result.quantiles([2])
    with pytest.raises(ValueError, match="same or other"):
        result.cumulative("both", values[:, 0])
