"""Settings under another name than before: old runs keep their folders, and their configurations can be read."""

from __future__ import annotations

import copy

import pytest
import torch
from hydra.errors import HydraException
from omegaconf import OmegaConf

from hybrid.configuration.class_paths import find_class
from hybrid.configuration.composition import compose, in_one_line
from hybrid.configuration.hydra_arguments import read_whole
from hybrid.configuration.renamed import old_names, renamed, upgrade, with_earlier_defaults
from hybrid.runs.folder import RunFolder, identity, run_name
from hybrid.runs.reading import find_runs
from hybrid.training.restore import restore
from hybrid.training.run import run

# The folders of these runs, as version 0.1.0 named them, when norm.momentum was still bn_momentum.
# ruff: noqa: E501
NAMES = {
    "experiment=cifar10_few_labels schedule=step": "cifar10_few_labels-cifar10-scat_wrn-seed0-cc7ad919",
    "experiment=cifar10_few_labels_psn augmentation=autoaugment_cutout augmentation.pad_mode=zero data.subset.protocol=stratified schedule=one_cycle": "cifar10_few_labels_psn-cifar10-scat_linear-seed0-62fd4169",
    "experiment=cifar10_few_labels_tuned data.normalize=none data.validation=0.1 data.subset.validate_from=others optimizer.nesterov=true": "cifar10_few_labels_tuned-cifar10-scat_wrn-seed0-1be02a3c",
    "experiment=cifar10_full schedule=step": "cifar10_full-cifar10-scat_wrn-seed0-9da101e5",
    "experiment=cifar10_mlp": "cifar10_mlp-cifar10-scat_mlp-seed0-46706dc4",
    "experiment=depth_analysis": "depth_analysis-cifar10-scat_wrn-seed0-71c55d52",
    "experiment=digits": "digits-scat_resnet-seed0-99cf4870",
    "experiment=imagenet model=scat_resnet data.interpolation=bicubic": "imagenet-scat_resnet-seed0-75c3c63c",
    "experiment=mnist_scattering": "mnist_scattering-mnist-scat_linear-seed0-337b039e",
    "experiment=regular_boundary augmentation=crop_flip augmentation.pad_mode=zero": "regular_boundary-cifar10-regular_cnn-seed0-c32c5ca2",
    "experiment=stl10 schedule=step schedule.milestones=[30%,40%,60%,80%] schedule.factor=0.2": "stl10-scat_wrn_stl-seed0-6d934e95",
    "model=regular_cnn": "digits-regular_cnn-seed0-0060cdff",
    "model=scat_cnn": "digits-scat_cnn-seed0-6df9f78b",
    "model=scat_mlp": "digits-scat_mlp-seed0-3ae9d84e",
    "model=scat_sle": "digits-scat_sle-seed0-6b5e1214",
    "model=vgg16": "digits-vgg16-seed0-1eab4469",
    "model=scat_mlp model.head.batch_norm=true": "digits-scat_mlp-seed0-6d5d0c90",
    "model=scat_wrn model/normalization=statistics": "digits-scat_wrn-seed0-4a571a63",
    "model/head=cnn model/frontend=identity": "digits-scat_resnet-seed0-b3037715",
    "model=scat_linear model/frontend=roto_translation": "digits-scat_linear-seed0-0883e6dc",
    "model/normalization=log": "digits-scat_resnet-seed0-923f7208",
    "data=cifar100 augmentation=mixup": "cifar100-scat_resnet-seed0-7d98e2e6",
    "model=scat_wrn model/head=torchvision model/frontend=identity": "digits-scat_wrn-seed0-cc39c14e",
    "model/head=linear": "digits-scat_resnet-seed0-f71038b6",
    "model=scat_wrn model.head.norm.momentum=0.9": "digits-scat_wrn-seed0-1bf67538",
    "model=regular_cnn model.head.norm.eps=0.01 model.head.norm.affine=true": "digits-regular_cnn-seed0-17eaf320",
}


@pytest.mark.parametrize(("command", "name"), NAMES.items())
def test_the_same_command_finds_the_folder_of_an_old_run(command, name):
    cfg = compose(command.split())
    assert run_name(with_earlier_defaults(cfg)) == name
    # a recipe has the values of its time; any other command has the defaults of today, and a folder of its own
    assert (run_name(cfg) == name) == command.startswith("experiment=")


def test_an_old_run_keeps_the_defaults_that_it_was_begun_with(tmp_path, caplog):
    cfg = compose([f"run.root={tmp_path}", "seed=1"])
    new, earlier = RunFolder.of(cfg), with_earlier_defaults(cfg)
    assert new.as_begun(cfg) == cfg and not caplog.text
    old = RunFolder.of(earlier)
    assert old.path != new.path
    old.path.mkdir()
    kept = OmegaConf.create(OmegaConf.to_container(earlier, resolve=True))
    old.config.write_text(OmegaConf.to_yaml(kept))  # one of today that asked for the earlier values
    assert RunFolder.of(cfg).path == new.path and old.as_begun(cfg) == cfg
    del kept.trainer.averages_begin  # which did not exist
    old.config.write_text(OmegaConf.to_yaml(kept))
    assert RunFolder.of(cfg).path == old.path and old.as_begun(cfg) == earlier
    assert "it keeps the defaults of that version: " in caplog.text and "trainer.averages_begin=initial" in caplog.text
    assert RunFolder.of(compose([f"run.root={tmp_path}", "seed=1", "run.restart=true"])).path == new.path
    new.path.mkdir()
    new.config.write_text(OmegaConf.to_yaml(cfg, resolve=True))
    assert RunFolder.of(cfg).path == new.path and new.as_begun(cfg) == cfg


