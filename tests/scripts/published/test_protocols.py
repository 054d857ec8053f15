"""Recipes beside the released code: what the tables say is what the objects have, and each recipe has a table."""

from __future__ import annotations

from pathlib import Path

import pytest
from published.composed import Composed
from published.files import Places
from published.protocols import protocols_page, read_protocols

from hybrid.configuration.paths import CONFIGS
from hybrid.errors import UserError

ROOT = Path(__file__).resolve().parents[3]
PROTOCOLS = {each.recipe: each for each in read_protocols(Places(ROOT).protocols)}


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_the_objects_of_a_recipe_have_the_settings_of_its_table(name):
    composed = Composed(PROTOCOLS[name])
    found = {setting.setting: composed.read(setting.reads) for setting in PROTOCOLS[name].settings}
    assert found == {setting.setting: setting.ours for setting in PROTOCOLS[name].settings}


def test_every_recipe_has_a_table():
    recipes = {path.stem for path in (CONFIGS / "experiment").glob("*.yaml")}
    assert recipes == {each.command[0].removeprefix("experiment=") for each in PROTOCOLS.values()}


def test_the_committed_page_is_the_generated_one():
    page = protocols_page(list(PROTOCOLS.values()))
    assert Places(ROOT).protocols_page.read_text() == page, "run python scripts/results.py"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{setting: batch, reads: batch, ours: "1", verdict: differs}', "batch: a difference needs its reason"),
        ('{setting: batch, reads: batch, ours: "1", verdict: same}', "unknown verdict: same"),
    ],
)
def test_a_line_that_says_too_little_is_refused(tmp_path, line, words):
    head = "source: none\ncommand: [experiment=digits]\nshape: [1, 32, 32]\nclasses: 10\ntrain_images: 9\n"
    (tmp_path / "digits.yaml").write_text(f"{head}settings:\n  - {line}\n")
    with pytest.raises(UserError, match=words):
        read_protocols(tmp_path)
