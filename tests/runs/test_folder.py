from __future__ import annotations

import importlib
import pkgutil
import re
import sys

import pytest
from omegaconf import OmegaConf

import hybrid.data
from hybrid.configuration.composition import compose
from hybrid.data import FileSource, MemorySource
from hybrid.errors import UserError
from hybrid.runs import RunFolder
from hybrid.runs import identity as run_identity
from hybrid.runs.identity import PUBLISHED, identity, run_name


@pytest.fixture
def configure(tmp_path):
    """configure("seed=1", …) composes a configuration whose runs are in this test's folder."""
    return lambda *overrides: compose([f"run.root={tmp_path / 'runs'}", *overrides])


def opened(cfg) -> RunFolder:
    folder = RunFolder.of(cfg)
    folder.open(cfg, class_names=["cat", "dög"])
    return folder


def test_the_name_says_what_is_in_it(configure):
    assert re.fullmatch(r"digits-scat_resnet-seed0-[0-9a-f]{8}", run_name(configure()))
    cfg = configure("data=mnist", "model=scat_wrn", "debug=fast", "seed=3")
    assert re.fullmatch(r"mnist-scat_wrn-fast-seed3-[0-9a-f]{8}", run_name(cfg))


def test_run_name_is_the_folders_name(configure, tmp_path):
    assert RunFolder.of(configure("run.name=mine")).path == tmp_path / "runs" / "mine"


@pytest.mark.parametrize(
    "same",
    [
        "run.root=elsewhere",
        "run.restart=true",
        "trainer.device=cpu",
        "trainer.log_every=1 step",
        "trainer.checkpoint_every=1 step",
        "trainer.progress=none",
        "trainer.tensorboard=false",
        "trainer.winograd=false",
        "data.root=elsewhere",
        "data.download=false",
    ],
)
def test_what_changes_no_result_is_not_part_of_the_identity(configure, same):
    assert identity(configure("data=cifar10")) == identity(configure("data=cifar10", same))


def test_a_setting_that_came_later_leaves_runs_their_folders(configure):
    cfg = configure()
    before = configure()
    del before.run.init_channels
    assert run_name(cfg) == run_name(before)
    assert run_name(configure("run.init_from=w.pt", "run.init_channels=pyscatwave")) != run_name(
        configure("run.init_from=w.pt")
    )


@pytest.mark.parametrize(
    "other",
    [
        "seed=1",
        "trainer.duration=21 epochs",
        "trainer.evaluate_every=2 epochs",
        "trainer.channels_last=false",
        "optimizer.momentum=0.8",
        "schedule=constant",
        "data.subset.n=100",
        "model.head.dropout=0.1",
        "run.init_from=there",
    ],
)
def test_what_may_change_a_result_is(configure, other):
    assert run_name(configure("data=cifar10")) != run_name(configure("data=cifar10", other))


@pytest.fixture
def own_data(tmp_path, monkeypatch):
    """own_data(yaml) makes data=photos of a user's own, in a folder of configurations beside hybrid's."""

    def write(text: str) -> None:
        (tmp_path / "own" / "data").mkdir(parents=True, exist_ok=True)
        (tmp_path / "own" / "data" / "photos.yaml").write_text(text)
        monkeypatch.setenv("HYBRID_CONFIGS", str(tmp_path / "own"))

    return write


@pytest.mark.parametrize("name", ["photos", "imagenet", "cifar10"])
def test_two_folders_of_images_of_ones_own_are_two_runs_whatever_the_yaml_is_called(configure, own_data, name):
    own_data(f"defaults: [folder, _self_]\nname: {name}\n")
    cats, dogs = (configure("data=photos", f"data.root={root}") for root in ("/cats", "/dogs"))
    assert run_name(cats) != run_name(dogs) and run_name(cats).startswith("photos-")
    assert identity(cats)["data.root"] == "/cats"


