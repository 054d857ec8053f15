"""What a command answers to a user's mistakes: one line on stderr that says what is valid, and exit code 2."""

from __future__ import annotations

import sys

import pytest

from hybrid.commands.main import main
from hybrid.configuration.composition import compose
from hybrid.configuration.hydra_arguments import refuse_deletions
from hybrid.configuration.resolvers import folder
from hybrid.errors import UserError
from hybrid.version import __version__

MISTAKES = [
    (["model=scat_resnt"], "unknown model: scat_resnt. Did you mean scat_resnet?"),
    (["data=cifar11"], "unknown data: cifar11. Did you mean cifar10?"),
    (["model/head=nope"], "unknown model/head: nope. Valid: bottleneck, cnn, custom,"),
    (
        ["modle=scat_resnet"],
        "unknown key: modle. Did you mean model? Valid: analysis, augmentation, callbacks, cluster, data, ",
    ),
    (["experimnt=digits"], "unknown key: experimnt. Did you mean experiment?"),
    (["+experiment=digits"], "experiment is a choice of one option: write experiment=… once, without a sign in front."),
    (["~model"], "~model leaves nothing in the place of model: choose another with model=…."),
    (["~data"], "~data leaves nothing in the place of data"),
    (["~trainer=default"], "~trainer=default leaves nothing in the place of trainer"),
    (["~seed"], "~seed: seed cannot be left out. Change it with seed=…."),
    (["~run"], "~run: run cannot be left out. Change it with run.KEY=…."),
    (["trainer.bach_size=3"], "unknown key in trainer: bach_size. Did you mean batch_size?"),
    (["model.head.zzz=1"], "unknown key in model.head: zzz. Valid: "),
    (
        ["model/head=custom", "model.head._target_=torch.nn.Linear", "model.head.bias=true"],
        "unknown key in model.head: bias. Valid: _target_. An argument of torch.nn.Linear that is not listed here is added "
        "with a sign in front: +model.head.bias=…",
    ),
    (["trainer.batch_size.x=3"], "trainer.batch_size is a single value"),
    (["+trainer.bach_size=3"], "unknown key in trainer: bach_size"),
    (["~trainer.ema"], "trainer.ema is a setting of its own"),
    (["optimizer._target_=torch.optim.RAdam", "+optimizer.lr=0.001"], "optimizer.lr is a setting of its own"),
    (["+nonsense=3"], "nonsense has no effect"),
    (["~trainer.nothing"], "unknown key in trainer: nothing"),
    (["~trainer.batch_size"], "trainer.batch_size is missing"),
    (["--lr", "0.1"], "unknown option --lr: settings are written optimizer.lr=…; --help lists them all."),
    (["--epochs", "3"], "settings are written trainer.duration='3 epochs'; "),
    (["lr=0.1"], "unknown key: lr. Did you mean optimizer.lr=…? Valid: "),
    (["epochs=3"], "unknown key: epochs. Did you mean trainer.duration='3 epochs'? "),
    (["trainer.epochs=3"], "unknown key in trainer: epochs. Did you mean trainer.duration='3 epochs'? "),
    (["batch_size=3"], "unknown key: batch_size. Did you mean trainer.batch_size=…? "),
    (["trainer.duration=5", "epochs"], "a value with spaces is quoted: trainer.duration='5 epochs'."),
    (
        ["optimizer=radam"],
        "unknown optimizer: radam. torch has it: optimizer._target_=torch.optim.RAdam optimizer.lr=….",
    ),
    (["data=configs"], "unknown data: configs, which is a folder here: write data=folder data.root=configs."),
    (["-x=3"], "unknown option -x=3: settings are written x=value"),
    (["train"], "cannot read the argument 'train': write key=value"),
    (["optimizer.lr=["], "cannot read the argument"),
    (["trainer.batch_size=many"], "trainer.batch_size: 'many' is not a whole number."),
    (["trainer.batch_size=0"], "trainer.batch_size=0 is not valid: it must be at least 1."),
    (["trainer.duration=20"], "trainer.duration=20: a duration is a number and a unit"),
    (["schedule.warmup=5"], "schedule.warmup=5: a duration is a number and a unit"),
    (["trainer.log_every=often"], "trainer.log_every=often: a duration"),
    (["trainer.device=cuda:9"], "trainer.device=cuda:9 is not on this machine. Valid: auto, cpu"),
    (["trainer.device=gpu"], "trainer.device=gpu is not on this machine"),
    (["trainer.precision=int8"], "trainer.precision: 'int8' is not fp32 or bf16 or fp16."),
    (["trainer.precision=fp17"], "'fp17' is not fp32 or bf16 or fp16 (did you mean fp16?)."),
    (["seed=0,1,2"], "seed=0,1,2 are several values: -m before it makes a run of each, seed=[0,1,2] is one list."),
    (["seed=range(3)"], "seed=range(3) are several values: -m before it makes a run of each."),
    (["seed=tag(a,choice(1,2))"], "seed=tag(a,choice(1,2)) are several values: -m before it makes a run of each."),
    (["seed=sort(2,1)"], "seed=sort(2,1) are several values: -m before it makes a run of each."),
    (["optimizer.lr=interval(0.1,1)"], "optimizer.lr=interval(0.1,1) are several values: `hybrid search` tries some"),
    (["trainer.ema=2"], "trainer.ema=2 is not valid"),
    (["trainer.accumulation=200"], "trainer.accumulation=200 cuts a batch of 128 images"),
    (["model=null"], "the command line cannot be composed"),
    (["optimizer.lr=inf"], "optimizer.lr=inf is not valid"),
    (["optimizer.weight_decay=-1"], "weight_decay=-1 is not valid"),
    (["trainer.log_every=0 steps"], "trainer.log_every=0 steps: an interval is longer than nothing"),
    (["run.name=../x"], "run.name=../x is not valid"),
    (["run.name=."], "run.name=. is not valid"),
    (["seed=99999999999999999999"], "is not valid"),
    (["schedule=step", "schedule.factor=-2"], "schedule.factor=-2 is not valid: it must be above 0"),
    (["schedule=one_cycle", "schedule.momentum=[2,3]"], "schedule.momentum=[2,3] is not valid"),
    (["schedule.warmup=100000 steps"], "schedule: warmup=100000 steps"),
    (["trainer.precision=fp16", "trainer.device=cpu"], "Valid here: fp32, bf16"),
    (["seed=-1"], "seed=-1 is not valid"),
    (["seed=zero"], "seed: 'zero' is not a whole number"),
    (["model.frontend.J=9"], "model.frontend: "),
    (["schedule=step", "schedule.milestones=[often]"], "schedule.milestones=often"),
    (["optimizer.lr=fast"], "optimizer.lr: 'fast' is not a number or auto."),
    (["optimizer.decay=some"], "optimizer.decay: 'some' is not all or weights."),
    (["optimizer._target_=nowhere.Adam"], "optimizer._target_=nowhere.Adam cannot be imported"),
    (["data.subset.n=1234567"], "data.subset.n"),
    (["trainer.batch_size=5000", "trainer.drop_last=true"], "larger than the 1293"),
    (["data.validation=0", "trainer.test_weights=best"], "trainer.test_weights=best needs validation images"),
    (["augmentation.flip=2"], "augmentation"),
    (["trainer.batch_size=${nothing}"], "nothing"),
    (["run.init_from=/nowhere"], "there is no checkpoint /nowhere"),
]


