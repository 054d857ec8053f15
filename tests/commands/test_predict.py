from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from hybrid.commands.export import _description
from hybrid.prediction import Prediction
from hybrid.prediction.tables import WRITERS, as_table, print_table, write_csv
from hybrid.training.restore import restore


@pytest.fixture
def pictures(finished, tmp_path):
    """Ten test digits as PNG files in nested folders, a colour JPEG of another size, a broken image, and a text."""
    split = restore(finished.path, device="cpu").data.splits["test"]
    folder = tmp_path / "pictures"
    (folder / "deep" / "er").mkdir(parents=True)
    for number in range(10):
        place = folder if number < 5 else folder / "deep" / "er"
        Image.fromarray(split.images[number, 0].numpy()).save(place / f"{number}.png")
    colours = np.random.default_rng(0).integers(0, 256, (75, 51, 3), dtype=np.uint8)
    Image.fromarray(colours).save(folder / "colour.JPEG")
    (folder / "broken.png").write_bytes((folder / "0.png").read_bytes()[:60])
    (folder / "notes.txt").write_text("no image")
    return folder


def test_a_folder_becomes_a_table_in_batches_and_the_broken_file_is_reported(finished, pictures, execute):
    done = execute("predict", f"run={finished.path}", str(pictures), "batch_size=4", "top=2")
    assert done.returncode == 0
    assert done.stderr.startswith(f"skipped: {pictures / 'broken.png'}") and done.stderr.count("\n") == 1
    lines = done.stdout.splitlines()
    assert lines[0].startswith("file") and len(lines) == 1 + 11
    assert [line.split()[0] for line in lines[1:3]] == [str(pictures / "0.png"), str(pictures / "1.png")]
    assert lines[-1].split()[0] == str(pictures / "deep" / "er" / "9.png")


def test_the_heading_stands_above_its_columns_however_long_the_names_are(capsys):
    rows = [Prediction(f"{'folder/' * k}1.png", (("dog", 0.75), ("cat", 0.25))) for k in range(10)]
    assert print_table(iter(rows), top=2) == 10
    heading, *lines = capsys.readouterr().out.splitlines()
    assert {line.index(" dog ") + 1 for line in lines} == {heading.index("class")}
    assert {line.index(" %   cat") + 2 for line in lines} == {heading.index("probability") + len("probability")}
    assert {line.index("cat") for line in lines} == {heading.index("and the next ones")}


def test_csv_holds_the_models_own_probabilities(finished, pictures, call, tmp_path):
    out = tmp_path / "table.csv"
    assert call("predict", f"run={finished.path}", str(pictures), f"out={out}", "top=3")[0] == 0
    with out.open(newline="") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    run = restore(finished.path, device="cpu")
    images = run.data.splits["test"].images[:10]
    best = run.model(run.data.preprocessing(images)).softmax(1).topk(3)
    for number in range(10):
        row = rows[str((pictures if number < 5 else pictures / "deep" / "er") / f"{number}.png")]
        assert [int(row[key]) for key in ("class", "class_2", "class_3")] == best.indices[number].tolist()
        found = [float(row[key]) for key in ("probability", "probability_2", "probability_3")]
        assert found == pytest.approx(best.values[number].tolist(), rel=1e-4)


def test_json_is_a_list_of_all_files_whose_probabilities_sum_to_one(finished, pictures, call, tmp_path):
    out = tmp_path / "table.json"
    assert call("predict", f"run={finished.path}", str(pictures), f"out={out}", "top=99", "batch_size=1")[0] == 0
    rows = json.loads(out.read_text())
    assert len(rows) == 11
    for row in rows:
        assert len(row["top"]) == 10 and sum(each["probability"] for each in row["top"]) == pytest.approx(1)
        assert row["class"] == row["top"][0]["class"] and row["probability"] == row["top"][0]["probability"]


def test_without_any_readable_image_it_fails_and_writes_nothing(finished, pictures, call, tmp_path):
    out = tmp_path / "table.csv"
    code, _, err = call("predict", f"run={finished.path}", str(pictures / "broken.png"), "absent.png", f"out={out}")
    assert code == 2 and not out.exists() and list(tmp_path.iterdir()) == [pictures]
    assert err.splitlines()[-1].startswith("error: no readable image in ")
    assert "absent.png: not a readable image (no such file)" in err


def test_a_file_with_an_equals_sign_is_a_file(finished, pictures, call):
    odd = pictures / "a=b.png"
    odd.write_bytes((pictures / "0.png").read_bytes())
    code, out, _ = call("predict", str(odd), f"run={finished.path}", "top=1")
    assert code == 0 and str(odd) in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x.png", "top=0"], "error: top=0 is not valid: it must be at least 1."),
        (["x.png", "out=table.xls"], "error: out=table.xls is neither .csv nor .json."),
        ([], "error: images is missing: give images on the command line"),
        (["x.png", "tpo=3"], "error: unknown option: tpo. Did you mean top?"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(finished, call, arguments, message):
    code, _, err = call("predict", f"run={finished.path}", *arguments)
    assert code == 2
    assert err.startswith(message) and err.count("\n") == 1


def test_names_of_others_move_no_cursor_and_are_no_formula(capsys):
    rows = [Prediction("=1+1\x1b[2J.png", (("@cat\n", 0.75), ("dog", 0.25)))]
    print_table(iter(rows), top=2)
    out = capsys.readouterr().out
    assert "\x1b" not in out and out.count("\n") == 2 and "@cat\\n" in out
    file = io.BytesIO()
    write_csv(file, iter(rows), top=2)
    assert next(csv.reader(io.StringIO(file.getvalue().decode(), newline=""), strict=True))[0] == "file"
    assert file.getvalue().decode().split("\n", 1)[1].startswith("'=1+1")
    assert ",\"'@cat" in file.getvalue().decode()


def test_the_softmax_after_a_loss_of_ones_own_is_called_a_score(finished, call, tmp_path, capsys):
    run = restore(finished.path, device="cpu")
    assert run.likelihood == "probability"
    run.cfg.loss = {"_target_": "torch.nn.CrossEntropyLoss"}
    assert run.likelihood == "probability"
    run.cfg.loss = {"_target_": "mine.Loss"}
    assert run.likelihood == "score" and "scores" in _description(run)["output"]["means"]
    rows = [Prediction("a.png", (("cat", 0.75), ("dog", 0.25)))]
    print_table(iter(rows), top=2, likelihood="score")
    assert capsys.readouterr().out.splitlines()[1].split() == ["a.png", "cat", "0.7500", "dog", "0.2500"]
    assert as_table(iter(rows), likelihood="score").columns.tolist() == ["class", "score", "class_2", "score_2"]
    for ending, words in ((".csv", "file,class,score,class_2,score_2"), (".json", '"score": 0.75')):
        WRITERS[ending](file := io.BytesIO(), iter(rows), top=2, likelihood="score")
        assert words in file.getvalue().decode() and "probab" not in file.getvalue().decode()