def test_the_same_folder_is_the_same_run_however_its_path_is_written(configure, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert run_name(configure("data=folder", "data.root=cats")) == run_name(
        configure("data=folder", f"data.root={tmp_path}/dogs/../cats")
    )


def test_data_of_ones_own_give_the_folder_their_name(configure):
    cfg = configure("data=folder", "data.root=/cats", "data.name=my cats")
    assert run_name(cfg).startswith("my_cats-scat_resnet-seed0-")
    earlier = RunFolder.of(cfg).path.with_name(run_name(cfg, own_parts=False))
    assert earlier.name == "folder" + run_name(cfg).removeprefix("my_cats") and RunFolder.of(cfg).path != earlier
    earlier.mkdir(parents=True)
    (earlier / "config.yaml").touch()
    assert RunFolder.of(cfg).path == earlier  # a run that an earlier version began


def test_a_data_set_of_ones_own_class_keeps_settings_that_are_older_than_ours(configure, own_data):
    names = set()
    for settings in ("", "fold: null\n", "fold: null\nfolds: null\n"):
        own_data(f"_target_: my_data.Stripes\n{settings}")
        names.add(run_name(configure("data=photos")))
    assert len(names) == 2  # with folds, both keys are ours, and change nothing


def test_a_published_data_set_may_move(configure, own_data):
    for name in ("imagenet", "cifar10", "mnist", "stl10"):
        assert identity(configure(f"data={name}", "data.root=/a")) == identity(
            configure(f"data={name}", "data.root=/b")
        )
    own_data("defaults: [cifar10, _self_]\n")
    assert run_name(configure("data=photos", "data.root=/a")) == run_name(configure("data=photos", "data.root=/b"))


class Stripes:
    """A source of a user's own."""


class Published(Stripes):
    published = True


def test_a_class_of_ones_own_says_itself_whether_its_images_are_published(configure, own_data, monkeypatch):
    monkeypatch.setitem(sys.modules, "my_data", sys.modules[__name__])
    for kind, runs in (("Stripes", 2), ("Published", 1), ("NotHere", 2)):
        own_data(f"_target_: my_data.{kind}\nroot: ???\n")
        assert len({run_name(configure("data=photos", f"data.root={root}")) for root in ("/a", "/b")}) == runs


OFFICIAL = "hybrid.data.official.OfficialSource"  # what they have in common


def test_the_list_of_published_sources_is_what_the_classes_say():
    modules = [
        importlib.import_module(f"hybrid.data.{each.name}") for each in pkgutil.iter_modules(hybrid.data.__path__)
    ]
    classes = {
        f"{kind.__module__}.{kind.__name__}": kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, FileSource | MemorySource) and kind.__name__[0] != "_"
    }
    assert {path for path, kind in classes.items() if kind.published} == {*PUBLISHED, OFFICIAL} and len(classes) > len(
        PUBLISHED
    )


def test_a_run_on_imagenet_of_an_earlier_version_keeps_its_folder(configure):
    now = configure("data=imagenet", "data.root=/a", "run.name=mine")
    folder = opened(now)
    folder.close()
    folder.config.write_text(folder.config.read_text().replace("folder.ImageNet", "folder.Folder"))
    opened(now).close()
    assert run_name(OmegaConf.load(folder.config)) != run_name(now) == run_name(folder.read_config())


def test_choosing_by_name_or_value_by_value_is_the_same_run(configure):
    typed = configure("optimizer.momentum=0.9", "trainer.batch_size=128")
    assert identity(configure()) == identity(typed)


@pytest.mark.parametrize("other", ["20 epoch", "20 ep", "'20  epochs'", "20.0 epochs"])
def test_a_duration_spelt_otherwise_is_the_same_run(configure, other):
    assert run_name(configure(f"trainer.duration={other}")) == run_name(configure("trainer.duration=20 epochs"))
    steps = ["schedule=step", "schedule.milestones=[30 %,60.0%,80%]", "schedule.warmup=0 step"]
    assert run_name(configure(*steps)) == run_name(configure("schedule=step"))


def test_the_hash_of_a_configuration_is_that_of_its_values(configure):
    """Durations in the usual spelling are hashed as they stand, so that the folders of older runs are found again."""
    cfg = configure("data=cifar10", "model=scat_wrn", "schedule=step", "trainer.evaluate_every=5%")
    plain = dict(run_identity.flattened(OmegaConf.to_container(cfg, resolve=True), without=run_identity.INCIDENTAL))
    assert identity(cfg) == run_identity._AS_BEFORE | plain and plain["schedule.milestones"] == ["30%", "60%", "80%"]


def test_a_front_end_without_a_choice_of_engine_was_auto(configure):
    learned = configure("model=scat_linear", "model/frontend=scattering_learned")
    before = configure("model=scat_linear", "model/frontend=scattering_learned", "~model.frontend.engine")
    other = configure("model=scat_linear", "model/frontend=scattering_learned", "model.frontend.engine=torch")
    assert run_name(learned) == run_name(before) != run_name(other) and identity(learned) == identity(before)
    assert run_name(configure("model=scat_linear")) != run_name(
        configure("model=scat_linear", "~model.frontend.engine")
    )


