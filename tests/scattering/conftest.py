"""Images for the scattering tests, and the measure of error that all of them use."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest
import torch

from hybrid.data.unpickle import read_pickle
from hybrid.scattering import Scattering2D


def make_images(kind, shape):
    """(n, H, W) float64 images with values in [0, 1]."""
    generator = torch.Generator().manual_seed(7)
    if kind == "noise":
        return torch.rand(2, *shape, generator=generator, dtype=torch.float64)
    if kind == "constant":
        return torch.full((1, *shape), 0.7, dtype=torch.float64)
    if kind == "smooth":  # amplitude falls as 1 / frequency
        frequency = torch.fft.fftfreq(shape[0])[:, None].hypot(torch.fft.rfftfreq(shape[1])[None, :])
        noise = torch.fft.rfft2(torch.randn(2, *shape, generator=generator, dtype=torch.float64))
        images = torch.fft.irfft2(noise / frequency.clamp(min=1 / max(shape)), s=shape)
        low, high = images.amin((1, 2), keepdim=True), images.amax((1, 2), keepdim=True)
        return (images - low) / (high - low)
    if kind == "cifar":
        return _cifar(shape)
    from sklearn.datasets import load_sample_image

    photo = torch.from_numpy(load_sample_image("china.jpg").copy())
    top, left = (photo.shape[0] - shape[0]) // 2, (photo.shape[1] - shape[1]) // 2
    return photo[top : top + shape[0], left : left + shape[1]].permute(2, 0, 1).double() / 255


def _cifar(shape):
    path = Path(os.environ.get("HYBRID_DATA", "/nowhere")) / "cifar-10-batches-py" / "test_batch"
    if shape != (32, 32) or not path.is_file():
        pytest.skip("needs 32x32 images from $HYBRID_DATA/cifar-10-batches-py")
    pixels = read_pickle(path)["data"][:8]
    return torch.from_numpy(pixels).reshape(-1, 32, 32).double() / 255


def channel_error(values, reference):
    """The largest relative l2 error of one channel of (n, P, h, w), over the batch.

    Where the image is constant every channel but the first is zero: errors are then relative to the first.
    """
    values, reference = torch.as_tensor(values).double(), torch.as_tensor(reference).double()
    assert values.shape == reference.shape
    scale = reference.square().sum((0, 2, 3)).sqrt()
    if (scale[1:] < 1e-6 * scale[0]).all():
        scale = scale[0]
    return ((values - reference).square().sum((0, 2, 3)).sqrt() / scale).max().item()


@pytest.fixture(scope="session", name="make_images")
def make_images_fixture():
    return make_images


@pytest.fixture(scope="session", name="channel_error")
def channel_error_fixture():
    return channel_error


def exact(images, J, shape, L, max_order):
    """float64 arithmetic with the float32 filters: what is left is the rounding of an engine."""
    module = Scattering2D(J, shape, L, max_order)
    for name, filters in list(module.named_buffers()):
        if name.endswith("float32"):
            getattr(module, name.replace("float32", "float64")).copy_(filters[..., ::2])
    return module(images.double())


@pytest.fixture(scope="session", name="exact")
def exact_fixture():
    return exact


@pytest.fixture(scope="session")
def cuda_on_cpu():
    """The module of that name beside this file."""
    spec = importlib.util.spec_from_file_location("cuda_on_cpu", Path(__file__).with_name("cuda_on_cpu.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def on_cpu(cuda_on_cpu):
    """on_cpu(settings, direction): a `Transform` whose kernels run on the CPU."""
    return cuda_on_cpu.on_cpu
