"""Turned digits: the turn is one, and the classifier is told apart by what its features keep."""

from __future__ import annotations

import math

import measure_rotated_digits as script
import numpy as np
import torch


def test_a_quarter_turn_is_exact():
    images = torch.rand(2, 8, 8)
    angles = torch.tensor([math.pi / 2, 0.0])
    one, other = script.turned(images, angles)
    torch.testing.assert_close(one, images[0].rot90(1), atol=1e-5, rtol=0)
    torch.testing.assert_close(other, images[1])


def test_the_error_counts_what_is_wrong():
    random = np.random.RandomState(0)
    labels = np.arange(60) % 3
    images = torch.from_numpy(random.rand(60, 4, 4).astype(np.float32)) + torch.from_numpy(labels)[:, None, None]
    wrong = np.where(np.arange(60) < 15, (labels + 1) % 3, labels)
    found, dimension = script.error(lambda part: part[:, None], (images, labels), (images, wrong))
    assert found == 25 and dimension >= 0
