"""Scattering on rotations and translations: its definition, what it is invariant to, its values, and what it takes."""

import copy
import pickle
from collections import Counter

import numpy as np
import pytest
import torch
from rotation_by_definition import RotationByDefinition

from hybrid import RotoTranslationScattering2D, Scattering2D
from hybrid.scattering import ScatteringError
from hybrid.scattering.rotation import RotationPath, rotation_paths
from hybrid.scattering.rotation.scatnet import wavelet_factor

# (j1, j2, θ2, k2) -> spatial mean and value at output (0, 0) of the image below, computed by an independent program
FULL = {  # every map on the image's own grid
    (None, None, None, None): (0.4815646, 0.4858970),
    (0, None, None, None): (0.0558649, 0.0543230),
    (0, None, None, 0): (0.0036962, 0.0046642),
    (0, None, None, 1): (0.0054349, 0.0052517),
    (0, None, None, 2): (0.0044753, 0.0032601),
    (0, 1, 0, -1): (0.0035721, 0.0038433),
    (0, 1, 0, 0): (0.0042008, 0.0037908),
    (0, 1, 0, 1): (0.0037915, 0.0038546),
    (0, 1, 3, 2): (0.0018774, 0.0020967),
    (0, 1, 4, -1): (0.0021598, 0.0022593),
    (0, 1, 4, 0): (0.0032119, 0.0028399),
    (0, 1, 4, 1): (0.0027865, 0.0026217),
    (2, None, None, None): (0.0145313, 0.0154500),
    (2, None, None, 0): (0.0039915, 0.0041451),
    (2, None, None, 1): (0.0031940, 0.0034884),
    (2, None, None, 2): (0.0019624, 0.0016335),
}
SAMPLED = {  # at the rate of each map's scale: where this differs
    **{path: FULL[path] for path in list(FULL)[:5]},
    (0, 1, 0, -1): (0.0035725, 0.0038458),
    (0, 1, 0, 0): (0.0042009, 0.0037952),
    (0, 1, 0, 1): (0.0037903, 0.0038685),
    (0, 1, 3, 2): (0.0018725, 0.0020868),
    (0, 1, 4, -1): (0.0021603, 0.0022596),
    (0, 1, 4, 0): (0.0032116, 0.0028384),
    (0, 1, 4, 1): (0.0027868, 0.0026239),
    (2, None, None, None): (0.0145343, 0.0154145),
    (2, None, None, 0): (0.0040110, 0.0041530),
}


@pytest.fixture(scope="module")
def image():
    rows, columns = np.mgrid[:32, :32]
    return torch.from_numpy((7 * rows + 13 * columns + rows * columns) % 17 / 17)


@pytest.fixture(scope="module")
def periodic():
    return RotoTranslationScattering2D(3, (32, 32), boundary="periodic")


def turned(maps):
    """x'(a, b) = x(b, -a mod N): a turn by 90 degrees about pixel (0, 0)."""
    places = torch.arange(maps.shape[-1])
    return maps[..., places[None, :], -places[:, None] % len(places)]


@pytest.mark.parametrize(
    "J, channels, parts",
    [
        (2, 41, (6, 8, 24)),
        (3, 109, (9, 24, 72)),
        (4, 209, (12, 48, 144)),
        (5, 341, (15, 80, 240)),
        (6, 505, (18, 120, 360)),
    ],
)
def test_paths_are_counted(J, channels, parts):
    for joint in (True, False):
        paths = RotoTranslationScattering2D(2, (16, 16), joint=joint).paths if J == 2 else rotation_paths(J)
        assert len(paths) == len(set(paths)) == channels
        kinds = Counter((path.j2 is None, path.k2 == -1) for path in paths if path.order == 2)
        assert (kinds[True, False], kinds[False, True], kinds[False, False]) == parts


