"""The page of published figures and ours: which runs a row takes, what is said of them, and of rows without runs."""

from __future__ import annotations

import shlex

import pytest
from published.files import make_results, write_results
from published.matching import entries
from published.page import wrapped
from published.rows import read_page

from hybrid.configuration.composition import compose
from hybrid.errors import UserError
from hybrid.runs.reading import find_runs

RECIPE = ("experiment=digits", "data.subset.n=100")


def test_a_row_without_runs_says_so_and_what_it_would_take(places, cells):
    results = make_results(places)
    (main, *_) = cells(results.page, "first, 1,000 labels")
    assert main[1:] == ["–", "**not run**", "", "", "two minutes", ""]
    assert cells(results.page, "other") == [["other", "95.5", "–", "", "", "no recipe", ""]]
    assert "    hybrid train experiment=digits data.subset.n=1000 trainer.duration='30 epochs'\n" in results.page
    assert "first, 100 labels" not in results.readme
    assert results.readme.endswith("end\n") and results.pictures == {}


def test_seeds_of_the_row_s_own_command_are_averaged_and_their_provenance_is_said(
    places, archive, write_run, write_session, cells
):
    for seed, top1 in enumerate((90.0, 94.0)):
        write_session(write_run(f"a{seed}", *RECIPE, seed=seed, top1=top1))
    archive(digits="Digits (of Ada)")
    results = make_results(places)
    main, details = cells(results.page, "first, 100 labels")
    assert main[1:] == ["91.5 ± 0.5", "92.00 ± 2.83", "2", "Digits (of Ada)", "the recipe's", ""]
    assert details[1:] == [
        "`hybrid train experiment=digits data.subset.n=100`", "0, 1", "0123456+", "Abacus, 2 cores, 1 thread", "2026-11-21",
        "10 (10 to 11) s", "100",
    ]  # fmt: skip
    assert "| 92.00 ± 2.83 | 2 | Digits (of Ada) |" in results.readme


def test_a_run_that_was_held_up_does_not_shift_the_time_that_is_told(places, archive, write_run, cells):
    for seed, seconds in enumerate((322.0, 542.0, 2147.0)):
        write_run(f"a{seed}", *RECIPE, seed=seed, top1=90.0, seconds=seconds, images_per_second=5e5 / seconds)
    archive()
    page = make_results(places).page
    assert cells(page, "first, 100 labels")[1][-2:] == ["542 (322 to 2,147) s", "923 (233 to 1,553)"]
    assert "images/s are medians over seeds" in page


def test_other_settings_are_a_line_of_their_own_that_says_what_they_change(places, archive, write_run, cells):
    write_run("a", *RECIPE, "trainer.duration=2 epochs", "optimizer.lr=0.3", top1=80.0, epochs=2.0)
    archive()
    results = make_results(places)
    own, details = cells(results.page, "first, 100 labels")
    (changed,) = cells(results.page, "↳")
    assert own[2] == "**not run**"
    assert changed[:4] == ["↳ lr=0.3, 2 epochs", "", "80.00", "1"]
    assert details[0] == "first, 100 labels, lr=0.3, 2 epochs"
    assert changed[5] == "`optimizer.lr=0.3` instead of 0.05; `trainer.duration='2 epochs'` instead of 20 epochs"
    command = shlex.split(details[1].strip("`"))
    assert {"data.subset.n=100", "optimizer.lr=0.3", "trainer.duration=2 epochs"} < set(command)
    assert "80.00" not in results.readme and "first, 100 labels" not in results.readme


