"""scripts/profile_scattering.py says where the time goes, prints, writes and draws it."""

from __future__ import annotations

import json

import pytest

from hybrid.scattering.compiled import CompilerError
from hybrid.scattering.compiled.cpu.compiler import find_compiler

try:
    find_compiler()
except CompilerError as error:
    pytest.skip(str(error), allow_module_level=True)


def test_table_json_and_figure(call, tmp_path):
    pytest.importorskip("kymatio")
    path, figure = tmp_path / "stages.json", tmp_path / "stages.png"
    code, said, error = call(
        "profile_scattering", "cases=[cifar]", "batch=1", "rounds=1", f"json={path}", f"figure={figure}"
    )
    assert (code, error) == (0, "")
    rows = json.loads(path.read_text())["rows"]
    for engine in ("cpu", "kymatio"):
        assert sum(row["share"] for row in rows if row["engine"] == engine) == pytest.approx(1)
    assert all(row["share"] > 0 and row["ms"] > 0 for row in rows)
    assert {row["order"] for row in rows if row["engine"] == "cpu" and row["stage"] == "lowpass"} == {0, 1, 2}
    assert {"rfft", "cdgmm", "modulus", "pad"} < {row["stage"] for row in rows if row["engine"] == "kymatio"}
    assert "cifar, cpu: " in said and "inverse_rows      order 2" in said
    assert figure.stat().st_size > 1000


def test_without_kymatio(call):
    code, said, _ = call("profile_scattering", "cases=[cifar]", "batch=1", "rounds=1", "kymatio=false")
    assert code == 0 and "cpu" in said and "kymatio" not in said


def test_without_a_compiler_one_line(call, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    code, said, error = call("profile_scattering", "cases=[cifar]")
    assert (code, said, error.count("\n")) == (2, "", 1) and "no C++ compiler found" in error


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("cases=[cifr]", "Did you mean cifar"),
        ("cases=[]", "cases=[] is not valid"),
        ("rounds=0", "at least 1"),
        ("batch=0", "least 1"),
        ("json=/nonexistent/x.json", "there is no folder /nonexistent"),
        ("figure=x.gif", "figure=x.gif has none of the endings .png, .svg, .pdf"),
    ],
)
def test_mistakes_are_one_line(call, argument, message):
    code, said, error = call("profile_scattering", argument)
    assert (code, said, error.count("\n")) == (2, "", 1) and message in error
