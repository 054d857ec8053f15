"""Scattering2D in the place of kymatio's class: names, formats, NumPy."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from hybrid.scattering import Scattering2D, ScatteringError, TorchScattering2D

SHAPE, J, L = (16, 20), 2, 4


@pytest.fixture(scope="module")
def scattering():
    return TorchScattering2D(J, SHAPE, L)


@pytest.fixture
def images():
    return np.random.RandomState(0).rand(3, 2, *SHAPE).astype(np.float32)


def test_scattering_is_the_call(scattering, images):
    tensor = torch.from_numpy(images)
    assert torch.equal(scattering.scattering(tensor), scattering(tensor))


def test_numpys_numbers_are_taken():
    numbers = Scattering2D(np.int64(2), np.array([16, 20]), np.int32(4), np.uint8(1), pre_pad=np.bool_(True))
    assert numbers.settings == Scattering2D(2, [16, 20], 4, 1, pre_pad=True).settings
    assert all(type(value) is int for value in (numbers.J, *numbers.shape, numbers.L, numbers.max_order))
    stored = Scattering2D(np.array(2), SHAPE, pre_pad=np.array(False))  # as numpy.load gives them
    assert stored.settings == Scattering2D(2, SHAPE).settings and stored.pre_pad is False


@pytest.mark.parametrize("value", ["False", 1, 0, None, np.array([True]), np.array(1), "yes"])
def test_pre_pad_must_be_a_truth_value(value):
    with pytest.raises(ScatteringError, match="pre_pad must be True or False, got"):
        Scattering2D(2, SHAPE, pre_pad=value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.float64(2), SHAPE), "J must be an integer"),
        ((np.bool_(True), SHAPE), "J must be an integer"),
        ((np.array([2]), SHAPE), "J must be an integer"),
        ((2, np.array([16.0, 20.0])), "shape must be two positive integers"),
        ((2, np.array([[16, 20]])), "shape must be two positive integers"),
        ((2, SHAPE, np.int64(0)), "L, the number of angles"),
        ((2, SHAPE, 8, np.int64(3)), "max_order must be 1 or 2"),
        ((2, SHAPE, 8, [2]), "max_order must be 1 or 2"),
    ],
)
def test_other_numbers_of_numpy_are_refused(arguments, message):
    with pytest.raises(ScatteringError, match=message):
        Scattering2D(*arguments)


def test_mistakes_are_of_the_types_that_kymatio_raises(scattering):
    """Code that catches TypeError for what is no image and RuntimeError for a wrong size goes on working."""
    with pytest.raises(TypeError, match="input should be"):
        scattering(None)
    with pytest.raises(RuntimeError, match="must be of spatial size"):
        scattering(torch.zeros(3, 3))
    with pytest.raises(RuntimeError, match="smallest dimension"):
        Scattering2D(10, (10, 10))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_arrays_give_arrays(scattering, images, dtype):
    images = images.astype(dtype)
    values = scattering(images)
    assert isinstance(values, np.ndarray) and values.shape == (3, 2, 25, 4, 5)
    assert values.dtype == (np.float64 if dtype == np.float64 else np.float32)
    assert np.array_equal(values, scattering(torch.from_numpy(images)).numpy())


def test_any_array_of_real_numbers(scattering, images):
    expected, before = scattering(images), images.copy()
    assert np.array_equal(scattering(images[::-1]), expected[::-1])
    assert np.array_equal(scattering(images.astype(">f4")), expected)
    assert np.array_equal(scattering(np.asfortranarray(images)), expected)
    assert np.array_equal(scattering(np.broadcast_to(images[0], (4, 2, *SHAPE)))[3], expected[0])
    assert scattering(images[0, 0]).shape == (25, 4, 5) and scattering(images[:0]).shape == (0, 2, 25, 4, 5)
    images.flags.writeable = False
    assert np.array_equal(scattering(images), expected) and np.array_equal(images, before)


def test_wrong_arrays_are_refused(scattering):
    for dtype, name in [(np.uint8, "uint8"), (np.int64, "int64"), (np.complex64, "complex64"), (bool, "bool")]:
        with pytest.raises(ScatteringError, match=rf"got {name}: convert them with \.astype\(np.float32\)"):
            scattering(np.zeros(SHAPE, dtype))
    with pytest.raises(ScatteringError, match=r"NumPy array must be of spatial size \(\.\.\., 16, 20\), got \(3, 3\)"):
        scattering(np.zeros((3, 3)))
    with pytest.raises(ScatteringError, match=r"Padded array must be of spatial size \(\.\.\., 24, 28\)"):
        Scattering2D(J, SHAPE, L, pre_pad=True)(np.zeros(SHAPE))


def test_arrays_record_no_gradient(scattering, images):
    with torch.enable_grad():
        assert isinstance(scattering(images), np.ndarray)


@pytest.mark.parametrize("max_order", [1, 2])
@pytest.mark.parametrize("kind", ["tensor", "array"])
def test_a_list_has_the_path_beside_each_map(images, kind, max_order):
    images = torch.from_numpy(images) if kind == "tensor" else images
    whole = Scattering2D(J, SHAPE, L, max_order, engine="torch")(images)
    listed = Scattering2D(J, SHAPE, L, max_order, engine="torch", out_type="list")
    entries = listed(images)
    assert [set(entry) for entry in entries] == [{"coef", "j", "n", "theta"}] * len(listed.paths)
    for number, (entry, path) in enumerate(zip(entries, listed.paths, strict=True)):
        assert type(entry["coef"]) is type(whole) and entry["coef"].shape == (3, 2, 4, 5)
        assert (entry["coef"] == whole[..., number, :, :]).all()
        assert len(entry["j"]) == len(entry["theta"]) == len(entry["n"]) == path.order
        assert entry["j"] == tuple(j for j in (path.j1, path.j2) if j is not None)
        assert entry["n"] == tuple(j * L + theta for j, theta in zip(entry["j"], entry["theta"], strict=True))


def test_the_list_is_kymatios(images):
    pytest.importorskip("kymatio")
    from kymatio.scattering2d.frontend.numpy_frontend import ScatteringNumPy2D

    ours = Scattering2D(J, SHAPE, L, engine="torch", out_type="list").scattering(images.astype(np.float64))
    theirs = ScatteringNumPy2D(J, SHAPE, L, out_type="list").scattering(images.astype(np.float64))
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert {**mine, "coef": None} == {**other, "coef": None}
        np.testing.assert_allclose(mine["coef"], other["coef"], rtol=1e-5, atol=1e-6)


def test_the_path_table(scattering):
    table = scattering.meta()
    assert set(table) == {"order", "j", "theta", "n", "key"}
    assert table["order"].tolist() == [path.order for path in scattering.paths]
    for row, path in enumerate(scattering.paths):
        for name, steps in (("j", (path.j1, path.j2)), ("theta", (path.theta1, path.theta2))):
            wanted = [np.nan if step is None else step for step in steps]
            np.testing.assert_array_equal(table[name][row], wanted)
        assert table["key"][row] == tuple(table["n"][row][: path.order])
    assert Scattering2D(J, SHAPE, L, 1, engine="torch").meta()["j"].shape == (9, 1)


def test_a_pickled_list_stays_a_list(images):
    listed = pickle.loads(pickle.dumps(Scattering2D(J, SHAPE, L, engine="torch", out_type="list")))
    assert listed.out_type == "list" and isinstance(listed(images), list)


@pytest.mark.parametrize(
    "names",
    [{"frontend": "torch"}, {"frontend": "NumPy"}, {"backend": "torch"}, {"frontend": "numpy", "backend": "numpy"}],
)
def test_frontends_and_backends_that_mean_the_same_are_taken(names):
    assert Scattering2D(J, SHAPE, L, engine="torch", **names).paths


def test_kymatios_backend_objects_are_taken():
    pytest.importorskip("kymatio")
    from kymatio.scattering2d.backend.torch_backend import backend

    assert Scattering2D(J, SHAPE, L, engine="torch", frontend="torch", backend=backend).paths


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"frontend": "tensorflow"}, "frontend='tensorflow' is not valid here: hybrid computes with PyTorch"),
        ({"frontend": "sklearn"}, r"use hybrid\.scattering\.ScatteringTransformer2D"),
        ({"backend": "torch_skcuda"}, "engine='auto' or 'cuda' is the fast engine on NVIDIA GPUs"),
        ({"backend": object()}, "is not supported here: hybrid computes with PyTorch"),
        ({"backend": "doesnotexist"}, "backend='doesnotexist' can not be called here"),
        ({"frontend": "torch", "backend": "numpy"}, "backend='numpy' can not be called from frontend='torch'"),
        ({"frontend": 3}, "frontend=3 is not valid here"),
    ],
)
def test_other_frontends_and_backends_are_refused_in_one_line(names, message):
    with pytest.raises(ScatteringError, match=message) as caught:
        Scattering2D(J, SHAPE, L, **names)
    assert isinstance(caught.value, ImportError) and "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["tensor", None, ["array"]])
def test_another_output_type_is_refused(value):
    with pytest.raises(ScatteringError, match="unknown out_type .*; valid: array, list"):
        Scattering2D(J, SHAPE, L, out_type=value)


@pytest.mark.parametrize(("J", "shape", "L"), [(1, (16, 24), 2), (3, (32, 32), 4)])
def test_the_filters_are_named_as_kymatios(J, shape, L):
    pytest.importorskip("kymatio")
    from kymatio.scattering2d.frontend.numpy_frontend import ScatteringNumPy2D

    ours, theirs = Scattering2D(J, shape, L), ScatteringNumPy2D(J=J, shape=shape, L=L)
    assert len(ours.psi) == len(theirs.psi) == J * L
    for one, other in zip([*ours.psi, ours.phi], [*theirs.psi, theirs.phi], strict=True):
        assert one.keys() == other.keys() and one["j"] == other["j"] and one.get("theta") == other.get("theta")
        for spectrum, expected in zip(one["levels"], other["levels"], strict=True):
            np.testing.assert_allclose(spectrum, expected, atol=5e-7)