def test_opening_writes_the_configuration_and_the_classes_and_opening_again_changes_nothing(configure):
    cfg = configure()
    folder = opened(cfg)
    folder.close()
    before = folder.config.stat().st_mtime_ns
    folder = opened(cfg)
    assert folder.config.stat().st_mtime_ns == before
    assert identity(folder.read_config()) == identity(cfg)
    assert folder.read_class_names() == ("cat", "dög")
    folder.close()


def test_one_process_at_a_time_and_the_lock_comes_back(configure):
    cfg = configure()
    first = opened(cfg)
    with pytest.raises(UserError, match="another process is working on .*run.name"):
        opened(cfg)
    first.close()
    opened(cfg).close()


def test_a_folder_of_another_run_says_what_differs_and_is_left_as_it_was(configure):
    folder = opened(configure("run.name=mine"))
    folder.close()
    before = folder.config.read_text()
    with pytest.raises(UserError, match=r"optimizer.lr is auto there and 0.2 here.*run.restart=true"):
        opened(configure("run.name=mine", "optimizer.lr=0.2"))
    assert folder.config.read_text() == before
    opened(configure("run.name=mine")).close()  # the refused one has given its lock back


def test_a_setting_that_the_old_run_did_not_have_is_named(configure):
    folder = opened(configure("run.name=mine"))
    folder.close()
    folder.config.write_text(re.sub(r"\n  ema: .*", "", folder.config.read_text()))
    with pytest.raises(UserError, match=r"trainer.ema is \(absent\) there and None here"):
        opened(configure("run.name=mine"))


def test_a_folder_that_cannot_be_written_is_a_users_error(configure, tmp_path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(UserError, match="cannot write the run's folder .*run.root"):
        opened(configure())


def test_a_failure_is_noted_until_the_next_session(configure):
    cfg = configure()
    folder = opened(cfg)
    try:
        raise RuntimeError("out of luck")
    except RuntimeError as error:
        folder.note_failure(error)
    folder.close()
    assert "RuntimeError: out of luck" in folder.error.read_text() and "Traceback" in folder.error.read_text()
    folder = opened(cfg)
    assert not folder.error.exists()
    folder.close()


def test_a_restart_deletes_what_runs_write_and_nothing_else(configure, tmp_path):
    cfg = configure()
    folder = opened(cfg)
    folder.close()
    folder.summary.write_text("{}")
    (folder.checkpoints / "last.pt").touch()
    (folder.path / "notes.txt").touch()
    folder.open(cfg, class_names=["a"], restart=True)
    folder.close()
    assert not folder.finished and not any(folder.checkpoints.iterdir())
    assert (folder.path / "notes.txt").exists() and folder.read_class_names() == ("a",)
    photos = RunFolder(tmp_path / "photos")
    photos.path.mkdir()
    (photos.path / "one.png").touch()
    with pytest.raises(UserError, match="is not a run's folder"):
        photos.open(cfg, class_names=["a"], restart=True)
    assert [path.name for path in photos.path.iterdir()] == ["one.png"]


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match="no config.yaml"):
        RunFolder(tmp_path).read_config()
    with pytest.raises(UserError, match="classes.json cannot be read"):
        RunFolder(tmp_path).read_class_names()
    assert not RunFolder(tmp_path).finished


def test_event_files_are_in_the_runs_own_folder_but_for_an_older_run_that_goes_on(tmp_path):
    assert RunFolder(tmp_path).tensorboard == tmp_path
    (tmp_path / "tensorboard").mkdir()
    assert RunFolder(tmp_path).tensorboard == tmp_path / "tensorboard"


def test_a_restart_deletes_event_files_old_and_new(configure, tmp_path):
    cfg = configure("run.name=mine")
    folder = RunFolder.of(cfg)
    folder.open(cfg, class_names=["a"])
    folder.close()
    (folder.path / "tensorboard").mkdir()
    for place in (folder.path, folder.path / "tensorboard"):
        (place / "events.out.tfevents.1.host.2.0").touch()
    folder.open(cfg, class_names=["a"], restart=True)
    folder.close()
    assert not list(folder.path.rglob("events*"))


def test_where_arrays_are_held_changes_no_run(configure, tmp_path):
    arrays = ["data=npz", "data.root=x.npz", f"run.root={tmp_path}"]
    usual, read = configure(*arrays), configure(*arrays, "data.in_memory=false")
    assert identity(read) == identity(usual) and run_name(read) == run_name(usual)
    earlier = tmp_path / run_name(read, as_written=True)  # as versions called it for which it counted
    assert earlier != RunFolder.of(read).path == RunFolder.of(usual).path
    earlier.mkdir()
    (earlier / "config.yaml").write_text(OmegaConf.to_yaml(read))
    assert RunFolder.of(read).path == earlier
    RunFolder.of(read).compare(usual)
