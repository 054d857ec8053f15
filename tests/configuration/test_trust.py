"""A run's folder from somebody else is data: whatever its config.yaml names, nothing but hybrid's and torch's classes is run."""

from __future__ import annotations

import sys

import pytest
import yaml
from omegaconf import OmegaConf

import hybrid
from hybrid.configuration.class_paths import find_class
from hybrid.configuration.composition import compose
from hybrid.configuration.hydra_arguments import read_whole
from hybrid.configuration.kept import as_kept, is_own, read_kept
from hybrid.configuration.trust import check_trusted
from hybrid.errors import UserError
from hybrid.runs import RunFolder
from hybrid.runs.reading import find_runs
from hybrid.training.restore import restore

HOSTILE = [
    "os.system", "os.path.os.system", "posix.system", "builtins.exec", "builtins.__import__", "subprocess.run", "shutil.rmtree",
    "importlib.import_module", "pathlib.Path.touch", "webbrowser.open", "pickle.loads", "runpy.run_path",
    "planted.Head", "planted.sub.Head", ".planted.Head", "planted", "planted..Head", "planted.Head ", "__main__.x",
    "torch.hub.load", "torch.load", "torch.serialization.load", "torch.utils.cpp_extension.load",
    "torch.nn.Module.load_state_dict",
    "torch.nn.functional.os.system", "torch.nn.modules.module.torch.load", "torch.nn.init", "torch.optim.optimizer.os",
    "torch.optim.lr_scheduler.warnings", "torch.nn.modules.utils.os", "torchvision.datasets.utils.download_url",
    "torchvision.datasets.folder.os.system", "numpy.load", "hydra.utils.instantiate", "hydra.utils.get_method",
    "hydra._internal.utils._locate", "omegaconf.OmegaConf.load", "yaml.unsafe_load", "hybrid.train", "hybrid.files.write_text",
    "hybrid.commands.new.new", "hybrid.configuration.class_paths.find_class", "hybrid.configuration.instantiate.instantiate",
    "hybrid.runs.folder.shutil.rmtree", "hybrid.models.cnn.torch.load", "hybrid.models.cnn.nn", "hybrid.data.folder.os",
    "hybrid.data.unpickle.Path", "hybrid.runs.sweeps.job.Job", "hybrid.scattering.compiled.cache.ctypes.CDLL",
    "${oc.env:TARGET}", 5, ["os.system"], {"a": "os.system"}, None,
]  # fmt: skip
PLACES = {
    "model.head": lambda cfg, it: cfg["model"].update(head={"_target_": it, "command": "touch owned"}),
    "model.frontend": lambda cfg, it: cfg["model"]["frontend"].update(_target_=it),
    "nested": lambda cfg, it: cfg["model"]["head"].update(hidden=[{"deep": {"_target_": it}}]),
    "data": lambda cfg, it: cfg["data"].update(_target_=it),
    "dataset": lambda cfg, it: cfg["data"].update(_target_="hybrid.data.torchvision_set.TorchvisionSet", dataset=it),
    "normalize": lambda cfg, it: cfg["data"].update(normalize={"_target_": it}),
    "augmentation": lambda cfg, it: cfg["augmentation"].update(policy={"_target_": it}),
    "loss": lambda cfg, it: cfg["loss"].update(_target_=it),
    "optimizer": lambda cfg, it: cfg["optimizer"].update(_target_=it),
    "schedule": lambda cfg, it: cfg["schedule"].update(_target_=it),
    "callbacks": lambda cfg, it: cfg.update(callbacks=[{"_target_": it}]),
    "metrics": lambda cfg, it: cfg.update(metrics=["balanced_accuracy", {"_target_": it}]),
    "loggers": lambda cfg, it: cfg.update(loggers=["tensorboard", {"prefix": 1, "_target_": it}]),
    "elsewhere": lambda cfg, it: cfg.update(other={"_target_": it}),
}
DOORS = {
    "restore": lambda run: restore(run),
    "load_run": lambda run: hybrid.load_run(run).model,
    "--from": lambda run: read_whole([str(run)]),
    "svm --from": lambda run: read_whole([str(run / "config.yaml")], "svm"),
}


@pytest.fixture(scope="module")
def composed():
    return compose(["model=scat_linear", "data.subset.n=100", "trainer.duration=2 steps"])


