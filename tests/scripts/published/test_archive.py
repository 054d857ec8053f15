"""The archive of runs: what is copied, what is not."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import shutil
import sys

import pytest
from omegaconf import OmegaConf
from published.files import Places, make_results
from published.matching import why_left_out
from published.rows import read_page

RECIPE = ("experiment=digits", "data.subset.n=100")


def test_the_archive_is_small_and_holds_no_weights_no_machine_and_no_paths(places, archive, write_run, write_session):
    folder = write_session(write_run("a", *RECIPE, top1=90.0, validation=[float(k) for k in range(5000)]))
    (folder / "checkpoints" / "last.pt").write_bytes(b"weights")
    (folder / "analysis").mkdir()
    for step in (900, 1000):
        (folder / "analysis" / f"step-{step}.csv").write_text(f"layer,depth,step.same\npixels,0,{step}.123456789\n")
    config = OmegaConf.load(folder / "config.yaml")
    config.run.root = "/home/ada/runs"
    OmegaConf.save(config, folder / "config.yaml")
    ((kept,), *_, others) = archive()
    files = {path.name: path.read_text() for path in kept.iterdir()}
    assert (
        set(files) == {"config.yaml", "environment.json", "metrics.jsonl", "summary.json", "layers.csv"} and not others
    )
    assert sum(map(len, files.values())) < 20_000
    assert not any(word in text for text in files.values() for word in ("ada", "/home", "secret"))
    assert files["layers.csv"] == "layer,depth,step.same\npixels,0,1000.12\n"
    epochs = [json.loads(line)["epoch"] for line in files["metrics.jsonl"].splitlines()]
    assert len(epochs) == 40 and epochs[0] == 1 and epochs[-1] == 5000


def test_a_run_that_was_archived_unfinished_is_replaced_when_it_is_finished(
    places, archive, write_run, tmp_path, cells
):
    (write_run("a", *RECIPE) / "error.txt").write_text("ValueError: broken\n")
    archive(digits="mine")
    (tmp_path / "runs" / "a" / "error.txt").unlink()
    (tmp_path / "runs" / "a").rename(tmp_path / "old")
    write_run("a", *RECIPE, top1=90.0)
    archive()
    assert cells(make_results(places).page, "first, 100 labels")[0][2:5] == ["90.00", "1", "mine"]


def test_runs_of_no_row_are_named_and_left_out(places, archive, write_run):
    write_run("a", "model=scat_linear", top1=90.0)
    new, *_, others = archive()
    assert new == [] and [run.path.name for run in others] == ["a"]
    assert "**not run**" in make_results(places).page


@pytest.mark.parametrize(
    "overrides",
    [
        ("debug=fast",),
        ("debug=overfit",),
        ("debug=profile",),
        ("trainer.max_evaluation_batches=2",),
        ("trainer.max_train_steps_per_epoch=3",),
    ],
)
def test_debug_runs_are_never_taken_in(places, archive, write_run, overrides):
    write_run("a", *RECIPE, *overrides, top1=12.5)
    write_run("b", *RECIPE, *overrides, seed=1, top1=12.5)
    new, *_, others = archive()
    assert new == [] and len(others) == 2
    (line,) = why_left_out(read_page(places.rows), others)
    assert line == "left out, debug runs, cut short to see that everything runs: 2"
    results = make_results(places)
    assert "12.50" not in results.page + results.readme and results.pictures == {}


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (("experiment=digits", "data=folder", "data.subset.n=100"), "no row of experiment=digits has data=folder: "),
        (("experiment=digits", "data.subset.n=77"), "no row of experiment=digits has data.subset.n=77: "),
        (("experiment=cifar10_full",), "no row is of experiment=cifar10_full: "),
        (("model=scat_linear",), "of no recipe (experiment=…): "),
    ],
)
def test_a_run_of_no_row_is_not_archived_and_one_line_says_which_and_why(places, archive, write_run, overrides, reason):
    folder = write_run("a", *overrides, top1=90.0)
    new, *_, others = archive()
    assert new == [] and not places.runs.exists()
    (line,) = why_left_out(read_page(places.rows), others)
    assert line.startswith(f"left out, {reason}") and line.endswith(f": {folder}")


def test_what_the_archive_holds_already_is_not_written_again(archive, write_run):
    write_run("a", *RECIPE, top1=90.0)
    assert [len(part) for part in archive()] == [1, 0, 0, 0]
    write_run("b", *RECIPE, seed=1, top1=91.0)
    assert [len(part) for part in archive()] == [1, 0, 1, 0]


@pytest.fixture
def command(root, places, tmp_path, monkeypatch, capsys):
    """command("runs=…") is scripts/results.py in the checkout of this test: (exit code, stdout, stderr)."""

    def do(*arguments: str) -> tuple[int, str, str]:
        path = places.root / "scripts" / "results.py"
        path.parent.mkdir(exist_ok=True)
        shutil.copy(root / "scripts" / "results.py", path)
        spec = importlib.util.spec_from_file_location("scripts_results", path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, "argv", [str(path), *arguments])
        monkeypatch.setattr(sys, "path", [*sys.path])
        with pytest.raises(SystemExit) as exit_:
            module.results()
        return exit_.value.code, *capsys.readouterr()

    return do


def test_the_command_archives_and_writes_and_again_from_the_archive_alone(command, places, write_run, tmp_path, cells):
    write_run("a", *RECIPE, top1=90.0)
    write_run("b", "model=scat_linear", top1=90.0)
    code, out, err = command(f"runs={tmp_path / 'runs'}", "images=[digits=Digits (of Ada)]")
    assert code == 0 and f"runs taken into {places.runs}: 1; already there: 0\n" in out
    assert err == f"left out, of no recipe (experiment=…): {tmp_path / 'runs' / 'b'}\n"
    page = places.page.read_text()
    assert cells(page, "first, 100 labels")[0][2:5] == ["90.00", "1", "Digits (of Ada)"]
    shutil.rmtree(tmp_path / "runs")
    places.page.unlink()
    assert command() == (0, f"written: {places.page}\n", "")
    assert places.page.read_text() == page


@pytest.mark.parametrize(
    ("recorded", "unnamed", "named"),
    [
        ({}, "digits", "mine"),  # an older run, which recorded nothing
        ({"unofficial_files": None}, "digits", "mine"),
        ({"unofficial_files": {"data_batch_1": "0af1"}}, "digits (not the published files)", "mine"),
        ({"unofficial_files": {}}, "digits", "digits"),
    ],
)
def test_what_a_run_recorded_of_its_files_says_what_its_images_are(
    places, archive, write_run, write_session, cells, recorded, unnamed, named
):
    write_session(write_run("a", *RECIPE, top1=90.0), **recorded)
    archive()
    assert cells(make_results(places).page, "first, 100 labels")[0][4] == unnamed
    archive(digits="mine")
    assert cells(make_results(places).page, "first, 100 labels")[0][4] == named


def test_a_run_of_which_one_session_alone_had_other_files_is_none_of_the_published_ones(
    places, archive, write_run, write_session, cells
):
    path = write_session(write_run("a", *RECIPE, top1=90.0), unofficial_files={}) / "environment.json"
    (session,) = json.loads(path.read_text())["sessions"]
    path.write_text(json.dumps({"sessions": [session | {"unofficial_files": {"x": "0af1"}}, session]}))
    archive()
    assert cells(make_results(places).page, "first, 100 labels")[0][4] == "digits (not the published files)"


def test_another_name_for_published_files_is_refused(command, write_run, write_session, tmp_path):
    write_session(write_run("a", *RECIPE, top1=90.0), unofficial_files={})
    runs = tmp_path / "runs"
    code, out, err = command(f"runs={runs}", "images=[digits=mine]")
    assert (code, out) == (2, "")
    assert err == f"error: images: every run in {runs} of data=digits has recorded that it read the published files.\n"


def test_the_command_says_that_nothing_changed(command, places):
    assert command()[1] == f"written: {places.page}\nwritten: {places.readme}\n"
    code, out, err = command()
    assert (code, err, out.count("\n")) == (0, "", 1) and out.startswith(f"nothing changed: {places.page}")


def test_pictures_that_no_longer_belong_to_the_page_are_said_to_be_deleted(command, places):
    command()
    places.pictures.mkdir()
    (places.pictures / "results_gone.png").write_bytes(b"")
    assert command()[1] == f"deleted: {places.pictures / 'results_gone.png'}\n"


def test_the_command_names_archived_runs_that_another_takes_the_place_of(command, places, write_run, tmp_path, cells):
    folder = write_run("a", *RECIPE, top1=90.0)
    write_run("b", *RECIPE, seed=1, top1=90.0)
    assert "replaced" not in command(f"runs={tmp_path / 'runs'}")[1]
    shutil.rmtree(folder)
    write_run("a", *RECIPE, top1=80.0)
    (name,) = (path.name for path in places.runs.iterdir() if "seed0" in path.name)
    code, out, _ = command(f"runs={tmp_path / 'runs'}")
    assert code == 0 and f": 1; already there: 1\nreplaced: {name}\n" in out
    assert cells(places.page.read_text(), "first, 100 labels")[0][2] == "85.00 ± 7.07"


def test_a_preview_has_the_new_runs_and_leaves_the_checkout_as_it_is(command, places, write_run, tmp_path, cells):
    write_run("a", *RECIPE, top1=90.0)
    command(f"runs={tmp_path / 'runs'}")
    before = {path: path.read_bytes() for path in places.root.rglob("*") if path.is_file()}
    write_run("b", *RECIPE, seed=1, top1=94.0)
    preview = Places(tmp_path / "preview")
    code, out, _ = command(f"runs={tmp_path / 'runs'}", f"to={preview.root}")
    assert code == 0 and f"runs taken into {preview.runs}: 1; already there: 1\n" in out
    assert {path: path.read_bytes() for path in places.root.rglob("*") if path.is_file()} == before
    assert cells(preview.page.read_text(), "first, 100 labels")[0][2] == "92.00 ± 2.83"
    assert "92.00 ± 2.83" in preview.readme.read_text()
    assert {path.name for path in preview.pictures.iterdir()} == {path.name for path in places.pictures.iterdir()}
    for there in (places.root, preview.root):
        assert command(f"to={there}") == (2, "", f"error: to={there} is there already: a preview is a new folder.\n")


def test_images_of_data_that_no_run_has_are_refused(command, places, write_run, tmp_path):
    write_run("a", *RECIPE, top1=90.0)
    runs = f"runs={tmp_path / 'runs'}"
    code, out, err = command(runs, "images=[cifr10=x]")
    assert (code, out) == (2, "") and err.startswith(
        "error: unknown data: cifr10. Did you mean cifar10? Valid: cifar10,"
    )
    assert command(runs, "images=[cifar10=x]")[2] == f"error: images: no run in {tmp_path / 'runs'} has data=cifar10.\n"
    assert not places.runs.exists()


def test_a_run_that_a_process_works_on_is_left_out(command, places, write_run, tmp_path):
    folder = write_run("a", *RECIPE)
    write_run("b", *RECIPE, seed=1, top1=90.0)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert f"still running, left out: {folder}\n" in command(f"runs={tmp_path / 'runs'}")[2]
    assert "unfinished" not in places.page.read_text() and "| 90.00 | 1 |" in places.page.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["images=[digits=mine]"], "error: images has no effect without runs=FOLDER.\n"),
        (["runs=x", "images=[digits]"], "error: images: cannot read digits: write data=words"),
        (["runs=nowhere"], "error: runs=nowhere is not a folder.\n"),
        (["run=x"], "error: unknown option: run. Did you mean runs?"),
    ],
)
def test_mistakes_are_one_line(command, arguments, message):
    code, out, err = command(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1) and err.startswith(message)
