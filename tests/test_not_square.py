"""Images that are not square, everywhere: models, a training run, features that are kept, analysis, export, prediction."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import hybrid
from hybrid.export import onnx_model, torch_program
from hybrid.export.pipeline import Pipeline
from hybrid.models.describe import describe

SHAPE = (1, 16, 24)
TORCH = {"frontend": {"engine": "torch", "J": 1, "L": 2}}
MODELS = {
    "scat_linear": TORCH,
    "scat_mlp": TORCH,
    "scat_cnn": TORCH,
    "scat_resnet": TORCH,
    "scat_wrn": {**TORCH, "head": {"k": 1}},
    "scat_wrn_stl": {**TORCH, "head": {"k": 1}},
    "scat_sle": {"frontend": {"engine": "torch", "J": 3, "L": 2}},
    "regular_cnn": {},
    "resnet18": {},
    "vgg16": {},
    "wrn_16_8": {"head": {"k": 1}},
    "phase_collapse_real": {},
    "separation_concentration": {"head": {"width": 0.1}},
    "learned_scatternet": {},
    "scattering_tree": TORCH,
}


@pytest.mark.parametrize("name", MODELS)
def test_every_model_takes_them(name):
    model = hybrid.build_model(name, image_shape=SHAPE, num_classes=3, **MODELS[name])
    if model.needs_statistics:
        model.fit_statistics([torch.rand(4, *SHAPE)])
    logits = model(torch.rand(2, *SHAPE))
    logits.sum().backward()
    assert logits.shape == (2, 3) and describe(model).parameters > 0


def test_a_model_says_what_to_do_with_an_array():
    model = hybrid.build_model("scat_linear", image_shape=SHAPE, num_classes=3, **TORCH)
    for takes in (model, Pipeline(nn.Identity(), model)):
        with pytest.raises(TypeError, match=r"takes a torch tensor \(N, C, H, W\), got ndarray: torch\.from_numpy"):
            takes(np.zeros((2, *SHAPE), np.float32))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on digits of 16 x 24 pixels: flips, crops, cutout, kept features, the analysis and the pictures of TensorBoard."""
    return hybrid.train(
        "data=digits", "data.size=[16,24]", "data.subset.n=100", "data.validation=20", "model=scat_linear",
        "model.frontend.J=1", "model.frontend.L=2", "model.frontend.engine=torch", "trainer.duration=30 steps",
        "trainer.batch_size=20", "augmentation=none", "augmentation.flip=0.5", "trainer.feature_cache=memory",
        "trainer.progress=none", "trainer.device=cpu", "optimizer.lr=0.05", "analysis=full", "analysis.images=40",
        "analysis.neighbours=3", "analysis.pairs=40", "analysis.pair_images=20", "analysis.jacobian_images=2",
        "analysis.stability_images=2",
        f"run.root={tmp_path_factory.mktemp('runs')}",
    )  # fmt: skip


def test_a_run_with_kept_features_and_an_analysis_of_everything(trained):
    assert trained.data.image_shape == SHAPE and trained.summary["test"]["top1"] > 20
    table = trained.analysis.table
    assert np.isfinite(table.filter(like="jacobian").to_numpy(float)).any()
    assert (trained.path / "analysis" / "stability.png").exists()


def test_files_arrays_and_pillow_images_are_predicted_alike(trained, tmp_path):
    pixels = trained.data.splits["test"].images[:3].numpy()
    for number, image in enumerate(pixels):
        Image.fromarray(image[0]).save(tmp_path / f"{number}.png")
    expected = trained.predict(pixels)["probability"].tolist()
    assert trained.predict(tmp_path)["probability"].tolist() == pytest.approx(expected)
    assert trained.predict([Image.fromarray(image[0]) for image in pixels])["probability"].tolist() == pytest.approx(
        expected
    )


def test_exported_programs_take_them(trained, tmp_path):
    pipeline = Pipeline(trained.data.preprocessing, trained.model).eval()
    images = torch.rand(3, *SHAPE)
    torch_program.save_program(pipeline, tmp_path / "model.pt2")
    torch.testing.assert_close(
        torch_program.load_program(tmp_path / "model.pt2")(images), pipeline(images), atol=1e-5, rtol=0
    )
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    onnx_model.save_whole(pipeline, tmp_path / "model.onnx")
    torch.testing.assert_close(
        onnx_model.load_onnx(tmp_path / "model.onnx")(images), pipeline(images), atol=1e-4, rtol=0
    )