@pytest.mark.parametrize(
    ("overrides", "epochs", "shown"),
    [
        (("trainer.duration=2 epochs",), 2.0, "80.00 (2 of 20 epochs)"),
        (
            ("trainer.duration=2 epochs", "trainer.precision=bf16"),
            2.0,
            "80.00 (2 of 20 epochs, precision=bf16)",
        ),
        (("trainer.duration=10 steps",), 0.3, "80.00 (10 steps instead of 20 epochs)"),
        (("trainer.duration=30 epochs",), 30.0, None),
        (("augmentation=none",), 20.0, None),
    ],
)
def test_the_main_table_has_shorter_schedules_and_no_other_settings(
    places, archive, write_run, overrides, epochs, shown
):
    write_run("a", *RECIPE, *overrides, top1=80.0, epochs=epochs)
    archive()
    results = make_results(places)
    if shown is None:
        assert "first, 100 labels" not in results.readme
    else:
        assert f"| first, 100 labels | `digits` | 91.5 ± 0.5 | {shown} |" in results.readme
    assert "| 80.00 | 1 |" in results.page


@pytest.mark.parametrize(
    ("overrides", "more", "shown"),
    [
        ((), {"steps": 80}, "80"),
        (("trainer.duration=10 epochs",), {"steps": 40}, "40 of 80 ‡"),
        (("trainer.duration=10 epochs",), {}, "not known of 80 ‡"),
        (("trainer.precision=bf16",), {"steps": 79}, "79 of 80 ‡"),
    ],
)
def test_other_steps_than_the_row_s_are_marked_on_the_page_and_in_the_readme(
    places, archive, write_run, cells, overrides, more, shown
):
    write_run("a", *RECIPE, *overrides, top1=80.0, epochs=10.0, **more)
    archive()
    results = make_results(places)
    assert [line[-1] for line in cells(results.page, "") if "80.00" in line] == [shown]
    assert f"| {shown} |" in next(line for line in results.readme.splitlines() if "80.00" in line)


def test_what_is_left_of_runs_that_diverged_is_no_accuracy(places, archive, write_run, cells):
    write_run("a", *RECIPE, seed=0, top1=90.0)
    error = "hybrid.errors.UserError: the loss is not finite at step 3: training stops\n"
    (write_run("b", *RECIPE, seed=1) / "error.txt").write_text(error)
    archive()
    results = make_results(places)
    assert cells(results.page, "first, 100 labels")[0][2:4] == ["no mean: 1 of 2 diverged", "1 of 2 (1 failed)"]
    assert "90.00" not in results.page and "90.00" not in results.readme


def test_the_main_table_has_the_main_rows_that_have_runs(places, archive, write_run):
    write_run("a", "experiment=digits", "data.subset.n=1000", "trainer.duration=30 epochs", top1=80.0)
    archive()
    assert "first" not in make_results(places).readme, "a row that is not marked as main"
    places.rows.write_text(places.rows.read_text().replace("takes: two minutes", "takes: two minutes, main: true"))
    readme = make_results(places).readme
    assert "| first, 1,000 labels | `digits` | – | 80.00 |" in readme
    assert "first, 100 labels" not in readme, "a main row without a run"


def test_a_figure_from_memory_is_marked_on_the_page_and_not_in_the_main_table(places, archive, write_run, cells):
    places.rows.write_text(places.rows.read_text().replace("mark: read, main: true", "mark: memory, main: true"))
    write_run("a", *RECIPE, top1=80.0)
    archive()
    results = make_results(places)
    assert cells(results.page, "first, 100 labels")[0][1] == "91.5 ± 0.5 ᵐ"
    assert "first, 100 labels" not in results.readme


@pytest.mark.parametrize(
    ("duration", "made", "shorter"),
    [
        ("2 epochs", {}, True),
        ("30 epochs", {"epochs": 30.0}, False),
        ("2ep", {}, True),
        ("900 steps", {"epochs": 300.0}, False),
        ("10 steps", {"epochs": 3.3}, True),
        ("10 steps", None, False),
    ],
)
def test_a_schedule_is_shorter_or_longer_whatever_its_unit(places, write_run, duration, made, shorter):
    write_run("a", *RECIPE, f"trainer.duration={duration}", **({} if made is None else {"top1": 80.0, **made}))
    ((_, (entry,)), *_) = entries(read_page(places.rows).sections[0], find_runs(places.root.parent / "runs"))
    assert entry.stands_in == shorter


