"""float64 against a slow, direct evaluation of the definition, written out here without the package.

Convolutions are made at the full size of each map and sampled in space afterwards; filters at lower resolution come from
masking the spectrum's central band and summing the aliased blocks, as the definition says.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hybrid.scattering import TorchScattering2D


def gabor(size, sigma, slant, alpha, xi):
    rows, columns = size
    result = np.zeros(size, complex)
    for a in range(-2, 3):
        for b in range(-2, 3):
            r, c = np.mgrid[a * rows : (a + 1) * rows, b * columns : (b + 1) * columns]
            u, v = r * np.cos(alpha) + c * np.sin(alpha), -r * np.sin(alpha) + c * np.cos(alpha)
            result += np.exp(-(u**2 + slant**2 * v**2) / (2 * sigma**2) + 1j * xi * u)
    return result / (2 * 3.1415 * sigma**2 / slant)


def morlet(size, j, theta, L):
    sigma, slant, alpha = 0.8 * 2**j, 4 / L, (int(L - L / 2 - 1) - theta) * np.pi / L
    wave, envelope = (gabor(size, sigma, slant, alpha, xi) for xi in (0.75 * np.pi / 2**j, 0.0))
    return np.fft.fft2(wave - wave.sum() / envelope.sum() * envelope).real


def at_level(spectrum, level):
    rows, columns = spectrum.shape
    mask = np.ones(spectrum.shape)
    for axis, n in enumerate(spectrum.shape):
        start, length = n // 2 ** (level + 1), n - n // 2**level
        mask[(slice(None),) * axis + (slice(start, start + length),)] = 0
    blocks = (spectrum * mask).reshape(2**level, rows // 2**level, 2**level, columns // 2**level)
    return blocks.sum((0, 2))


def direct_scattering(image, J, L, max_order):
    """One (H, W) image -> (P, H // 2^J, W // 2^J)."""
    size = tuple((n // 2**J + 2) * 2**J for n in image.shape)
    extra = [m - n for n, m in zip(image.shape, size, strict=True)]
    padded = np.pad(image, [(e // 2, e - e // 2) for e in extra], mode="reflect")
    wavelets = {(j, t): morlet(size, j, t, L) for j in range(J) for t in range(L)}
    phi = np.fft.fft2(gabor(size, 0.8 * 2 ** (J - 1), 1.0, 0.0, 0.0)).real

    def convolve(values, spectrum, level):
        return np.fft.ifft2(np.fft.fft2(values) * at_level(spectrum, level))

    def average(values, level):
        step = 2 ** (J - level)
        return convolve(values, phi, level).real[::step, ::step][1:-1, 1:-1]

    zeroth, first, second = [average(padded, 0)], [], []
    for (j1, _), psi1 in wavelets.items():
        u1 = np.abs(convolve(padded, psi1, 0))[:: 2**j1, :: 2**j1]
        first.append(average(u1, j1))
        for (j2, _), psi2 in wavelets.items():
            if j2 > j1 and max_order == 2:
                step = 2 ** (j2 - j1)
                second.append(average(np.abs(convolve(u1, psi2, j1))[::step, ::step], j2))
    return np.stack(zeroth + first + second)


# shape, J, L, order, image
FEW = [
    ((28, 28), 1, 8, 2, "noise"),
    ((28, 28), 4, 4, 2, "photo"),
    ((32, 32), 2, 8, 2, "noise"),
    ((32, 32), 2, 6, 1, "smooth"),
    ((32, 32), 5, 4, 2, "smooth"),  # padding as large as the image
    ((33, 47), 3, 6, 2, "photo"),
    ((33, 47), 2, 1, 2, "noise"),
    ((33, 47), 2, 5, 2, "noise"),  # an odd number of angles
    ((2, 3), 1, 8, 2, "noise"),
    ((64, 96), 3, 4, 2, "constant"),
    ((96, 96), 2, 4, 2, "photo"),
    ((224, 224), 3, 8, 1, "photo"),
]
SMALL, LARGE = [(28, 28), (32, 32), (33, 47)], [(64, 96), (96, 96)]
KINDS = [(4, "noise"), (6, "smooth"), (8, "photo")]
MANY = [
    *[(shape, J, L, 2, image) for shape in SMALL for J in range(1, 6) for L, image in KINDS],
    *[(shape, J, 4, 2, image) for shape, image in zip(LARGE, ["noise", "smooth"], strict=True) for J in range(1, 6)],
    *[((224, 224), J, 8, 2, "photo") for J in (3, 5)],
]
MANY = [setting for setting in MANY if min(setting[0]) >= 2 ** setting[1]]


def check(shape, J, L, order, image, make_images, channel_error):
    images = make_images(image, shape)[:1]
    expected = direct_scattering(images[0].numpy(), J, L, order)[None]
    scattering = TorchScattering2D(J, shape, L, order)
    values = scattering(images)
    assert values.dtype == torch.float64 and values.shape == (1, *scattering.output_shape)
    assert channel_error(values, expected) <= 1e-10


@pytest.mark.parametrize(("shape", "J", "L", "order", "image"), FEW)
def test_float64_is_the_definition(shape, J, L, order, image, make_images, channel_error):
    check(shape, J, L, order, image, make_images, channel_error)


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "J", "L", "order", "image"), MANY)
def test_float64_is_the_definition_everywhere(shape, J, L, order, image, make_images, channel_error):
    check(shape, J, L, order, image, make_images, channel_error)


def test_one_second_order_path_alone(make_images):
    """A path's index is right if computing that path by itself gives that channel."""
    (image,) = make_images("photo", (32, 32))[:1].numpy()
    scattering = TorchScattering2D(3, (32, 32), 4)
    values = scattering(torch.from_numpy(image)).numpy()
    index = scattering.paths.index((2, 0, 3, 2, 1))
    padded = np.pad(image, 8, mode="reflect")
    u1 = np.abs(np.fft.ifft2(np.fft.fft2(padded) * morlet((48, 48), 0, 3, 4)))
    u2 = np.abs(np.fft.ifft2(np.fft.fft2(u1) * morlet((48, 48), 2, 1, 4)))[::4, ::4]
    phi = at_level(np.fft.fft2(gabor((48, 48), 3.2, 1.0, 0.0, 0.0)).real, 2)
    alone = np.fft.ifft2(np.fft.fft2(u2) * phi).real[::2, ::2][1:-1, 1:-1]
    np.testing.assert_allclose(values[index], alone, rtol=1e-12)
