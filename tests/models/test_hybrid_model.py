"""What every model does, whatever its parts: shapes, gradients, copies, compilation, precision, memory format."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import torch

from hybrid.scattering import TorchScattering2D

CONFIGS = sorted(path.stem for path in (Path(__file__).parents[2] / "configs/model").glob("*.yaml"))


def small(make, *overrides):
    return make("scat_resnet", "model.head.widths=[4,8]", *overrides)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("channels", [3, 1])
def test_every_config_trains_at_32(make, name, channels):
    if name == "resnet18":
        pytest.importorskip("torchvision")
    model = make(name, shape=(channels, 32, 32), classes=7)
    images = torch.randn(2, channels, 32, 32)
    if model.needs_statistics:
        model.fit_statistics([images])
    logits = model(images)
    assert logits.shape == (2, 7) and logits.isfinite().all()
    logits.square().sum().backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), parameter_name


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 96, 96), (3, 64, 48), (1, 8, 8)])
def test_scat_resnet_takes_other_sizes(make, shape):
    model = make("scat_resnet", "model.head.blocks=1", shape=shape, classes=5).eval()
    with torch.no_grad():
        assert model(torch.randn(1, *shape)).shape == (1, 5)


def test_frontend_puts_colour_outside_and_coefficient_inside(make):
    frontend = make("scat_linear").frontend
    images = torch.randn(2, 3, 32, 32)
    reference = TorchScattering2D(2, (32, 32))(images)  # (N, 3, 81, 8, 8)
    features = frontend(images)
    assert features.shape == (2, *frontend.output_shape) == (2, 243, 8, 8)
    torch.testing.assert_close(features[:, 81 * 2 + 5], reference[:, 2, 5])


def test_the_two_engines_agree(make):
    pytest.importorskip("kymatio")
    images = torch.randn(2, 3, 32, 32)
    ours, theirs = (make("scat_linear", f"model.frontend.engine={engine}").frontend for engine in ("torch", "kymatio"))
    torch.testing.assert_close(ours(images), theirs(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(2, 3, 28, 28), r"takes images \(N, 3, 32, 32\), got \(2, 3, 28, 28\)"),
        (torch.zeros(2, 1, 32, 32), r"takes images \(N, 3, 32, 32\), got \(2, 1, 32, 32\)"),
        (torch.zeros(3, 32, 32), r"takes images \(N, 3, 32, 32\), got \(3, 32, 32\)"),
        (torch.zeros(2, 3, 32, 32, dtype=torch.uint8), "normalised float images, got torch.uint8"),
    ],
)
def test_wrong_images_are_refused(make, images, message):
    with pytest.raises(ValueError, match=message):
        make("scat_linear")(images)


def test_copies_compute_the_same_and_filters_are_in_no_checkpoint(make):
    model = small(make).eval()
    images = torch.randn(2, 3, 32, 32)
    expected = model(images)
    assert torch.equal(copy.deepcopy(model)(images), expected)
    assert torch.equal(pickle.loads(pickle.dumps(model))(images), expected)
    assert not [key for key in model.state_dict() if key.startswith("frontend")]


@pytest.mark.parametrize("name", ["scat_resnet", "scat_sle"])
def test_compiles_as_one_graph(make, name):
    model = small(make).eval() if name == "scat_resnet" else make(name, "model.head.encoder=[8]").eval()
    images = torch.randn(2, 3, 32, 32)
    if model.needs_statistics:
        model.fit_statistics([images])
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(images), model(images), rtol=1e-4, atol=1e-5)


def test_exports_with_any_batch_size(make):
    model = small(make).eval()
    batch = torch.export.Dim("batch")
    program = torch.export.export(model, (torch.randn(2, 3, 32, 32),), dynamic_shapes=({0: batch},))
    images = torch.randn(5, 3, 32, 32)
    torch.testing.assert_close(program.module()(images), model(images), rtol=1e-4, atol=1e-5)


def test_channels_last_reaches_the_head_and_changes_nothing_else(make):
    model = small(make).eval()
    images = torch.randn(2, 3, 32, 32)
    expected = model(images)
    seen = []
    model.normalization.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    model.to(memory_format=torch.channels_last)
    torch.testing.assert_close(model(images), expected, rtol=1e-4, atol=1e-5)
    model.to(memory_format=torch.contiguous_format)
    model(images)
    assert [features.is_contiguous(memory_format=torch.channels_last) for features in seen] == [True, False]
    assert [features.is_contiguous() for features in seen] == [False, True]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_front_end_keeps_float32_under_autocast(make, device):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    model = small(make).to(device)
    images = torch.randn(4, 3, 32, 32, device=device)
    expected = model.frontend(images)
    with torch.autocast(device, dtype=torch.bfloat16):
        features, normalised = model.frontend(images), model.normalization(expected)
        logits = model(images)
    assert features.dtype == normalised.dtype == torch.float32
    assert torch.equal(features, expected)
    assert logits.dtype == torch.bfloat16
    logits.float().sum().backward()
    assert all(parameter.grad.dtype == torch.float32 for parameter in model.parameters())


def test_works_in_float64(make):
    model = small(make).double()
    assert model(torch.randn(2, 3, 32, 32, dtype=torch.float64)).dtype == torch.float64