def test_a_recipe_with_a_network_of_torchvision_keeps_its_folder_where_the_model_is_the_same():
    large = compose(["experiment=imagenet", "model=resnet18"])
    assert run_name(large) == run_name(with_earlier_defaults(large)) and "model.head.stem" in identity(large)
    small = compose(["experiment=cifar10_few_labels", "model=resnet18"])
    assert run_name(small) != run_name(with_earlier_defaults(small))
    assert "model.head.stem" not in identity(compose([]))


@pytest.mark.parametrize(
    ("now", "before", "folder"),
    [  # the folders as they were called when the classes were in hybrid.training
        ("loss=focal", "loss=focal loss._target_=hybrid.training.losses.FocalLoss", "a0b8fd97"),
        ("loss=l1", "loss=l1 loss._target_=hybrid.training.losses.l1", "68a8e7e5"),
        (
            "callbacks=[hybrid.callbacks.freezing.Unfreeze]",
            "callbacks=[hybrid.training.freezing.Unfreeze]",
            "46e8b69d",
        ),
        (
            "callbacks=[{hybrid.callbacks.freezing.Unfreeze:{a:2}}]",
            "callbacks=[{hybrid.training.freezing.Unfreeze:{a:2}}]",
            "cbe6ce96",
        ),
    ],
    ids=["focal", "l1", "callback", "callback with settings"],
)
def test_a_class_that_has_moved_is_found_under_both_paths_and_its_runs_keep_their_folders(now, before, folder):
    now, before = compose(now.split()), compose(before.split())
    assert run_name(now) == run_name(before) == f"digits-scat_resnet-seed0-{folder}"
    assert identity(now) == identity(before)  # so a record of either continues the other
    for target in ("hybrid.training.losses.FocalLoss", "hybrid.training.early_stopping.EarlyStopping"):
        assert find_class(target).__module__ != target.rpartition(".")[0]


def test_the_archived_runs_are_in_the_folders_that_their_configurations_name(root):
    """They are runs of earlier versions: of the old names, and of options that are gone."""
    folders = [path for path in (root / "docs/results/runs").iterdir() if path.is_dir()]
    assert len(folders) > 90
    assert [path.name for path in folders if run_name(RunFolder(path).read_config()) != path.name] == []


def as_before(cfg):
    """The configuration as an earlier version wrote it."""
    head = cfg.model.head
    norm = head.pop("norm")
    head.update({f"bn_{key}": value for key, value in norm.items()})
    return cfg


@pytest.fixture
def old_run(train):
    """A finished run whose config.yaml has the old names."""
    folder = train("model=scat_wrn", "model.head.k=1", "model.head.n=1", "model.head.norm.momentum=0.3")
    cfg = OmegaConf.load(folder.config)
    folder.config.write_text(OmegaConf.to_yaml(as_before(cfg)))
    return folder


def test_an_old_run_is_restored_found_finished_repeated_and_reported(old_run, tiny):
    restored = restore(old_run.path)
    assert restored.model.head.stem[1].momentum == 0.3
    assert restored.model(torch.zeros(1, 1, 32, 32)).shape == (1, 10)
    cfg = tiny("model=scat_wrn", "model.head.k=1", "model.head.n=1", "model.head.norm.momentum=0.3")
    assert cfg.run.root == str(old_run.path.parent) and run(cfg) == old_run.read_summary()
    assert identity(read_whole([str(old_run.path)])) == identity(cfg)
    [reported] = find_runs(old_run.path.parent)
    assert reported.settings["model.head.norm.momentum"] == 0.3
    assert not [name for name in reported.settings if "bn_" in name]


def test_upgrading_twice_changes_nothing_more():
    cfg = OmegaConf.create(OmegaConf.to_container(compose(["model=scat_resnet"]), resolve=True))  # as a file has it
    old, now = (OmegaConf.to_container(each) for each in (as_before(cfg.copy()), cfg))
    assert upgrade(old) == now == upgrade(upgrade(old))


def test_names_of_a_users_own_class_stay():
    head = {"_target_": "my.Head", "bn_momentum": 0.5, "norm": {"momentum": 0.1}}
    assert upgrade({"model": {"head": dict(head)}}) == {"model": {"head": head}}
    settings = {"model.head._target_": "my.Head", "model.head.norm.momentum": 0.1}
    assert old_names(settings) == settings


@pytest.mark.parametrize("content", [{}, {"model": None}, {"model": {"head": 3}}])
def test_what_is_no_configuration_passes(content):
    assert upgrade(copy.deepcopy(content)) == content


def test_an_old_name_on_the_command_line_is_one_line_that_says_the_new_one():
    words = "model.head.bn_momentum has another name now: write model.head.norm.momentum=…."
    for text in ("model.head.bn_momentum=0.9", "~model.head.bn_momentum"):
        with pytest.raises(HydraException) as error:
            compose([text])
        assert in_one_line(error.value, [text]) == words
    assert str(renamed("model.head.bn_momentum")) == words
    assert renamed("model.head.norm.momentum") is None
