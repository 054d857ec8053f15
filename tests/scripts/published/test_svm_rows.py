"""Rows of another command than `hybrid train`: support vector machines and trained networks never take each other's runs."""

from __future__ import annotations

import json

import pytest
from omegaconf import OmegaConf
from published.files import make_results
from published.matching import entries, why_left_out
from published.rows import read_page

from hybrid.configuration.composition import compose
from hybrid.runs.reading import find_runs

SVM = """
      - {name: svm, labels: 100, script: svm, run: data=digits data.subset.n=100, takes: seconds,
         published: "95.3", mark: memory}
      - {name: trained, labels: 300, run: data=digits model=scat_linear data.subset.n=300, takes: minutes}
"""


@pytest.fixture
def section(places):
    """The list's table, with a row of each command that have all but the number of labels in common."""
    places.rows.write_text(places.rows.read_text().rstrip() + SVM)
    return read_page(places.rows).sections[0]


@pytest.fixture
def write_svm(tmp_path):
    """write_svm("a", "svm.C=1", seed=1, top1=97.5) writes runs/a as `hybrid svm` leaves it."""

    def do(name: str, *overrides: str, seed: int = 0, top1: float = 95.0):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        cfg = compose(["data=digits", "data.subset.n=100", *overrides, f"seed={seed}"], config_name="svm")
        (folder / "config.yaml").write_text(OmegaConf.to_yaml(cfg, resolve=True))
        (folder / "metrics.jsonl").write_text(json.dumps({"step": 0, "epoch": 0.0, "test/top1": top1}) + "\n")
        summary = {"test": {"top1": top1, "images": 360}, "svm": {"C": 10.0}, "seconds": 2.0, "device": "cpu"}
        (folder / "summary.json").write_text(json.dumps(summary))
        return folder

    return do


def taken(section, places) -> dict[str, list[str]]:
    """Row -> the folders of its runs."""
    found = entries(section, find_runs(places.root.parent / "runs"))
    return {
        f"{row.name} {row.labels}": [run.path.name for entry in own for run in entry.group.runs] for row, own in found
    }


def test_a_row_has_the_runs_of_its_own_command_alone(section, places, write_run, write_svm):
    write_svm("svm")
    write_svm("svm300", "data.subset.n=300")
    write_run("trained", "data=digits", "model=scat_linear", "data.subset.n=300", top1=90.0)
    write_run("trained100", "data=digits", "model=scat_linear", "data.subset.n=100", top1=90.0)
    found = taken(section, places)
    assert found["svm 100"] == ["svm"] and found["trained 300"] == ["trained"]
    assert sum(map(len, found.values())) == 2


def test_the_page_names_the_command_and_what_runs_change(section, places, archive, write_svm, cells):
    for seed in (0, 1):
        write_svm(f"own{seed}", seed=seed, top1=95.0 + seed)
    write_svm("linear", "svm=linear", top1=90.0)
    archive()
    results = make_results(places)
    (own, details) = cells(results.page, "svm, 100 labels |")
    assert own[1:5] == ["95.3 ᵐ", "95.50 ± 0.71", "2", "digits"]
    assert details[1] == "`hybrid svm data=digits data.subset.n=100`"
    (changed,) = cells(results.page, "↳")
    assert changed[0] == "↳ svm=linear" and changed[5] == "`svm=linear` instead of gaussian"
    assert "`hybrid svm data=digits data.subset.n=100 svm=linear`" in results.page
    assert "curves" not in "".join(results.pictures), "a test is no curve"


def test_a_row_without_runs_shows_its_command(section, places):
    assert "    hybrid svm data=digits data.subset.n=100\n" in make_results(places).page


def test_a_run_of_no_row_is_told_by_its_command(section, places, archive, write_svm):
    write_svm("svm200", "data.subset.n=200")
    (line,) = why_left_out(read_page(places.rows), archive().left_out)
    assert line.startswith("left out, no row of hybrid svm has data.subset.n=200: ")


def test_an_unknown_command_is_one_line(places):
    places.rows.write_text(places.rows.read_text() + SVM.replace("script: svm,", "script: smv,"))
    with pytest.raises(ValueError, match="unknown script: smv. Did you mean svm"):
        read_page(places.rows)
