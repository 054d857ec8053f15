"""Which runs a command line stands for, and that they are what they were when it was given."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from hybrid.configuration.combinations import expand
from hybrid.errors import UserError
from hybrid.runs.folder import run_name
from hybrid.runs.sweeps.folder import SweepFolder
from hybrid.runs.sweeps.plan import plan_runs


@pytest.mark.parametrize(
    ("arguments", "runs"),
    [
        ([], [()]),
        (["a=1,2", "b=3"], [("a=1", "b=3"), ("a=2", "b=3")]),
        (["a=1,2", "b=x,y"], [("a=1", "b=x"), ("a=1", "b=y"), ("a=2", "b=x"), ("a=2", "b=y")]),
        (["a=range(1,4)"], [("a=1",), ("a=2",), ("a=3",)]),
        (["a=choice([1,2],x)"], [("a=[1,2]",), ("a=x",)]),
        (["~a", "+b.c='x, y'"], [("~a", "+b.c='x, y'")]),
    ],
)
def test_every_combination(arguments, runs):
    assert expand(arguments) == runs


def test_an_interval_is_not_for_sweeps():
    with pytest.raises(UserError, match="`hybrid search` takes intervals"):
        expand(["optimizer.lr=interval(0.1,1)"])


def test_the_configuration_no_longer_depends_on_where_it_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYBRID_OUTPUTS", "mine")
    (run,) = plan_runs(["model=scat_linear"])
    sweep = SweepFolder.of([run])
    sweep.write([run], command="x")
    monkeypatch.setenv("HYBRID_OUTPUTS", "other")
    monkeypatch.chdir("/")
    (written,) = sweep.runs()
    cfg = written.read_config()
    assert cfg.run.root == str(tmp_path / "mine")
    assert run_name(cfg) == run.name == written.path.name
    assert written.path.parent == tmp_path / "mine"
    assert cfg == run.cfg and "${" not in OmegaConf.to_yaml(cfg)


def test_the_same_run_twice_runs_once():
    """One warning says what differs, however often."""
    with pytest.warns(UserWarning) as warned:
        runs = plan_runs(["trainer.log_every='1 steps','2 steps','3 steps'"])
    (warning,) = warned
    assert str(warning.message) == (
        "trainer.log_every='2 steps' is the same run as trainer.log_every='1 steps': it runs once (and 1 more of the kind)."
    )
    assert len(runs) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run.name=mine", "seed=0,1"], "run.name=mine names one folder"),
        (["run.restart=true"], "run.restart=true is not for sweeps"),
        (["run.root="], "run.root is empty"),
    ],
)
def test_what_a_sweep_cannot_do_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        plan_runs(arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["model=scat_wrn,scat_linear", "model.head.k=1", "seed=0"],
            "model=scat_linear: unknown key in model.head: k. Valid: _target_, dropout, initial_gain.",
        ),
        (["model=scat_wrn,scat_resnt", "seed=1,2"], "model=scat_resnt seed=1: unknown model: scat_resnt. Did you mean"),
        (["trainer.bach_size=3"], "unknown key in trainer: bach_size. Did you mean batch_size?"),
    ],
)
def test_what_is_wrong_with_one_combination_is_said_as_of_a_single_run_and_with_its_name(arguments, message):
    with pytest.raises(UserError) as raised:
        plan_runs(arguments)
    assert str(raised.value).startswith(message)


def test_the_same_runs_are_the_same_sweep_and_others_another(make_sweep):
    assert make_sweep("seed=0,1").path == make_sweep("seed=1,0").path
    assert make_sweep("seed=0,1").path != make_sweep("seed=0,2").path
    make_sweep("seed=0", name="mine")
    with pytest.raises(UserError, match="holds another sweep"):
        make_sweep("seed=1", name="mine")


def test_a_sweep_is_found_by_its_name_its_folder_or_as_the_last(make_sweep, tmp_path):
    first, second = make_sweep("seed=0", name="first"), make_sweep("seed=1", name="second")
    root = tmp_path / "runs"
    assert SweepFolder.find("first", root=root).path == first.path
    assert SweepFolder.find(str(first.path)).path == first.path
    assert SweepFolder.find("last", root=root).path == second.path
    with pytest.raises(UserError, match="There are: first, second"):
        SweepFolder.find("third", root=root)


def test_the_configuration_at_submission_stays(make_sweep):
    sweep = make_sweep("seed=0")
    (run,) = sweep.runs()
    run.config.write_text(run.config.read_text() + "# first\n")
    assert make_sweep("seed=0").runs()[0].config.read_text().endswith("# first\n")


def test_a_damaged_list_is_one_line(make_sweep):
    sweep = make_sweep("seed=0")
    sweep.list.write_text("{")
    with pytest.raises(UserError, match=r"sweep\.json cannot be read"):
        sweep.runs()
