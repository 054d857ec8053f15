"""torch.compile and torch.export: one graph, any batch size."""

from __future__ import annotations

import pytest
import torch
from torch.export import Dim, export

from hybrid.scattering import TorchScattering2D


@pytest.mark.parametrize("shape", [(16, 20), (4, 5)])  # (4, 5) is padded by as much as it is high
def test_compile_is_one_graph_for_every_batch(shape):
    torch._dynamo.reset()
    scattering = TorchScattering2D(2, shape, 4)
    compiled = torch.compile(scattering, fullgraph=True, dynamic=True, backend="aot_eager")
    for batch in [(3, 2), (5, 2), (4, 3)]:
        images = torch.rand(*batch, *shape)
        torch.testing.assert_close(compiled(images), scattering(images), rtol=1e-5, atol=1e-6)


def test_compiled_gradients():
    torch._dynamo.reset()
    scattering = TorchScattering2D(2, (16, 16), 4)
    compiled = torch.compile(scattering, fullgraph=True, backend="aot_eager")
    images = torch.rand(2, 16, 16)
    images[1] = 0  # the gradient of the modulus at 0
    gradients = []
    for module in (scattering, compiled):
        leaf = images.clone().requires_grad_()
        module(leaf).square().sum().backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-5)


def test_wrong_images_are_refused_when_compiled():
    torch._dynamo.reset()
    compiled = torch.compile(TorchScattering2D(2, (16, 16), 4), backend="eager")
    with pytest.raises(ValueError, match="Tensor must be of spatial size"):
        compiled(torch.zeros(2, 16, 17))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Torchinductor does not support code generation for complex")
def test_inductor():
    torch._dynamo.reset()
    scattering = TorchScattering2D(2, (32, 32), 4)
    compiled = torch.compile(scattering, fullgraph=True)
    images = torch.rand(4, 3, 32, 32)
    torch.testing.assert_close(compiled(images), scattering(images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("max_order", [1, 2])
def test_export_with_a_dynamic_batch(max_order):
    scattering = TorchScattering2D(2, (16, 20), 4, max_order)
    program = export(scattering, (torch.rand(3, 2, 16, 20),), dynamic_shapes=({0: Dim("batch")},))
    none = [0] if hasattr(torch.compiler, "is_exporting") else []  # with torch 2.6 a program needs an image
    for batch in (*none, 1, 2, 7):
        images = torch.rand(batch, 2, 16, 20)
        torch.testing.assert_close(program.module()(images), scattering(images), rtol=1e-5, atol=1e-6)


def test_exported_modulus_has_a_gradient_at_zero():
    scattering = TorchScattering2D(1, (8, 8), 4)
    program = export(scattering, (torch.rand(2, 8, 8),))
    images = torch.zeros(2, 8, 8, requires_grad=True)
    program.module()(images).sum().backward()
    assert torch.isfinite(images.grad).all()