def test_values_are_those_of_an_independent_program(image, periodic):
    whole = RotationByDefinition(periodic.settings, sampled=False, dtype=torch.float64)(image[None])[0]
    ours = periodic(image)
    for maps, table, total, norm in ((whole, FULL, 13.4062043, 1.9465462), (ours, SAMPLED, 13.4054233, 1.9465468)):
        found = {path[1:5]: channel for path, channel in zip(periodic.paths, maps, strict=True)}
        for path, (mean, corner) in table.items():
            assert round(found[path].mean().item(), 7) == mean and round(found[path][0, 0].item(), 7) == corner, path
        assert round(maps.sum().item(), 7) == total and round(maps.norm().item(), 7) == norm


def test_a_turn_by_90_degrees_turns_the_maps_exactly(image, periodic):
    for settings in ({}, {"joint": False, "K": 2}):
        scattering = (
            RotoTranslationScattering2D(2, (32, 32), 4, boundary="periodic", **settings) if settings else periodic
        )
        maps, of_turned = scattering(image), scattering(turned(image))
        if not settings:
            assert (of_turned - turned(maps)).abs().max() < 1e-15 * maps.abs().max()
            assert (of_turned.mean((-2, -1)) - maps.mean((-2, -1))).abs().max() < 1e-15
        else:  # θ2 is an angle of the image: it turns, too
            places = [scattering.paths.index(_turned_path(path)) for path in scattering.paths]
            assert (of_turned[places] - turned(maps)).abs().max() < 1e-15


def _turned_path(path):
    return path if path.theta2 is None else path._replace(theta2=(path.theta2 + 2) % 4)