def command(monkeypatch, capsys, *arguments):
    """`hybrid train` with these arguments, in this process -> (exit code, stdout, stderr)."""
    monkeypatch.setattr(sys, "argv", ["hybrid", "train", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    captured = capsys.readouterr()
    return end.value.code or 0, captured.out, captured.err


@pytest.mark.parametrize(
    ("overrides", "message"), MISTAKES, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_a_mistake_is_answered_in_one_line_before_anything_is_written(
    tmp_path, monkeypatch, capsys, overrides, message
):
    code, _, errors = command(monkeypatch, capsys, f"run.root={tmp_path / 'runs'}", *overrides)
    assert code == 2
    assert errors.count("\n") == 1 and errors.startswith("error: "), errors
    assert message in errors
    written = [path for path in (tmp_path / "runs").rglob("*.pt")] if (tmp_path / "runs").exists() else []
    assert not written


def test_only_a_class_of_ones_own_takes_keys_that_no_yaml_lists(monkeypatch, capsys):
    for mistake in ("model.head.zzz=1", "trainer.bach_size=3", "data.nothing=1"):
        assert "added with a sign" not in command(monkeypatch, capsys, mistake)[2]
    own = ["model/head=custom", "model.head._target_=torch.nn.Linear"]
    for mistake in ("~model.head.bias", "model.head.options.x=1"):
        assert "added with a sign" not in command(monkeypatch, capsys, *own, mistake)[2]


def test_missing_data_is_one_line_that_says_where_it_was_looked_for(tmp_path, monkeypatch, capsys):
    arguments = ("data=cifar10", f"data.root={tmp_path}", "data.download=false", f"run.root={tmp_path / 'runs'}")
    code, _, errors = command(monkeypatch, capsys, *arguments)
    assert code == 2 and errors.count("\n") == 1 and str(tmp_path) in errors
    assert not (tmp_path / "runs").exists()


def test_help_explains_commands_groups_and_settings(monkeypatch, capsys):
    code, out, errors = command(monkeypatch, capsys, "--help")
    assert code == 0 and not errors
    assert "hybrid train model=scat_resnet data=cifar10" in out
    assert "scat_resnet*" in out and "digits*" in out
    assert "batch_size: 128             # images per step" in out
    assert "hydra:" not in out


def test_help_of_a_choice_shows_its_settings(monkeypatch, capsys):
    _, out, _ = command(monkeypatch, capsys, "schedule=step", "--help")
    assert "milestones: [30%, 60%, 80%]" in out


def test_the_version_is_this_projects(monkeypatch, capsys):
    assert command(monkeypatch, capsys, "--version") == (0, f"hybrid {__version__}\n", "")


@pytest.mark.parametrize("overrides", [[], ["experiment=digits", "debug=fast"]])
def test_what_may_be_left_out_may_be_left_out(overrides):
    allowed = [*overrides, "~experiment", "~debug", "~data.subset.n"]
    refuse_deletions(allowed, "train")
    with pytest.raises(UserError):
        refuse_deletions([*allowed, "~model"], "train")


def test_an_empty_variable_is_no_folder(monkeypatch):
    overrides = ["data=imagenet", "data.normalize=none"]
    for value, expected in (("", ("data/imagenet", "outputs")), ("/there", ("/there/imagenet", "/there"))):
        for name in ("HYBRID_DATA", "HYBRID_OUTPUTS"):
            monkeypatch.setenv(name, value)
        cfg = compose(overrides)
        assert (cfg.data.root, cfg.run.root) == expected
        assert folder("HYBRID_OUTPUTS", "outputs") == expected[1]


@pytest.mark.parametrize("flag", ["-m", "--multirun"])
def test_a_sweep_under_torchrun_is_refused_once_with_what_to_do(tmp_path, monkeypatch, capsys, flag):
    place = {"WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    for name, value in place.items():
        monkeypatch.setenv(name, value)
    for rank, message in (("0", "start it with hybrid train -m"), ("1", "")):
        monkeypatch.setenv("RANK", rank)
        code, _, errors = command(monkeypatch, capsys, flag, "seed=0,1", f"run.root={tmp_path / 'runs'}")
        assert code == 2 and message in errors and errors.count("\n") == (rank == "0")
    assert not (tmp_path / "runs").exists()


def test_a_configuration_read_whole_is_the_same_run(tmp_path, monkeypatch, capsys):
    tiny = ["model=scat_linear", "data.subset.n=100", "trainer.duration=2 steps", "trainer.tensorboard=false"]
    code, out, _ = command(monkeypatch, capsys, *tiny, "analysis=none", f"run.root={tmp_path}")
    assert code == 0
    (config,) = tmp_path.glob("*/config.yaml")
    code, out, _ = command(monkeypatch, capsys, "--from", str(config))
    assert code == 0 and "finished already" in out and str(config.parent) in out
    code, out, _ = command(monkeypatch, capsys, "--from", str(config.parent))
    assert code == 0 and "finished already" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cluster=slurm"], "add -m"),
        (["-m", "cluster.wokers=2"], "unknown key in cluster: wokers. Did you mean workers?"),
        (["-m", "cluster=slurm", "mdoel=scat_wrn"], "unknown key: mdoel. Did you mean model?"),
        (["--from"], "--from takes one file"),
        (["--from", "/nowhere.yaml"], "cannot be read"),
        (["--from", "docs"], "--from docs: it is not a run's folder, as it has no config.yaml."),
        (["--from", "configs/train.yaml"], "it is not the configuration of a run"),
        (["--from", "docs/pictures/scattering.png"], "docs/pictures/scattering.png cannot be read"),
        (["seed=1", "--from", "configs/train.yaml"], "it stands first, and nothing beside the file"),
        (["--from=configs/train.yaml"], "it stands first, and nothing beside the file"),
    ],
)
def test_a_mistake_in_how_to_start_is_one_line(root, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(root)
    code, _, errors = command(monkeypatch, capsys, *arguments)
    assert code == 2 and errors.count("\n") == 1 and message in errors
