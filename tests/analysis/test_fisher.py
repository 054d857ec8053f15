"""Fisher's ratio: its definition, its invariance, and its chance level."""

from __future__ import annotations

import pytest
import torch

from hybrid.analysis import fisher_ratio
from hybrid.errors import UserError


@pytest.fixture
def noise():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3000, 5, generator=generator), torch.arange(3000) % 3


def test_it_is_the_definition_and_no_linear_map_changes_it(noise):
    values, labels = noise
    values = values + torch.tensor([0.0, 1.0, 3.0])[labels][:, None] * torch.tensor([1.0, 0, 0, 0, 0])
    found = fisher_ratio(values, labels)
    assert found.value == pytest.approx((16 / 9 + 1 / 9 + 25 / 9) / 3 / 3, rel=0.1)  # means 0, 1, 3 of variance 1
    mixed = values @ torch.randn(5, 5, generator=torch.Generator().manual_seed(1)) + 7
    assert fisher_ratio(mixed, labels).value == pytest.approx(found.value, rel=1e-3)
    assert fisher_ratio(mixed[:, :, None], labels).value == pytest.approx(found.value, rel=1e-3)


def test_features_that_know_nothing_have_the_chance_level():
    generator = torch.Generator().manual_seed(0)
    found = [fisher_ratio(torch.randn(90, 30, generator=generator), torch.arange(90) % 3) for _ in range(40)]
    mean = sum(each.value for each in found) / len(found)
    assert mean == pytest.approx(found[0].chance, rel=0.1)
    assert found[0].above_chance == found[0].value - found[0].chance


def test_what_it_cannot_compare_is_one_line(noise):
    values, labels = noise
    with pytest.raises(UserError, match="at least two"):
        fisher_ratio(values, 0 * labels)
    with pytest.raises(UserError, match="5 dimensions needs more than 9 images: 9"):
        fisher_ratio(values[:9], labels[:9])
