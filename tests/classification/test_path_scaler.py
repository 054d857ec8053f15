"""One scale for each path."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.utils.estimator_checks import check_estimator

from hybrid.classification import PathScaler


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")  # checks that need what is not there
def test_it_is_an_estimator_of_scikit_learn():
    check_estimator(PathScaler())


def test_no_path_of_a_training_image_has_a_norm_above_1():
    images = np.random.RandomState(0).randn(7, 3, 2, 2)
    images[:, 1] = 0
    scaler = PathScaler(positions=4).fit(images.reshape(7, 12))
    scaled = scaler.transform(images.reshape(7, 12)).reshape(7, 3, 4)
    norms = np.linalg.norm(scaled, axis=2).max(0)
    np.testing.assert_allclose(norms, [1, 0, 1])
    other = scaler.transform(3 * images.reshape(7, 12)).reshape(7, 3, 4)
    np.testing.assert_allclose(other, 3 * scaled)


def test_maps_must_be_whole():
    with pytest.raises(ValueError, match="positions=5 is not valid for X with 12 features"):
        PathScaler(positions=5).fit(np.ones((2, 12)))
