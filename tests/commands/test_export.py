from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from hybrid.configuration.from_config import model_from
from hybrid.configuration.signature import sign
from hybrid.data.images import ImageReader
from hybrid.export import package, torch_program
from hybrid.export.pipeline import Pipeline
from hybrid.training.restore import restore


@pytest.fixture(scope="module")
def model(finished):
    run = restore(finished.path, device="cpu")
    return Pipeline(run.data.preprocessing, run.model).eval()


@pytest.fixture
def images():
    return torch.rand(3, 1, 32, 32)


def test_the_program_is_the_model_for_any_batch(finished, model, images, call, tmp_path):
    code, out, err = call("export", f"run={finished.path}", f"to={tmp_path / 'new'}", "formats=torch")
    assert (code, err) == (0, "") and "largest difference" in out
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["model.json", "model.pt2"]
    program = torch.export.load(tmp_path / "new" / "model.pt2").module()
    for batch in (images, images[:1]):
        torch.testing.assert_close(program(batch), model(batch), atol=1e-5, rtol=0)


def test_weights_and_description_are_enough_to_build_the_model_again(finished, model, images, call, tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")

    assert call("export", f"run={finished.path}", f"to={tmp_path}", "formats=[safetensors]")[0] == 0
    description = json.loads((tmp_path / "model.json").read_text())
    assert description["class_names"] == [str(digit) for digit in range(10)]
    assert description["files"]["model.safetensors"]["takes"] == "weights"
    shape = tuple(description["input"]["shape"][1:])
    twin = model_from(description["config"]["model"], image_shape=shape, num_classes=10).eval()
    twin.load_state_dict(safetensors.load_file(str(tmp_path / "model.safetensors")))
    torch.testing.assert_close(twin(model.preprocessing(images)), model(images), atol=1e-5, rtol=0)


def test_no_value_of_the_environment_is_exported_or_printed(finished, call, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "hunter2")
    run = tmp_path / "run"
    shutil.copytree(finished.path, run)
    cfg = OmegaConf.load(run / "config.yaml")
    cfg.loggers = [{"wandb": {"key": "${oc.env:SECRET}"}}]
    cfg.run.root = "/x/${oc.env:SECRET}"
    (run / "config.yaml").write_text(sign(OmegaConf.to_yaml(cfg)))  # the user's own: the values are used, and not told
    code, said, errors = call("export", f"run={run}", f"to={tmp_path / 'out'}", "formats=[safetensors]")
    assert code == 0 and "hunter2" not in said + errors, errors
    assert "${oc.env:SECRET}" in (tmp_path / "out" / "model.json").read_text()
    assert not any(b"hunter2" in path.read_bytes() for path in (tmp_path / "out").iterdir())


def test_the_description_says_how_a_file_becomes_an_image(finished, model, call, tmp_path):
    """With Pillow and NumPy alone, as somebody does who has the exported files and no hybrid."""
    assert call("export", f"run={finished.path}", f"to={tmp_path}", "formats=[safetensors]")[0] == 0
    files = json.loads((tmp_path / "model.json").read_text())["input"]["files"]
    pixels = np.random.default_rng(0).integers(0, 256, (75, 51, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "i.png")
    image = Image.open(tmp_path / "i.png").convert({1: "L", 3: "RGB"}[files["channels"]])
    scale = max(box / side for box, side in zip(files["resize"], image.size[::-1], strict=True))
    image = image.resize(
        [int(side * scale) for side in image.size], {"bicubic": Image.Resampling.BICUBIC}[files["interpolation"]]
    )
    height, width = files["size"]
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    plain = torch.from_numpy(np.array(image.crop((left, top, left + width, top + height))))[None]
    data = restore(finished.path, device="cpu").data
    assert torch.equal(data.open_image(tmp_path / "i.png"), plain)
    assert torch.equal(ImageReader(**files).open(tmp_path / "i.png"), plain)
    assert files["fit"] == "crop" and files["value_range"] is None


def test_onnx_holds_the_whole_model(finished, model, images, call, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    code, out, _ = call("export", f"run={finished.path}", f"to={tmp_path}", "formats=onnx")
    assert code == 0 and "model.onnx: takes images" in out and "note" not in out
    session = runtime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    for batch in (images, images[:1], images[:0]):
        (logits,) = session.run(None, {"images": batch.numpy()})
        torch.testing.assert_close(torch.from_numpy(logits), model(batch), atol=1e-4, rtol=0)


def test_where_onnx_cannot_express_the_front_end_the_head_is_exported_and_it_says_so(
    model, images, tmp_path, monkeypatch
):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")

    def refuse(*_, **__):
        raise package.UserError("ONNX cannot express it: some reason")

    monkeypatch.setattr(package.onnx_model, "save_whole", refuse)
    (artefact,) = package.export(model, formats=["onnx"], to=tmp_path / "x", description={}, model_config={})
    assert (artefact.file, artefact.takes) == ("head.onnx", "coefficients")
    assert artefact.note == "the head alone, not the whole model (ONNX cannot express it: some reason)"
    session = runtime.InferenceSession(str(tmp_path / "x" / "head.onnx"), providers=["CPUExecutionProvider"])
    features = model.model.frontend(model.preprocessing(images))
    (logits,) = session.run(None, {"coefficients": features.numpy()})
    torch.testing.assert_close(torch.from_numpy(logits), model(images), atol=1e-4, rtol=0)


def test_a_file_that_differs_is_an_error_and_leaves_nothing(finished, call, tmp_path, monkeypatch):
    load = torch_program.load_program
    monkeypatch.setattr(torch_program, "load_program", lambda path: lambda images: load(path)(images) + 1e-3)
    code, _, err = call("export", f"run={finished.path}", f"to={tmp_path / 'new'}", "formats=[safetensors,torch]")
    assert code == 2 and err.startswith("error: model.pt2 differs from the model by 0.001")
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_cannot_be_traced_is_one_line(model, tmp_path):
    class Stubborn(torch.nn.Module):
        def forward(self, features):
            return features if features.sum().item() > 0 else -features

    before, model.model.normalization = model.model.normalization, Stubborn()
    try:
        with pytest.raises(ValueError, match="torch.export cannot trace this model") as error:
            package.export(model, formats=["torch"], to=tmp_path / "x", description={}, model_config={})
    finally:
        model.model.normalization = before
    assert "\n" not in str(error.value) and list(tmp_path.iterdir()) == []


def test_a_new_export_replaces_what_the_old_one_wrote_and_nothing_else(model, tmp_path):
    torch_only = {"formats": ["torch"], "to": tmp_path, "description": {}, "model_config": {}}
    package.export(model, **torch_only)
    (tmp_path / "mine.txt").write_text("keep")
    (tmp_path / "other.onnx").write_text("keep")
    description = json.loads((tmp_path / "model.json").read_text())
    description["files"]["old.onnx"] = description["files"]["../outside.onnx"] = {}
    (tmp_path / "model.json").write_text(json.dumps(description))
    (tmp_path / "old.onnx").write_text("remove")
    package.export(model, **torch_only)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.txt", "model.json", "model.pt2", "other.onnx"]


def test_a_missing_package_is_named_with_the_extra_that_installs_it(finished, call, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "safetensors"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "safetensors", None)  # importing it fails now
    code, _, err = call("export", f"run={finished.path}", f"to={tmp_path / 'x'}", "formats=safetensors")
    assert code == 2 and err == "error: safetensors needs safetensors.torch: pip install 'hybrid-scattering[export]'\n"
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setitem(sys.modules, "onnx", None)
    code, out, _ = call("export", f"run={finished.path}", f"to={tmp_path / 'x'}")
    assert (
        code == 0 and "safetensors is skipped: safetensors needs" in out and "onnx is skipped: ONNX needs onnx" in out
    )
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == ["model.json", "model.pt2"]


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [["model=scat_resnet"], ["model=wrn_16_8", "model.head.k=1"]])
def test_convolutional_models_export_in_all_formats(train_run, call, tmp_path, overrides):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("safetensors")
    folder = train_run(*overrides, "trainer.duration=2 steps")
    code, out, err = call("export", f"run={folder.path}", f"to={tmp_path}")
    assert (code, err) == (0, "") and "model.onnx: takes images" in out
