"""What is committed: the page is the generated one, the list covers every recipe, the archive tells nothing of machines."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf
from published.archive import read_archive
from published.files import PREFIX, Places, make_results
from published.matching import entries
from published.rows import read_page

from hybrid.classification.plan import ClassifierPlan
from hybrid.configuration.composition import compose
from hybrid.configuration.paths import CONFIGS
from hybrid.training.settings import Settings

CHECKS = {"train": Settings.of, "svm": ClassifierPlan.of, "classify": ClassifierPlan.of}


@pytest.fixture(scope="module")
def committed(root):
    """(places, what the command would write) of this checkout."""
    places = Places(root)
    return places, make_results(places)


@pytest.mark.slow
def test_the_committed_page_and_main_table_are_what_the_command_writes(committed):
    places, results = committed
    assert places.page.read_text() == results.page, "run python scripts/results.py"
    assert places.readme.read_text() == results.readme, "run python scripts/results.py"
    assert sorted(path.name for path in places.pictures.glob(f"{PREFIX}*")) == sorted(results.pictures)


@pytest.mark.slow
def test_every_archived_run_belongs_to_a_row_and_names_no_machine(committed):
    places, _ = committed
    runs = read_archive(places.runs)
    sections = read_page(places.rows).sections
    taken = {
        run.path
        for section in sections
        for _, own in entries(section, runs)
        for entry in own
        for run in entry.group.runs
    }
    assert [run.path.name for run in runs if run.path not in taken] == []
    for path in places.runs.rglob("*"):
        if path.is_file():
            assert path.stat().st_size < 40_000, path
            assert not any(words in path.read_text() for words in ('"/', " /", '"host"')), path


def test_every_recipe_has_rows(root):
    rows = [row for section in read_page(Places(root).rows).sections for row in section.rows]
    commands = [row.overrides for row in rows if row.script == "train"]
    recipes = {path.stem for path in (CONFIGS / "experiment").glob("*.yaml")}
    assert recipes == {word.removeprefix("experiment=") for words in commands for word in words[:1]}


def test_every_command_of_the_list_is_valid_and_told_apart_by_the_keys_of_its_table(root):
    for section in read_page(Places(root).rows).sections:
        seen = []
        for row in section.rows:
            if row.run is not None:
                cfg = compose(list(row.overrides), config_name=row.script)
                CHECKS[row.script](cfg)
                facts = {**{key: OmegaConf.select(cfg, key) for key in section.keys if "." in key}, **cfg.choices}
                seen.append(str([row.script, *(facts.get(key) for key in section.keys)]))
        assert len(set(seen)) == len(seen), section.name
