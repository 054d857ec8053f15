from __future__ import annotations

import re

import pytest
from omegaconf import OmegaConf

from hybrid.configuration.composition import compose
from hybrid.errors import UserError
from hybrid.runs import RunFolder
from hybrid.runs import folder as run_folder
from hybrid.runs.folder import identity, run_name


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
    plain = dict(run_folder._flatten(OmegaConf.to_container(cfg, resolve=True), ""))
    assert identity(cfg) == plain and plain["schedule.milestones"] == ["30%", "60%", "80%"]


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
    with pytest.raises(UserError, match=r"optimizer.lr is 0.1 there and 0.2 here.*run.restart=true"):
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