@pytest.mark.parametrize(
    ("changes", "stands_in"),
    [
        (["trainer.precision=bf16"], True),
        (["trainer.precision=bf16", "trainer.duration=2 epochs"], True),
        (["trainer.precision=bf16", "trainer.duration=3000 epochs"], False),
        (["trainer.precision=bf16", "optimizer.lr=0.07"], False),
        ([], False),
    ],
)
def test_runs_of_another_precision_stand_in_for_the_row(places, write_run, changes, stands_in):
    write_run("a", *RECIPE, *changes)
    ((_, (entry,)), *_) = entries(read_page(places.rows).sections[0], find_runs(places.root.parent / "runs"))
    assert entry.stands_in == stands_in


def test_variants_of_a_row_are_in_the_order_of_what_they_change_and_the_main_table_has_the_longest(
    places, archive, write_run, cells
):
    for k, (epochs, more) in enumerate([(4, ("optimizer.lr=0.3",)), (12, ()), (3, ()), (2, ("optimizer.lr=0.3",))]):
        duration = f"trainer.duration={epochs} epochs"
        write_run(f"a{k}", *RECIPE, duration, *more, top1=80.0 + epochs, epochs=float(epochs))
    archive()
    results = make_results(places)
    names = [line[0] for line in cells(results.page, "↳")]
    assert names == ["↳ 3 epochs", "↳ 12 epochs", "↳ lr=0.3, 2 epochs", "↳ lr=0.3, 4 epochs"]
    assert "| 92.00 (12 of 20 epochs) | 1 |" in results.readme


def test_a_choice_that_differs_is_named_and_not_its_settings(places, archive, write_run, cells):
    write_run("a", *RECIPE, "augmentation=none", top1=80.0)
    archive()
    (changed,) = cells(make_results(places).page, "↳")
    assert changed[0] == "↳ augmentation=none" and changed[5] == "`augmentation=none` instead of crop"


def test_a_command_repeats_the_settings_of_its_runs(places, archive, write_run):
    write_run("a", *RECIPE, "optimizer=adamw", "optimizer.lr=0.002", "trainer.duration=2 epochs", top1=80.0)
    ((row, (entry,)), *_) = entries(read_page(places.rows).sections[0], find_runs(places.root.parent / "runs"))
    words = shlex.split(entry.command.removeprefix("hybrid train "))
    cfg = compose(words)
    assert (cfg.choices.optimizer, cfg.optimizer.lr, cfg.trainer.duration) == ("adamw", 0.002, "2 epochs")
    assert cfg.data.subset.n == row.labels == 100


def test_runs_that_are_not_finished_are_counted_and_told_and_in_no_mean(places, archive, write_run, cells):
    write_run("a", *RECIPE, seed=0, top1=90.0)
    write_run("b", *RECIPE, seed=1)
    (write_run("c", *RECIPE, seed=2) / "error.txt").write_text("Traceback …\nOSError: /home/ada/data/x.bin: gone\n")
    archive()
    page = make_results(places).page
    assert cells(page, "first, 100 labels")[0][2:4] == ["90.00", "1 of 3 (1 unfinished, 1 failed)"]
    assert "Unfinished: first, 100 labels, seed 1." in page
    assert "Failed: first, 100 labels (OSError: x.bin: gone), seed 2." in page


def test_folds_are_averaged_like_seeds(write_run, places):
    places.rows.write_text(
        places.rows.read_text()
        .replace("keys: [model, data.subset.n]", "keys: [model]")
        .replace("takes: a minute,", "takes: a minute, repeats: {data.subset.n: [100, 200]},")
    )
    assert "hybrid train -m data.subset.n=100,200 experiment=digits" in make_results(places).page
    for n, top1 in ((100, 80.0), (200, 90.0), (300, 10.0)):
        write_run(f"a{n}", "experiment=digits", f"data.subset.n={n}", top1=top1)
    ((_, (entry,)), *_) = entries(read_page(places.rows).sections[0], find_runs(places.root.parent / "runs"))
    assert entry.changes == () and entry.group.mean_std("test.top1").mean == 85.0