@pytest.fixture
def foreign(composed, tmp_path, monkeypatch):
    """foreign(change) is the folder of a run whose configuration was changed; beside it a module that must not be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.setenv("HYBRID_CONFIGS", "")
    monkeypatch.setenv("TARGET", "os.system")
    (tmp_path / "planted.py").write_text("open('owned', 'w')\nclass Head:\n    published = observer = True\n")
    text = as_kept(composed)

    def make(change=lambda cfg: None):
        cfg = yaml.safe_load(text)
        change(cfg)
        (tmp_path / "run").mkdir(exist_ok=True)
        (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(cfg))
        return tmp_path / "run"

    yield make
    assert not (tmp_path / "owned").exists() and "planted" not in sys.modules


@pytest.mark.parametrize("place", PLACES)
def test_nothing_hostile_is_run_from_any_place(foreign, place):
    file = foreign(lambda cfg: PLACES[place](cfg, "${oc.env:TARGET}")) / "config.yaml"
    cfg = OmegaConf.to_container(read_kept(file), resolve=True)
    for target in HOSTILE:
        PLACES[place](cfg, target)
        with pytest.raises(UserError, match="names") as error:
            check_trusted(cfg, file)
        assert "\n" not in str(error.value), target
    for door in ("restore", "--from"):
        with pytest.raises(UserError, match=r"names \$\{oc.env:TARGET\}"):
            DOORS[door](file.parent)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", ["metrics", "callbacks", "loggers"])
def test_no_door_is_open_for_items_of_lists(foreign, door, name):
    for item in ("planted.Head", {"os.system": {"x": 1}}, 7):
        with pytest.raises(UserError, match=f"{name} names|another command made"):
            DOORS[door](foreign(lambda cfg, it=item: cfg.update({name: [it]})))
        with pytest.raises(UserError, match=f"{name} names|another command made"):
            DOORS[door](foreign(lambda cfg, it=item: cfg.update({name: it})))


@pytest.mark.parametrize("word", ["_args_", "_partial_", "_recursive_", "_convert_"])
def test_hydras_own_words_are_refused(foreign, word):
    with pytest.raises(UserError, match=rf"model\.head\.{word} is a word of Hydra's"):
        restore(foreign(lambda cfg: cfg["model"]["head"].update({word: ["touch owned"]})))


def test_reports_import_nothing(foreign):
    run = foreign(lambda cfg: cfg.update(callbacks=["planted.Head"], data=cfg["data"] | {"_target_": "planted.Head"}))
    (found,) = find_runs(run)
    assert found.settings["data._target_"] == "planted.Head"


@pytest.mark.parametrize(
    "target",
    ["torch.nn.Linear", "torch.nn.modules.loss.MSELoss", "torch.optim.RAdam", "torch.optim.sgd.SGD",
     "torch.optim.lr_scheduler.ReduceLROnPlateau", "hybrid.models.wide_resnet.wide_resnet", "hybrid.models.dense.MLP",
     "hybrid.training.optimizer.adamw", "hybrid.training.losses.FocalLoss",
     "hybrid.objective.losses.FocalLoss", "hybrid.runs.loggers.Csv",
     "hybrid.training.early_stopping.EarlyStopping", "hybrid.data.cifar.Cifar100", "torchvision.datasets.FakeData"],
)  # fmt: skip
def test_classes_of_hybrid_and_torch_need_no_word(target, tmp_path):
    check_trusted({"x": {"_target_": target}, "metrics": [target, "f1"]}, tmp_path / "config.yaml")


def test_a_users_word_allows_a_package_and_nothing_else(foreign, tmp_path, monkeypatch):
    cfg = {"model": {"head": {"_target_": "planted.Head"}}}
    file = tmp_path / "config.yaml"
    with pytest.raises(UserError, match=r"whose code would be run, .* add trust=\[planted\]\.") as error:
        check_trusted(cfg, file)
    assert "\n" not in str(error.value)
    check_trusted(cfg, file, trust=["planted"])
    check_trusted(cfg, file, trust=["planted.Head"])
    for other in ("plant", "planted.Hea", "planted.Head.x", "os", ""):
        with pytest.raises(UserError, match=r"trust=\[planted\]"):
            check_trusted(cfg, file, trust=[other])
    with pytest.raises(UserError, match="which is no part of a network"):  # whatever is said
        check_trusted({"x": {"_target_": "os.system"}}, file, trust=["os", "os.system"])
    with pytest.raises(UserError, match=r"add trust=\[torch.hub.load\]"):
        check_trusted({"x": {"_target_": "torch.hub.load"}}, file)
    monkeypatch.setenv("HYBRID_CONFIGS", str(tmp_path))  # as --config-dir sets it
    with pytest.raises(UserError, match=r"trust=\[planted\]"):
        check_trusted(cfg, file)
    (tmp_path / "hybrid.yaml").touch()  # a project
    check_trusted(cfg, file)


def test_the_command_line_allows_it(foreign):
    run = foreign(lambda cfg: cfg.update(metrics=["planted.Head"]))
    assert read_whole_of(run, "trust=[some,planted]") and read_whole_of(run, "trust=planted")
    with pytest.raises(UserError, match="nothing beside it but trust"):
        read_whole([str(run), "seed=1"])


def read_whole_of(run, *more):
    """--from, without the classes, which this test must not import."""
    cfg = read_kept(run / "config.yaml")
    names = more[0].partition("=")[2].strip("[]").split(",")
    check_trusted(cfg, run / "config.yaml", trust=names)
    return True


def test_ones_own_run_needs_no_word_and_an_edited_one_does(composed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_own_head.py").write_text("class Head: ...\n")
    cfg = composed.copy()
    cfg.model.head = {"_target_": "my_own_head.Head"}
    find_class("my_own_head.Head")
    folder = RunFolder(tmp_path / "mine")
    folder.open(cfg, class_names=["a"])
    folder.close()
    assert is_own(folder.config) and read_whole([str(folder.path)]).model.head._target_ == "my_own_head.Head"
    moved = folder.path.rename(tmp_path / "moved")
    assert read_whole([str(moved)])
    signed = (moved / "config.yaml").read_text()
    for text in (
        signed.replace("my_own_head.Head", "my_own_head.Evil"),
        signed + "#\n",
        signed.replace("signature ", "signature 0"),
    ):
        (moved / "config.yaml").write_text(text)
        with pytest.raises(UserError, match=r"trust=\[my_own_head\]"):
            read_whole([str(moved)])
    unsigned = signed[: signed.index("# hybrid-signature")]
    (moved / "config.yaml").write_text(unsigned)  # as of an earlier version: the same command signs it again
    again = RunFolder(moved)
    again.open(cfg, class_names=["a"])
    again.close()
    assert (moved / "config.yaml").read_text() == signed
    (moved / "config.yaml").write_text(unsigned.replace("loggers:", "loggers:\n- evil.Logger"))
    again.open(cfg, class_names=["a"])
    again.close()
    assert not is_own(moved / "config.yaml")


def test_configurations_that_name_nothing_of_the_users_bear_no_signature(composed):
    assert "signature" not in as_kept(composed)
