"""model/frontend=roto_translation: before every head, in a run, described, exported."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

import hybrid
from hybrid.analysis.layers import layers_of
from hybrid.configuration.composition import compose
from hybrid.errors import UserError
from hybrid.export.onnx_model import load_onnx
from hybrid.export.torch_program import load_program
from hybrid.models import describe, frontends
from hybrid.models.describe import sizing
from hybrid.runs import RunFolder
from hybrid.runs.jsonl import read_metrics
from hybrid.scattering.spectral import reflect_pad
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


def test_every_command_takes_a_run_with_it(train_run, call, tmp_path):
    folder = train_run("model/frontend=roto_translation", "model.frontend.J=1", "model.frontend.L=2")
    code, out, _ = call("describe", "model=scat_linear", "model/frontend=roto_translation", "data=digits")
    assert code == 0 and "(J=2, 41 maps of 8x8)" in out and "Fourier transforms of about 0.003 GFLOP" in out

    pytest.importorskip("onnxruntime", reason="ONNX is computed by onnxruntime")
    pytest.importorskip("onnxscript", reason="ONNX is written by onnxscript")
    code, out, _ = call("export", f"run={folder.path}", f"to={tmp_path / 'x'}", "formats=[torch,onnx]")
    assert code == 0 and "model.onnx: takes images" in out and "note" not in out
    run = hybrid.load_run(folder.path, device="cpu")
    split = run.data.splits["test"]
    expected = run.model(run.data.preprocessing(split.images[:3])).detach()
    program, graph = load_program(tmp_path / "x" / "model.pt2"), load_onnx(tmp_path / "x" / "model.onnx")
    images = split.images[:3].float() / 255
    torch.testing.assert_close(program(images), expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(graph(images), expected, atol=1e-4, rtol=0)

    Image.fromarray(split.images[0, 0].numpy()).save(tmp_path / "digit.png")
    code, _, err = call("predict", f"run={folder.path}", str(tmp_path / "digit.png"), f"out={tmp_path / 'p.csv'}")
    assert code == 0, err
    best = expected[0].argmax().item()
    assert (tmp_path / "p.csv").read_text().splitlines()[1].split(",")[1] == run.data.class_names[best]

    images, labels = split.images[:40].float() / 255, split.labels[:40]
    found = hybrid.analyse(run.model, images, labels, measures=["rotation"], stability_images=8)
    assert {"pixels", "S1", "S2", "scattering"} <= set(found.layers)
    assert found.array("scattering", "rotation.change").shape == found.array("pixels", "rotation.angles").shape


def test_images_that_are_padded_already():
    reflected, none = make(engine="torch"), make(boundary="none", engine="torch")
    padded = reflect_pad(torch.rand(2, 8, 8), ((4, 4), (4, 4)))[:, None]  # 8x8 pixels, J=2
    assert none.frontend.output_shape == (19, 2, 2) != reflected.frontend.output_shape
    inner = hybrid.RotoTranslationScattering2D(2, (8, 8), 4, engine="torch")
    torch.testing.assert_close(none.frontend(padded).flatten(1), inner(padded[:, 0, 4:-4, 4:-4]).flatten(1))
    for name in ("Scattering", "RotoTranslation"):
        with pytest.raises(ValueError, match=r"sides that 2\^J=4 divides, from 12; they are 18x18"):
            getattr(frontends, name)((1, 18, 18), boundary="none")
    periodic = frontends.Scattering((1, 16, 16), boundary="periodic", engine="torch")
    images = torch.rand(2, 1, 16, 16)
    torch.testing.assert_close(periodic(images.roll(4, -1)), periodic(images).roll(1, -1))


def test_it_is_described_with_its_size_and_cost():
    model = make()
    assert describe(model).scattering_flops == model.frontend.transform.fourier_flops > 0
    assert sizing(model) == "J=2, 19 maps of 4x4"
    assert make(output="mean").frontend.output_shape == (19, 1, 1)
    assert make(boundary="periodic", normalization="scatnet").frontend.output_shape == (19, 4, 4)


def test_what_does_not_fit_is_one_line(command_line, tmp_path):
    cfg = configuration(command_line, tmp_path, "model.frontend.L=3")
    with pytest.raises(UserError, match="L=3 is odd: the joint transform needs an even number of angles") as caught:
        run(cfg)
    assert "\n" not in str(caught.value)
