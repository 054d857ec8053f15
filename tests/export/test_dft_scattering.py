from __future__ import annotations

import pytest
import torch

from hybrid.export import Pipeline, for_export
from hybrid.export.dft_scattering import DftScattering
from hybrid.scattering import Scattering2D, TorchScattering2D


@pytest.mark.parametrize(
    ("J", "shape", "L", "order"),
    [
        (1, (28, 28), 8, 2), (2, (32, 32), 8, 1), (2, (32, 32), 8, 2), (3, (33, 47), 6, 2), (5, (32, 32), 4, 2),
        (3, (8, 11), 3, 2), (3, (96, 96), 8, 2),
    ],
)  # fmt: skip
def test_it_equals_scattering2d(J, shape, L, order):
    images = torch.rand(2, 3, *shape)
    wanted = TorchScattering2D(J, shape, L, order)(images.double())
    found = DftScattering(J, shape, L, order)(images)
    assert found.shape == wanted.shape
    scale = wanted.abs().amax((0, 1, 3, 4), keepdim=True)
    assert ((found - wanted).abs() / scale).max() < 5e-6


def test_nothing_in_its_program_is_complex_or_a_fourier_transform():
    program = torch.export.export(DftScattering(2, (16, 16)), (torch.rand(2, 1, 16, 16),))
    assert not any(word in str(node.target) for node in program.graph.nodes for word in ("fft", "complex"))


def test_a_constant_image_and_an_empty_channel_stay_finite():
    assert torch.isfinite(DftScattering(2, (16, 16))(torch.zeros(1, 2, 16, 16))).all()


class Model(torch.nn.Module):
    image_shape = (1, 16, 16)

    def __init__(self, engine):
        super().__init__()
        self.frontend = torch.nn.Sequential(Scattering2D(2, (16, 16), 4, 2, engine=engine))
        self.head = torch.nn.Conv2d(1, 1, 1)

    def forward(self, images):
        return self.frontend(images)


@pytest.mark.parametrize("engine", ["torch", "kymatio"])
def test_for_export_replaces_the_scattering_of_a_copy(engine):
    pipeline = Pipeline(torch.nn.Identity(), Model(engine)).train()
    before = type(pipeline.model.frontend[0])
    twin = for_export(pipeline, engine=DftScattering)
    assert type(pipeline.model.frontend[0]) is before and pipeline.training
    assert isinstance(twin.model.frontend[0], DftScattering) and not twin.training
    assert all(not parameter.requires_grad for parameter in twin.parameters())
    assert isinstance(for_export(pipeline).model.frontend[0], TorchScattering2D)
    images = torch.rand(2, 1, 16, 16)
    torch.testing.assert_close(twin(images), pipeline(images), atol=1e-6, rtol=1e-5)
