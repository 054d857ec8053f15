"""What users install: everything works from the wheel alone, in a folder that was empty."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from fixtures.wheel import build_sdist, build_wheel, copy_source
from PIL import Image

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("wheel")]  # one environment for all of them

_QUICK = ["trainer.duration=20 steps", "trainer.device=cpu", "trainer.progress=none"]
_LINEAR = ["model=scat_linear", "data.subset.n=100", "analysis=none", "trainer.tensorboard=false", *_QUICK]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where a user works: empty at first."""
    return tmp_path_factory.mktemp("work")


@pytest.fixture
def hybrid(installed, folder):
    """hybrid("train", "seed=1") is that command in the user's folder, which must succeed -> what it prints."""

    def do(*arguments: str, program: tuple[str, ...] = ("hybrid",)) -> str:
        done = installed.run(*program, *arguments, cwd=folder)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return do


@pytest.fixture(scope="module")
def run(installed, folder) -> str:
    """The path of a trained run, below the user's folder."""
    done = installed.run("hybrid", "train", "experiment=digits", *_QUICK, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = (folder / "outputs").iterdir()
    assert (path / "summary.json").is_file() and list((path / "analysis").glob("*.csv"))
    return f"outputs/{path.name}"


def test_it_holds_what_a_user_needs_and_no_laboratory(wheel, root):
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names}
    assert top == {"hybrid", f"{wheel.name.split('-py3')[0]}.dist-info"}
    configs = {path.relative_to(root).as_posix() for path in (root / "configs").rglob("*.yaml")}
    template = {name for name in names if name.startswith("hybrid/commands/template/")}
    assert {Path(name).name for name in template} > {"hybrid.yaml", "README.md", "my_head.py", "my_head.yaml"}
    assert configs == {
        name.removeprefix("hybrid/") for name in names if name.endswith(".yaml") and name not in template
    }
    endings = Counter(Path(name).suffix for name in names if name.startswith("hybrid/"))
    assert set(endings) == {".py", ".yaml", ".cpp", ".cu", ".h", ".md"}
    for ending in (".py", ".cpp", ".cu", ".h"):
        assert endings[ending] == len([*(root / "hybrid").rglob(f"*{ending}")])


