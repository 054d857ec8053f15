"""hybrid's names in Python: the examples of their docstrings, runs opened again, and mistakes as exceptions."""

from __future__ import annotations

import doctest
import inspect
import subprocess
import sys

import numpy as np
import pytest
import torch

import hybrid
from hybrid import UserError

TINY = [
    "data=digits", "model=scat_linear", "data.subset.n=200", "trainer.duration=5 steps", "trainer.batch_size=50",
    "trainer.evaluate_every=2 steps", "optimizer.lr=0.05", "analysis=none", "trainer.tensorboard=false", "trainer.progress=none",
    "trainer.device=cpu",
]  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return hybrid.train(*TINY, f"run.root={tmp_path_factory.mktemp('runs')}")


class _Quiet(doctest.OutputChecker):
    """An example that shows no output may print: a training run says how far it is."""

    def check_output(self, want, got, optionflags):
        return not want or super().check_output(want, got, optionflags)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(hybrid.__all__) - {"UserError", "__version__"}))
def test_every_public_name_has_an_example_that_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    thing = getattr(hybrid, name)
    finder = doctest.DocTestFinder(recurse=inspect.isclass(thing))
    tests = [test for test in finder.find(thing, name, globs={}) if test.examples]
    assert tests, f"hybrid.{name} has no example in its docstring"
    for test in tests:
        runner = doctest.DocTestRunner(_Quiet(), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
        report: list[str] = []
        runner.run(test, out=report.append, clear_globs=False)
        assert not runner.failures, "".join(report)


def test_importing_the_package_imports_nothing_heavy():
    code = """
import sys, hybrid
dir(hybrid)
print([name for name in ("torch", "numpy", "hydra", "pandas", "omegaconf") if name in sys.modules])
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_the_same_call_finds_the_finished_run(trained, capsys):
    root = trained.path.parent
    again = hybrid.train(*TINY, f"run.root={root}")
    assert again.path == trained.path and again.summary == trained.summary
    assert "finished already" in capsys.readouterr().out


def test_a_run_is_opened_with_all_that_it_holds(trained):
    with pytest.raises(UserError, match=r"weights=bset is not kept in .*\. Valid: last, best"):
        hybrid.load_run(trained.path, weights="bset")
    run = hybrid.load_run(trained.path)
    assert run.finished and run.summary["steps"] == 5 and run.config.trainer.batch_size == 50
    assert run.metrics["validation/top1"].dropna().size == 3 and run.metrics["step"].max() == 5
    assert run.analysis is None and len(run.class_names) == 10
    assert "test accuracy" in repr(run) and not run.model.training
    loader = run.data.loader("test", batch_size=100)
    right = sum(int((run.model(batch.images).argmax(1) == batch.labels).sum()) for batch in loader.epoch(0))
    assert right / len(run.data.splits["test"]) * 100 == pytest.approx(run.summary["test"]["top1"], abs=0.01)


def test_arrays_and_files_are_predicted_alike(trained, tmp_path):
    from PIL import Image

    pixels = np.random.RandomState(0).randint(0, 256, (3, 1, 32, 32)).astype(np.uint8)
    for number, image in enumerate(pixels):
        Image.fromarray(image[0]).save(tmp_path / f"{number}.png")
    of_arrays = trained.predict(pixels, top=2)
    assert of_arrays.columns.tolist() == ["class", "probability", "class_2", "probability_2"]
    assert of_arrays.index.tolist() == [0, 1, 2]
    of_floats = trained.predict(torch.from_numpy(pixels) / 255, top=2)
    of_files = trained.predict(tmp_path, top=2)
    pictures = [Image.fromarray(image[0]) for image in pixels]
    of_pictures = trained.predict(pictures, top=2)
    of_mixed = trained.predict([pictures[0], tmp_path / "1.png", pixels[2]], top=2)
    of_words = trained.predict(pixels.astype(np.uint16) * 257, top=2)
    for other in (of_floats, of_files, of_pictures, of_mixed, of_words):
        assert other["class"].tolist() == of_arrays["class"].tolist()
        np.testing.assert_allclose(other["probability"], of_arrays["probability"], rtol=1e-5)
    grey = trained.predict(pixels[:, 0], top=2)  # (N, H, W), as data=npz reads it
    assert grey.equals(of_arrays) and trained.predict(list(pixels[:, 0]), top=2).equals(of_arrays)
    for one in (pixels[0], pixels[0, 0], pictures[0]):
        assert trained.predict(one)["class"].tolist() == of_arrays["class"].tolist()[:1]
    colour = trained.predict(Image.new("RGBA", (70, 50), (0, 0, 0, 0)))  # of another size: nothing on white
    assert colour["probability"][0] == pytest.approx(
        trained.predict(np.full((1, 32, 32), 255, np.uint8))["probability"][0]
    )


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((2, 1, 16, 16), np.uint8), "do not fit the model"),
        (
            np.zeros((5, 28, 28), np.uint8),
            "images of shape (5, 28, 28) do not fit the model, which takes (N, 1, 32, 32)",
        ),
        (np.zeros((2, 32, 32, 1), np.uint8), "the channels come first, images.transpose(0, 3, 1, 2)"),
        (np.full((2, 1, 32, 32), 3.0), "float images have values in [0, 1], but these reach from 3 to 3"),
        (np.zeros((2, 1, 32, 32), np.int64), "int64 values have no usual range"),
        ([np.zeros((1, 32, 32), np.uint8), np.zeros((1, 16, 16), np.uint8)], "all of one shape and type"),
        ("nowhere.png", "no such file"),
    ],
)
def test_images_that_cannot_be_predicted_are_one_line(trained, images, words):
    with pytest.raises(UserError) as error:
        trained.predict(images)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_mistakes_are_exceptions_and_nothing_is_written(tmp_path):
    for overrides, words in [
        (["model=scat_resnt"], "Did you mean scat_resnet?"),
        (["-m", "seed=0,1"], "call it once for each run"),
        (["trainer.batch_size=ten"], "trainer.batch_size"),
    ]:
        with pytest.raises(UserError, match=words.replace("?", r"\?")) as error:
            hybrid.train(*overrides, f"run.root={tmp_path / 'runs'}")
        assert "\n" not in str(error.value)
    assert not (tmp_path / "runs").exists()
    with pytest.raises(UserError, match="one for each setting"):
        hybrid.train(["experiment=digits"])
    with pytest.raises(UserError, match="there is no run's folder"):
        hybrid.load_run(tmp_path / "none")
    with pytest.raises(AttributeError, match="has no attribute 'scattering2d'"):
        hybrid.scattering2d  # noqa: B018