def test_angles_that_are_kept_are_shifted_by_a_turn(image):
    scattering = RotoTranslationScattering2D(2, (32, 32), 4, boundary="periodic", average_angles=False)
    maps, of_turned = scattering(image), scattering(turned(image))
    paths = scattering.paths
    counts = Counter(path._replace(theta1=None) for path in paths)
    shifted = [
        path if path.theta1 is None else path._replace(theta1=(path.theta1 - 2) % counts[path._replace(theta1=None)])
        for path in paths
    ]
    places = [paths.index(path) for path in shifted]
    assert (of_turned[places] - turned(maps)).abs().max() < 1e-15
    assert len(paths) == 1 + 4 * (2 + 2 * 2 + 4 * (1 + 2 * 2)) == scattering.output_shape[0]

    averaged = RotoTranslationScattering2D(2, (32, 32), 4, boundary="periodic")(image)
    groups = {path: number for number, path in enumerate(counts)}
    for path, number in groups.items():
        own = [index for index, each in enumerate(paths) if each._replace(theta1=None) == path]
        torch.testing.assert_close(maps[own].mean(0), averaged[number], rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("period, expected", [(8, (0.43, 0.21, 0.036)), (16, (0.54, 0.30, 0.049))], ids=["8", "16"])
def test_joint_coefficients_see_what_an_average_over_space_and_then_over_angles_loses(period, expected):
    # U1 of two angles: in A both have the same grating, in B that of the second angle is half a period further
    N, L = 64, 8
    rows = torch.arange(N, dtype=torch.float64)[:, None].expand(N, N)
    here, there = (1 + torch.sin(2 * torch.pi * (rows + shift) / period) for shift in (0, period // 2))
    engine = RotoTranslationScattering2D(3, (N, N), boundary="periodic", engine="torch").engine
    for second, difference in zip((1, 2, 4), expected, strict=True):
        separate, joint = [], []
        for wave in (here, there):
            U1 = torch.zeros(1, L, N, N, dtype=torch.float64)
            U1[0, 0], U1[0, second] = here, wave
            U1_hat = torch.fft.fft2(U1)
            psi = torch.cat([engine._psi(j2, 0, torch.float64)[:L, :, ::2] for j2 in (1, 2)])
            separate.append(torch.fft.ifft2(U1_hat[:, :, None] * psi).abs().mean((-2, -1)))
            spectra = torch.view_as_real(U1_hat).flatten(-2)
            joint.append(torch.cat([engine._wave_paths(spectra, 0, j2) for j2 in (1, 2)], 1))
        assert (separate[0] - separate[1]).abs().max() < 1e-15
        assert ((joint[0] - joint[1]).norm() / joint[0].norm()).item() == pytest.approx(difference, abs=0.006)


@pytest.mark.parametrize(
    "settings",
    [
        {"J": 1, "shape": (8, 9), "L": 2},
        {"J": 2, "shape": (20, 17), "L": 4},
        {"J": 3, "shape": (24, 16), "L": 6, "boundary": "periodic"},
        {"J": 2, "shape": (16, 16), "L": 5, "joint": False, "boundary": "periodic"},
        {"J": 2, "shape": (16, 19), "L": 8, "K": 2, "joint": False},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_it_is_its_definition(settings):
    scattering = RotoTranslationScattering2D(**settings, engine="torch")
    images = torch.rand(3, *settings["shape"], generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    joint = settings.get("joint", True)
    expected = RotationByDefinition(scattering.settings, scattering.K, joint=joint, dtype=torch.float64)(images)
    torch.testing.assert_close(scattering(images), expected, rtol=1e-12, atol=1e-15)
    assert (scattering(images.float()) - expected).abs().max() < 2e-7


def test_orders_0_and_1_are_those_of_the_translation_transform():
    images = torch.rand(2, 20, 17, dtype=torch.float64)
    ours = RotoTranslationScattering2D(1, (20, 17), 4)(images)
    theirs = Scattering2D(1, (20, 17), 4, engine="torch")(images)
    torch.testing.assert_close(ours[:, 0], theirs[:, 0], rtol=0, atol=1e-15)
    torch.testing.assert_close(ours[:, 1], theirs[:, 1:5].mean(1), rtol=0, atol=1e-15)


def test_a_constant_image_has_order_0_alone():
    for boundary in ("reflect", "periodic"):
        maps = RotoTranslationScattering2D(2, (16, 16), boundary=boundary)(torch.full((16, 16), 0.7).double())
        assert maps[1:].abs().max() < 1e-12 and (maps[0] - 0.7).abs().max() < 1e-4


@pytest.mark.parametrize("settings", [{}, {"joint": False, "average_angles": False}], ids=["joint", "separable"])
def test_gradients(settings):
    scattering = RotoTranslationScattering2D(2, (8, 8), 2, **settings)
    image = torch.rand(8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(scattering, image, fast_mode=True)
    assert torch.autograd.gradgradcheck(scattering, image, fast_mode=True)
    blank = torch.zeros(8, 8, dtype=torch.float64, requires_grad=True)
    scattering(blank).square().sum().backward()
    assert blank.grad.isfinite().all()


def test_a_batch_in_pieces_is_the_batch(monkeypatch):
    scattering = RotoTranslationScattering2D(2, (16, 16), 4)
    images = torch.rand(3, 16, 16, dtype=torch.float64, requires_grad=True)
    whole = scattering(images)
    (gradient,) = torch.autograd.grad(whole.square().sum(), images)
    monkeypatch.setattr("hybrid.scattering.rotation.engine._CPU_PIECE", 1)
    pieces = scattering(images)
    torch.testing.assert_close(pieces, whole, rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(torch.autograd.grad(pieces.square().sum(), images)[0], gradient, rtol=1e-10, atol=1e-15)


def test_what_it_takes_and_gives(image):
    scattering = RotoTranslationScattering2D(2, (32, 32), 4, engine="torch")
    images = image.float().expand(2, 3, 32, 32)
    maps = scattering(images)
    assert (
        maps.shape == (2, 3, *scattering.output_shape) == (2, 3, 1 + 2 + 4 + 12, 8, 8) and maps.dtype == torch.float32
    )
    array = scattering(images.numpy())
    assert isinstance(array, np.ndarray) and array.dtype == np.float32
    np.testing.assert_array_equal(array, maps.numpy())
    assert scattering(images.numpy().astype(np.float64)).dtype == np.float64
    assert scattering(images.half()).dtype == torch.float32
    assert scattering(images[:0]).shape == (0, 3, *scattering.output_shape)
    assert scattering(images[0, 0]).shape == scattering.output_shape
    assert not scattering.state_dict() and not list(scattering.parameters())
    for twin in (copy.deepcopy(scattering), pickle.loads(pickle.dumps(scattering)), copy.deepcopy(scattering).half()):
        assert torch.equal(twin(images), maps)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(scattering(images), maps, rtol=1e-5, atol=1e-7)
    means = RotoTranslationScattering2D(2, (32, 32), 4, output="mean", engine="torch")
    torch.testing.assert_close(means(images), maps.mean((-2, -1)))
    assert means.output_shape == (19,) and means(images[:0]).shape == (0, 3, 19)
    torch.testing.assert_close(torch.func.vmap(scattering)(images), maps, rtol=1e-5, atol=1e-7)


def test_it_is_exported_with_a_dynamic_batch(image):
    scattering = RotoTranslationScattering2D(2, (8, 8), 2, engine="torch")
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(scattering, (torch.rand(2, 8, 8),), dynamic_shapes=({0: batch},)).module()
    images = torch.rand(5, 8, 8)
    torch.testing.assert_close(program(images), scattering(images), rtol=1e-4, atol=1e-6)


def test_scatnet_says_its_factors(image):
    plain = RotoTranslationScattering2D(2, (32, 32), boundary="periodic")
    theirs = RotoTranslationScattering2D(2, (32, 32), boundary="periodic", normalization="scatnet")
    factors = theirs.factors
    product = factors["wavelets"] * factors["sampling"] * factors["angles"]
    torch.testing.assert_close(theirs(image), plain(image) * torch.from_numpy(product)[:, None, None])
    by_path = dict(zip(theirs.paths, zip(*factors.values(), strict=True), strict=True))
    c = wavelet_factor(theirs.rotation)
    assert by_path[RotationPath(0)] == (1, 4, 1)
    assert by_path[RotationPath(1, 0)] == pytest.approx((c, 4, 2 * 2**0.5))
    assert by_path[RotationPath(2, 0, k2=1)] == pytest.approx((c, 4, 2 * 2**0.5))
    assert by_path[RotationPath(2, 0, 1, 3, -1)] == pytest.approx((c**2, 4, 4))
    assert plain.factors == {}
    published = RotoTranslationScattering2D(3, (64, 64), boundary="periodic").rotation
    assert wavelet_factor(published) == pytest.approx(1.0082, abs=5e-5)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"L": 5}, "L=5 is odd: the joint transform needs an even number of angles"),
        ({"L": 1, "joint": False}, "L, the number of angles over half a turn, must be at least 2 here, got 1"),
        ({"K": 4}, "K, the number of scales along the angle, must be an integer from 1 to 3 with L=8 (2^K ≤ L)"),
        ({"K": 0}, "or None for 3, got 0"),
        ({"K": 1.5}, "got 1.5"),
        ({"J": 5}, "J=5 does not fit images of 16x16: 2^J=32 exceeds the smallest dimension, so J can be 1 to 4 here"),
        ({"shape": (1, 16)}, "images of 1x16 are too small"),
        ({"J": 3, "shape": (20, 16), "boundary": "periodic"}, "boundary='periodic' needs sides that 2^J=8 divides"),
        ({"joint": "no"}, "joint must be True or False, got 'no'"),
        ({"output": "list"}, "unknown output 'list'; valid: maps, mean"),
        ({"normalization": "none"}, "unknown normalization 'none'; valid: kymatio, scatnet"),
        ({"normalization": "scatnet", "joint": False}, "it needs joint=True and average_angles=True"),
    ],
    ids=lambda value: None if isinstance(value, str) else "-".join(value),
)
def test_what_does_not_fit_is_one_line(settings, message):
    with pytest.raises(ScatteringError) as caught:
        RotoTranslationScattering2D(**{"J": 2, "shape": (16, 16), **settings})
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_images_that_do_not_fit_are_one_line():
    scattering = RotoTranslationScattering2D(2, (16, 16), 4)
    with pytest.raises(ScatteringError, match=r"must be of spatial size \(\.\.\., 16, 16\), got \(3, 15, 16\)"):
        scattering(torch.rand(3, 15, 16))
    with pytest.raises(ScatteringError, match="real floating-point images, got uint8"):
        scattering(np.zeros((16, 16), np.uint8))