def test_pictures_are_drawn_for_what_there_is_and_removed_when_it_is_gone(places, archive, write_run):
    folder = write_run("a", *RECIPE, top1=90.0)
    (folder / "analysis").mkdir()
    (folder / "analysis" / "step-9.csv").write_text(
        "layer,contraction.same,contraction.different,boundary.nested_1,boundary.nested_30\n"
        "pixels,1,1,80,60\nS1,0.1,0.1,70,50\nlogits,0.2,0.4,30,10\n"
    )
    archive()
    results = make_results(places)
    write_results(places, results)
    names = {f"results_digits_{name}.png" for name in ("labels", "curves", "contraction", "complexity")}
    assert {path.name for path in places.pictures.iterdir()} == names == set(results.pictures)
    assert all(f"(../pictures/{name})" in results.page for name in names)
    assert make_results(places) == results and write_results(places, make_results(places)) == []
    next(places.runs.glob("*/layers.csv")).unlink()
    write_results(places, make_results(places))
    assert {path.name for path in places.pictures.iterdir()} == {
        "results_digits_labels.png",
        "results_digits_curves.png",
    }


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("takes: no recipe", "take: no recipe", "unknown entry of a row: take. Did you mean takes?"),
        ("takes: no recipe, ", "", "other: takes is missing."),
        ("mark: read", "mark: heard", "unknown mark: heard. Did you mean read? Valid: memory, read."),
        (", mark: read", "", "other: a published figure needs a mark"),
        ('"95.5"', '"about 95"', "other: published must begin with a number"),
        ("name: other", "name: first, labels: 100", "first, 100 is there twice."),
        ("sections:", "sections: [", "cannot be read"),
    ],
)
def test_a_mistake_in_the_list_is_one_line_that_names_the_file(places, old, new, message):
    places.rows.write_text(places.rows.read_text().replace(old, new))
    with pytest.raises(UserError, match="published.yaml") as raised:
        read_page(places.rows)
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_a_readme_without_a_place_for_the_table_is_an_error(places):
    places.readme.write_text("# nothing\n")
    with pytest.raises(UserError, match="README.md has no lines <!-- main table"):
        make_results(places)


def test_folds_that_are_missing_are_said(places, archive, write_run, cells):
    folds = "takes: a minute, repeats: {data.subset.n: [100, 200, 300]},"
    places.rows.write_text(places.rows.read_text().replace("takes: a minute,", folds))
    for n, top1 in ((100, 80.0), (200, 90.0)):
        write_run(f"a{n}", "experiment=digits", f"data.subset.n={n}", top1=top1)
    archive()
    assert cells(make_results(places).page, "first, 100 labels")[0][2:4] == ["85.00 ± 7.07", "2 of 3"]
    write_run("a300", "experiment=digits", "data.subset.n=300")
    archive()
    assert cells(make_results(places).page, "first, 100 labels")[0][3] == "2 of 3 (1 unfinished)"


def test_runs_that_logged_nothing_have_no_curves(places, archive, write_run):
    (write_run("a", *RECIPE, top1=90.0) / "metrics.jsonl").write_text("")
    archive()
    assert set(make_results(places).pictures) == {"results_digits_labels.png"}


def test_words_written_by_hand_are_wrapped_and_tables_are_not():
    words = " ".join(["word"] * 30)
    row = f"| {words} | 1.00 ± 0.10 |"
    text = wrapped(f"## Title\n\n{words}\n\n- one item of 3\n  % and ± 4 %: {words}\n- two\n\n{row}\n| - | - |\n\nend")
    lines = text.splitlines()
    assert lines[:2] == ["## Title", ""] and lines[-4:] == [row, "| - | - |", "", "end"]
    assert lines[5].startswith("- one item") and lines[6].startswith("  word word") and lines[7] == "- two"
    assert "- one item of 3 % and ± 4 %: " in text
    assert max(len(line) for line in lines if line != row) <= 120
