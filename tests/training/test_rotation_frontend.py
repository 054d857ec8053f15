"""model/frontend=roto_translation: before every head, in a run, described, exported."""

from __future__ import annotations

import pytest
import torch

import hybrid
from hybrid.analysis.layers import layers_of
from hybrid.configuration.composition import compose
from hybrid.errors import UserError
from hybrid.export.pipeline import Pipeline, for_export
from hybrid.models import describe
from hybrid.models.describe import sizing
from hybrid.runs import RunFolder
from hybrid.runs.jsonl import read_metrics
from hybrid.training.run import run

SHAPE = {"image_shape": (1, 16, 16), "num_classes": 3}


def configuration(command_line, root, *overrides):
    """The tiny run with this front-end, which has no max_order."""
    usual = [text for text in command_line(root=root) if not text.startswith("model.frontend.max_order")]
    return compose([*usual, "model/frontend=roto_translation", *overrides])


def make(head="linear", **frontend):
    part = {"_target_": "hybrid.models.frontends.RotoTranslation", "L": 4, **frontend}
    return hybrid.build_model("scat_linear", frontend=part, head=head, **SHAPE)


@pytest.mark.parametrize("head", ["linear", "mlp", "cnn", "resnet", "wide_resnet", "sle"])
def test_it_trains_before_every_head(head):
    model = make(head)
    model(torch.rand(2, 1, 16, 16)).square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_a_run_trains_with_kept_features_and_is_measured_like_any_other(command_line, tmp_path):
    cfg = configuration(
        command_line,
        tmp_path,
        "model.frontend.L=2",
        "trainer.feature_cache=memory",
        "augmentation=none",
    )
    run(cfg)
    folder = RunFolder.of(cfg)
    assert any("train/loss" in record for record in read_metrics(folder.metrics))
    loaded = hybrid.load_run(folder.path)
    transform = loaded.model.frontend.transform
    assert isinstance(transform, hybrid.RotoTranslationScattering2D) and transform.K == 1
    names = [layer.name for layer in layers_of(loaded.model)]
    assert names == ["pixels", "S0", "S1", "S2", "scattering", "logits"]


def test_it_is_described_with_its_size_and_cost():
    model = make()
    assert describe(model).scattering_flops == model.frontend.transform.fourier_flops > 0
    assert sizing(model) == "J=2, 19 maps of 4x4"
    assert make(output="mean").frontend.output_shape == (19, 1, 1)
    assert make(boundary="periodic", normalization="scatnet").frontend.output_shape == (19, 4, 4)


def test_it_is_exported():
    pipeline = Pipeline(torch.nn.Identity(), make().eval())
    images = torch.rand(2, 1, 16, 16)
    program = torch.export.export(for_export(pipeline), (images,))
    torch.testing.assert_close(program.module()(images), pipeline(images), rtol=1e-4, atol=1e-5)


def test_what_does_not_fit_is_one_line(command_line, tmp_path):
    cfg = configuration(command_line, tmp_path, "model.frontend.L=3")
    with pytest.raises(UserError, match="L=3 is odd: the joint transform needs an even number of angles") as caught:
        run(cfg)
    assert "\n" not in str(caught.value)
