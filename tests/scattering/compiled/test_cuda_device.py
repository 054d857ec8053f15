"""engine=cuda on a GPU; without one, all of this is skipped."""

from __future__ import annotations

import logging

import pytest
import torch

from hybrid.scattering import Scattering2D, TorchScattering2D
from hybrid.scattering.compiled import engine as compiled_engine
from hybrid.scattering.compiled.cuda import kernels

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
SHAPE = (16, 20)


def gradient(engine, images, weights):
    leaf = images.clone().requires_grad_()
    return torch.autograd.grad((engine(leaf) * weights).sum(), leaf)[0]


GPU_SETTINGS = [
    ((32, 32), 2, 8, 2),
    ((33, 47), 3, 3, 2),
    ((96, 96), 3, 8, 2),
    ((224, 224), 3, 2, 2),
    ((32, 32), 4, 4, 1),
]


@pytest.mark.parametrize(("shape", "J", "L", "order"), GPU_SETTINGS)
@pytest.mark.parametrize("batch", [1, 33])
def test_values_and_gradient_on_a_gpu(shape, J, L, order, batch, caplog, exact, channel_error):
    caplog.set_level(logging.INFO, logger="hybrid.scattering")
    compiled_engine._choose.cache_clear()  # it says once what it found
    images = torch.rand(batch, *shape)
    scattering = Scattering2D(J, shape, L, order, engine="auto").to("cuda")
    assert channel_error(scattering(images.cuda()).cpu(), exact(images, J, shape, L, order)) <= 1e-6
    assert "cuda engine" in caplog.text
    weights = torch.randn(batch, *scattering.output_shape)
    expected = gradient(TorchScattering2D(J, shape, L, order), images.double(), weights.double())
    result = gradient(scattering, images.cuda(), weights.cuda())
    assert (result.cpu() - expected).norm() <= 1e-5 * expected.norm()
    assert torch.equal(result, gradient(scattering, images.cuda(), weights.cuda()))  # no order of work in it


def test_pieces_on_a_gpu(monkeypatch):
    scattering, images = Scattering2D(2, SHAPE, engine="cuda").to("cuda"), torch.rand(1000, *SHAPE, device="cuda")
    whole = scattering(images)
    monkeypatch.setattr(kernels, "WORKSPACE_BYTES", 2**20)
    assert torch.equal(scattering(images), whole)


def test_a_cuda_graph_holds_values_and_gradient(root, monkeypatch):
    monkeypatch.syspath_prepend(root / "scripts")
    from scattering_cases import capture

    scattering = Scattering2D(2, SHAPE, 4, engine="cuda").to("cuda")
    images = torch.rand(40, *SHAPE, device="cuda", requires_grad=True)
    weights = torch.randn(40, *scattering.output_shape, device="cuda")

    def step():
        values = scattering(images)
        return values, torch.autograd.grad((values * weights).sum(), images)[0]

    graph, captured = capture(step)
    with torch.no_grad():
        images.copy_(torch.rand_like(images))
    graph.replay()
    assert all(map(torch.equal, captured, step()))


def test_compile_autocast_and_second_derivative_on_a_gpu():
    torch._dynamo.reset()
    scattering, reference = (Scattering2D(1, (4, 5), 2, engine=engine).to("cuda") for engine in ("cuda", "torch"))
    images = torch.rand(3, 4, 5, device="cuda")
    compiled = torch.compile(scattering, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(images), scattering(images))
    with torch.autocast("cuda", dtype=torch.bfloat16):
        assert torch.equal(scattering(images), compiled(images))

    def second(engine):
        leaf = images.clone().requires_grad_()
        first = torch.autograd.grad(engine(leaf).square().sum(), leaf, create_graph=True)[0]
        return torch.autograd.grad(first.pow(3).sum(), leaf)[0]

    torch.testing.assert_close(second(scattering), second(reference), rtol=1e-3, atol=1e-4)


def test_what_the_torch_engine_does_on_a_gpu():
    scattering, images = Scattering2D(2, SHAPE, 4, engine="cuda").to("cuda"), torch.rand(3, *SHAPE, device="cuda")
    assert scattering(images.double()).dtype == torch.float64
    assert torch.vmap(scattering)(images).shape == (3, 25, 4, 5)
