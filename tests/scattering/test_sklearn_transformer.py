"""The transform as a step of scikit-learn's pipelines."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

from hybrid.scattering import ScatteringError, ScatteringTransformer2D, TorchScattering2D

SHAPE = (8, 12)


@pytest.fixture
def images():
    return np.random.RandomState(0).rand(5, 3, *SHAPE)


def transformer(shape=SHAPE, **settings):
    return ScatteringTransformer2D(J=2, shape=shape, L=4, engine="torch", **settings)


def test_rows_are_the_modules_coefficients(images):
    expected = TorchScattering2D(2, SHAPE, 4)(images.astype(np.float32)).reshape(5, -1)
    flat = images.reshape(5, -1)
    for shape, given in (
        (SHAPE, images),
        ((3, *SHAPE), flat),
        (SHAPE, flat),  # rows of 3 · H · W pixels are colour images
        ((3, *SHAPE), images),
        (SHAPE, torch.from_numpy(images)),
    ):
        rows = transformer(shape).fit_transform(given)
        assert rows.dtype == np.float32 and np.array_equal(rows, expected)
    grey = transformer().transform(images[:, 0])  # without fit
    assert np.array_equal(grey, expected.reshape(5, 3, -1)[:, 0])
    assert np.array_equal(transformer().transform(images[:, 0].reshape(5, -1)), grey)


def test_types(images):
    assert transformer(dtype="float64").transform(images).dtype == np.float64
    pixels = (images * 255).astype(np.uint8)
    assert np.array_equal(transformer().transform(pixels), transformer().transform(pixels.astype(np.float32)))


def test_the_size_may_come_from_the_images(images):
    open_size = ScatteringTransformer2D(J=2, L=4, engine="torch")
    assert np.array_equal(open_size.fit(images).transform(images), transformer().transform(images))
    with pytest.raises(ScatteringError, match=r"X has rows of 288 pixels: give shape=\(H, W\)"):
        open_size.fit(images.reshape(5, -1))


def test_pre_padded_images():
    padded = ScatteringTransformer2D(J=1, shape=(4, 4), L=2, pre_pad=True, engine="torch")
    assert padded.fit_transform(np.ones((2, 8, 8))).shape == (2, 3 * 2 * 2)
    images = np.random.RandomState(0).rand(2, 8, 8)
    none = ScatteringTransformer2D(J=1, shape=(4, 4), L=2, boundary="none", engine="torch")
    np.testing.assert_array_equal(none.transform(images), padded.transform(images))
    periodic = ScatteringTransformer2D(J=1, L=2, boundary="periodic", dtype="float64")
    maps, moved = (periodic.transform(each).reshape(2, 3, 4, 4) for each in (images, np.roll(images, 2, -1)))
    np.testing.assert_allclose(moved, np.roll(maps, 1, -1), atol=1e-14)


def test_no_images_give_no_rows():
    assert transformer().transform(np.zeros((0, *SHAPE))).shape == (0, 25 * 2 * 3)


def test_parameters_clones_and_pickles(images):
    original = transformer(dtype="float64")
    copy = clone(original)
    assert copy.get_params() == original.get_params() and copy.get_params()["shape"] == SHAPE
    assert copy.set_params(J=1).transform(images).shape == (5, 3 * 5 * 4 * 6)
    loaded = pickle.loads(pickle.dumps(original.fit(images)))
    assert np.array_equal(loaded.transform(images), original.transform(images))


def test_a_table_with_names(images):
    pytest.importorskip("pandas")
    table = transformer().set_output(transform="pandas").fit_transform(images)
    assert table.shape == (5, 3 * 25 * 2 * 3) and table.columns[1] == "scatteringtransformer2d1"


def test_a_pipeline_in_cross_validation():
    digits = load_digits()
    pipeline = make_pipeline(ScatteringTransformer2D(J=1, shape=(8, 8), L=4, engine="torch"), RidgeClassifier())
    assert cross_val_score(pipeline, digits.data[:600], digits.target[:600], cv=3).mean() > 0.9
    search = GridSearchCV(pipeline, {"scatteringtransformer2d__J": [1, 2]}, cv=2)
    assert search.fit(digits.images[:200], digits.target[:200]).best_params_


@pytest.mark.parametrize(
    ("settings", "images", "message"),
    [
        ({}, np.ones((2, 100)), "rows of 100 pixels, which are no images of 1 x 8 x 12: give shape"),
        ({}, np.ones((2, 4 * 96)), "rows of 384 pixels, which are no images of 1 x 8 x 12: give shape"),
        ({"shape": (3, 8, 12)}, np.ones((2, 8, 12)), "must have images of 3 channels"),
        ({}, np.ones((2, 9, 12)), r"X must be \(n, pixels\), \(n, 8, 12\) or \(n, C, 8, 12\), got \(2, 9, 12\)"),
        ({}, np.ones((2, 1, 1, 8, 12)), r"got \(2, 1, 1, 8, 12\)"),
        ({"dtype": "half"}, np.ones((2, 8, 12)), "dtype must be 'float32' or 'float64'"),
        ({"pre_pad": "no"}, np.ones((2, 8, 12)), "pre_pad must be True or False"),
    ],
)
def test_mistakes_are_one_line(settings, images, message):
    for method in ("fit", "transform"):
        with pytest.raises(ScatteringError, match=message):
            getattr(transformer(**settings), method)(images)


def test_nan_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        transformer().transform(np.full((1, *SHAPE), np.nan))


def test_images_of_another_size_than_in_fit_are_refused():
    fitted = transformer().fit(np.ones((2, *SHAPE)))
    with pytest.raises(ScatteringError, match="X has images of 288 pixels; fit saw images of 96"):
        fitted.transform(np.ones((2, 3, *SHAPE)))