def test_the_sdist_builds_the_same_wheel(wheel, tmp_path):
    with tarfile.open(build_sdist(copy_source(tmp_path / "source"), tmp_path / "sdist")) as archive:
        names = archive.getnames()
        archive.extractall(tmp_path / "unpacked", **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    folders = {name.split("/")[1] for name in names if name.count("/") > 1}
    assert folders == {"hybrid", "configs", "hybrid_scattering.egg-info"}
    (source,) = (tmp_path / "unpacked").iterdir()
    assert _contents(build_wheel(source, tmp_path / "dist")) == _contents(wheel)


def _contents(wheel: Path) -> dict[str, str]:
    archive = zipfile.ZipFile(wheel)
    return {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist() if "RECORD" not in name}


def test_it_is_the_wheel_that_is_tested(hybrid, installed):
    said = hybrid("-c", "import hybrid; print(hybrid.__file__)", program=("python",))
    assert Path(said.strip()).is_relative_to(installed.python.parents[1])
    facts = dict(line.split(maxsplit=1) for line in hybrid("info").splitlines())
    assert str(installed.python.parents[1]) in facts["hybrid"] and "commit" not in facts["hybrid"]
    assert str(installed.python.parents[1]) in facts["configs"]


def test_a_finished_run_is_found_again_by_the_module_too(hybrid, run):
    said = hybrid("train", "experiment=digits", *_QUICK, program=("python", "-m", "hybrid"))
    assert "finished already" in said and run in said


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["evaluate", "run={run}", "json=result.json"], "accuracy"),
        (["predict", "run={run}", "image.png", "top=2"], "image.png"),
        (["analyze", "run={run}", "preset=light", "measures=classes", "images=60", "formats=png"], "logits"),
        (["report"], "scat_resnet"),
        (["describe", "model=scat_wrn", "data=cifar10"], "trainable parameters"),
        (["show-scattering", "size=32", "J=2", "out=coefficients.png"], "paths of"),
        (["data-stats"], "contact sheet"),
        (["prepare-data"], "digits: "),
        (["svm", "data=digits", "data.size=16", "data.subset.n=100", "model.frontend.J=1"], "test accuracy"),
        (["completion", "bash"], "complete "),
        (["new", "project"], "project/my_head.py"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_each_command(hybrid, folder, run, command, words):
    Image.new("L", (32, 32), 128).save(folder / "image.png")
    assert words in hybrid(*(text.format(run=run) for text in command))


def test_without_an_extra_the_command_says_which_is_missing(installed, hybrid, folder, run):
    assert "model.pt2" in hybrid("export", f"run={run}", "formats=torch", "to=exported/torch")
    for arguments, extra in (
        (["export", f"run={run}", "formats=onnx"], "export"),
        (["search", "trials=1", *_LINEAR, "optimizer.lr=0.05,0.1"], "search"),
        (["train", "-m", "cluster=slurm", *_LINEAR], "slurm"),
    ):
        done = installed.run("hybrid", *arguments, cwd=folder)
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
        assert f"pip install 'hybrid-scattering[{extra}]'" in done.stderr or "SLURM" in done.stderr


def test_an_export(installed_with_extras, folder, run):
    done = installed_with_extras.run("hybrid", "export", f"run={run}", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.name for path in (folder / "exported").rglob("*.*")} >= {"model.pt2", "model.onnx", "model.json"}


def test_a_search(installed_with_extras, folder):
    arguments = ["search", "trials=1", *_LINEAR, "optimizer.lr=0.05,0.1"]
    done = installed_with_extras.run("hybrid", *arguments, cwd=folder)
    assert done.returncode == 0 and "best: " in done.stdout, done.stdout + done.stderr


def test_a_sweep_and_its_reports(hybrid, folder):
    said = hybrid("train", "-m", *_LINEAR, "seed=0,1")
    assert "all 2 runs are finished: hybrid report sweep=" in said
    assert hybrid("sweep-status").count("finished") == 3
    rows = hybrid("report", "sweep=last", "format=csv").splitlines()
    assert len(rows) == 2
    record = json.loads(hybrid("sweep-status", "format=json").splitlines()[0])
    assert Path(record["folder"]).parent == folder / "outputs"


def test_a_recipe_of_the_users_own(hybrid, folder):
    recipe = folder / "mine" / "experiment" / "mine.yaml"
    recipe.parent.mkdir(parents=True)
    recipe.write_text(
        "# @package _global_\ndefaults:\n  - override /model: scat_linear\nmodel:\n  head: {_target_: my_parts.Head}\n"
    )
    (folder / "my_parts.py").write_text("from hybrid.models.dense import Linear\n\n\nclass Head(Linear):\n    pass\n")
    hybrid("train", "--config-dir", "mine", "experiment=mine", *_LINEAR[1:])
    assert list((folder / "outputs").glob("mine-*/summary.json"))
    hybrid("train", "-m", "--config-dir", "mine", "experiment=mine", *_LINEAR[1:], "seed=3,4")
    assert len(list((folder / "outputs").glob("mine-*/summary.json"))) == 3


def test_nothing_is_left_elsewhere(hybrid, folder, run):
    """Outputs go below the current folder, whose other files are those that the tests have named."""
    known = {
        "outputs",
        "exported",
        "mine",
        "project",
        "my_parts.py",
        "image.png",
        "result.json",
        "coefficients.png",
        "__pycache__",
    }
    assert {path.name for path in folder.iterdir()} <= known


def test_a_mistake_is_one_line(installed, folder):
    done: subprocess.CompletedProcess = installed.run("hybrid", "train", "model=scat_resnt", cwd=folder)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "Did you mean scat_resnet?" in done.stderr
