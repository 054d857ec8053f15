"""Reading run folders back: what counts as a run, its state, and which are selected."""

from __future__ import annotations

import pytest

from hybrid.configuration.composition import compose
from hybrid.errors import UserError
from hybrid.runs.reading import find_runs
from hybrid.training.run import run


@pytest.fixture
def runs(tmp_path):
    return tmp_path / "runs"


def test_a_real_run_is_read_with_its_results_and_its_records(tmp_path):
    tiny = [
        "model=scat_linear",
        "data.subset.n=100",
        "data.validation=50",
        "trainer.duration=4 steps",
        "trainer.device=cpu",
        "analysis=none",
    ]
    tiny += [
        "trainer.batch_size=40",
        "trainer.tensorboard=false",
        "trainer.progress=none",
        "trainer.evaluate_every=2 steps",
    ]
    summary = run(compose([*tiny, f"run.root={tmp_path}", "trainer.max_evaluation_batches=1", "seed=3"]))
    (read,) = find_runs(tmp_path)
    assert (read.state, read.seed, read.device, read.error) == ("finished", 3, "cpu", None)
    assert read.settings["data.subset.n"] == 100 and "seed" not in read.settings and "run.root" not in read.settings
    assert read.choices["model"] == "scat_linear"
    assert read.numbers["test.top1"] == summary["test"]["top1"]
    assert read.numbers["validation.best.top1"] == summary["validation"]["best"]["top1"]
    assert [record["step"] for record in read.records() if "validation/top1" in record] == [2, 4]


def test_runs_are_found_at_any_depth_and_hidden_folders_are_not_searched(runs, write_run):
    for name in ("one", "deep/er/two", ".sweep/three", "one/checkpoints/four"):
        write_run(name, top1=90.0)
    assert [run.path.relative_to(runs).as_posix() for run in find_runs(runs)] == ["deep/er/two", "one"]


def test_the_state_says_what_became_of_a_run(runs, write_run):
    write_run("a", top1=90.0)
    (write_run("b") / "error.txt").write_text("Traceback (most recent call last):\n  …\nRuntimeError: out of memory\n")
    write_run("c")
    (write_run("d", top1=90.0) / "summary.json").write_text('{"test": {"top')
    with pytest.warns(UserWarning, match=r"d/summary.json is damaged .*left out of the averages"):
        read = find_runs(runs)
    assert [run.state for run in read] == ["finished", "failed", "unfinished", "damaged"]
    assert read[1].error == "RuntimeError: out of memory"
    assert not read[3].numbers


@pytest.mark.parametrize("content", ["{a: 1", "- 1\n- 2\n", "name: mine\n", "model: a\ndata: b\nseed: ${nowhere}\n"])
def test_a_config_that_is_not_a_runs_is_named_and_left_out(runs, write_run, content):
    write_run("good", top1=90.0)
    (write_run("other") / "config.yaml").write_text(content)
    with pytest.warns(UserWarning, match=r"other/config.yaml is left out: "):
        assert [run.path.name for run in find_runs(runs)] == ["good"]


def test_debug_runs_are_left_out_until_they_are_asked_for(runs, write_run):
    write_run("good", top1=90.0)
    write_run("quick", "debug=fast", top1=100.0)
    with pytest.warns(UserWarning, match="1 run of a debug mode is left out: debug=true shows it"):
        assert [run.path.name for run in find_runs(runs)] == ["good"]
    assert [run.path.name for run in find_runs(runs, debug=True)] == ["good", "quick"]
    assert [run.path.name for run in find_runs(runs, where=["debug=fast"])] == ["quick"]
    with pytest.raises(UserError, match=r"quick has runs of a debug mode alone \(1\): debug=true shows them"):
        find_runs(runs / "quick")


def test_without_runs_the_error_says_where_it_looked(tmp_path):
    with pytest.raises(UserError, match=f"no runs found in {tmp_path}"):
        find_runs(tmp_path)
    with pytest.raises(UserError, match="nowhere is not a folder"):
        find_runs(tmp_path / "nowhere")


def test_where_selects_by_settings_choices_seed_and_state(runs, write_run):
    write_run("a", top1=90.0)
    write_run("b", "optimizer.lr=0.2", seed=1, top1=91.0)
    write_run("c", "model=scat_linear", "trainer.duration=7 epochs")

    def names(*where: str) -> str:
        return "".join(run.path.name for run in find_runs(runs, where=where))

    assert names("optimizer.lr=0.2") == names("optimizer.lr=2e-1") == names("seed=1") == "b"
    assert names("model=scat_linear") == names("trainer.duration=7 epochs") == names("state=unfinished") == "c"
    assert names("data.subset.n=null", "state=finished") == "ab"
    assert names("optimizer.nesterov=false") == "abc"


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("optimizer.lrr=1", "unknown setting in where: optimizer.lrr. Did you mean optimizer.lr"),
        ("optimizer.lr=7", r"where: no run has optimizer.lr=7. There are: auto\."),
        ("optimizer.nesterov=0", "no run has"),
        ("optimizer.lr", "cannot read optimizer.lr: write key=value"),
    ],
)
def test_a_condition_that_cannot_hold_is_an_error(runs, write_run, condition, message):
    write_run("a", top1=90.0)
    with pytest.raises(UserError, match=message):
        find_runs(runs, where=[condition])


def test_a_cut_off_last_line_of_the_records_is_no_damage_but_one_before_is(runs, write_run):
    metrics = write_run("a", validation=(1.0, 2.0, 3.0)) / "metrics.jsonl"
    whole = metrics.read_text()
    metrics.write_text(whole + '{"step": 40, "ep')
    (read,) = find_runs(runs)
    assert len(read.records()) == 3
    metrics.write_text(whole.replace('"step": 20', '"step'))
    with pytest.warns(UserWarning, match=r"metrics.jsonl has 1 damaged line \(line 2\): the other lines are used"):
        assert [record["step"] for record in read.records()] == [10, 30]
    metrics.write_text("17\n" + whole)
    with pytest.warns(UserWarning, match=r"1 damaged line \(line 1\)"):
        assert len(read.records()) == 3


def test_where_takes_the_names_that_tables_show(runs, write_run):
    write_run("named", "data=npz", "data.root=arrays/digits.npz", "data.name=tex", top1=90.0)
    write_run("by_file", "data=npz", "data.root=arrays/digits.npz", top1=90.0)
    write_run("plain", "data=digits", top1=90.0)

    def names(*where: str) -> list[str]:
        return [run.path.name for run in find_runs(runs, where=where)]

    assert names("data=tex") == ["named"]
    assert names("data=npz") == ["by_file", "named"]
    assert names("data=digits") == ["by_file", "plain"], "the file's name is in tables, too"
    with pytest.raises(UserError, match=r"no run has data=cifar10. There are: digits, tex\."):
        names("data=cifar10")
