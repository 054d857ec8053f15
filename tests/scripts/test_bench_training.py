"""scripts/bench_training.py trains both ways and writes what it prints."""

from __future__ import annotations

import json

import pytest


def test_table_and_json(call, tmp_path):
    pytest.importorskip("kymatio")
    path, figure = tmp_path / "training.json", tmp_path / "steps.png"
    code, said, _ = call(
        "bench_training", "cases=[scat_linear]", "batch=4", "steps=1", "rounds=2", "threads=1",
        f"json={path}", f"figure={figure}", "settings=[trainer.precision=bf16]",
    )  # fmt: skip
    assert code == 0
    rows = {row["side"]: row for row in json.loads(path.read_text())["rows"]}
    assert list(rows) == ["plain", "ours", "set"]
    assert rows["ours"]["ratio"] == pytest.approx(rows["plain"]["ms"] / rows["ours"]["ms"])
    assert all(row["images_per_second"] == pytest.approx(4000 / row["ms"]) for row in rows.values())
    assert "scat_linear  plain" in said and "3 rows written" in said
    assert figure.stat().st_size > 1000


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("cases=[scat_liner]", "Did you mean scat_linear"),
        ("cases=[]", "cases=[] is not valid"),
        ("rounds=0", "at least 1"),
        ("workers=-1", "at least 0"),
        ("device=cuda", "no GPU"),
        ("device=tpu", "device: 'tpu' is not cpu or cuda (did you mean cpu?)."),
        ("json=/", "json=/ cannot be written: it is a folder"),
        ("figure=x.bmp", "figure=x.bmp has none of the endings .png, .svg, .pdf"),
    ],
)
def test_mistakes_are_one_line(call, argument, message, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    code, said, error = call("bench_training", argument)
    assert (code, said, error.count("\n")) == (2, "", 1) and message in error
