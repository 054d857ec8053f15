"""Recipes beside the released code: what the tables say is what the objects have, and each recipe has a table."""

from __future__ import annotations

import dataclasses
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


KINDS = (  # every table reads these, under one of the names
    ("steps",), ("lr",), ("batch",), ("momentum",), ("nesterov",), ("decay",), ("precision",), ("parameters",), ("GMAC",),
    ("std",), ("norm",), ("pixels",), ("augmentation", "geometries"), ("images", "setting data.validation"),
    ("setting data.subset", "setting data.fold"),
)  # fmt: skip


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_a_table_reads_every_kind_of_setting(name):
    read = [setting.reads for setting in PROTOCOLS[name].settings]
    assert not [kind for kind in KINDS if not any(each.startswith(kind) for each in read)]


@pytest.mark.parametrize(
    ("change", "settings"),
    [
        ("optimizer.weight_decay=1e-4", {"weight decay of a weight"}),
        ("optimizer.momentum=0.8", {"momentum"}),
        ("optimizer.nesterov=true", {"Nesterov"}),
        ("augmentation.pad=3", {"padding", "geometries of crop and flip"}),
        ("augmentation.flip=0", {"geometries of crop and flip"}),
        ("schedule.early=1 step", {"rate at step 7,819"}),
        ("data.subset.n=500", {"labels", "images"}),
        ("data.validation=0.1", {"images"}),
        ("model.normalization.eps=1e-3", {"norm of the coefficients"}),
        ("model.normalization.momentum=0.2", {"norm of the coefficients"}),
        ("model.head.initial_gain=2", {"initial std of the layer"}),
        ("model.frontend.max_order=1", {"parameters", "multiply-adds of an image, GMAC"}),
        ("data.normalize=none", {"pixels"}),
        ("trainer.precision=bf16", {"precision"}),
        ("trainer.batch_size=64", {"batch", "steps"}),
    ],
)
def test_a_changed_recipe_is_noticed_by_its_table(change, settings):
    table = PROTOCOLS["cifar10_linear"]
    composed = Composed(dataclasses.replace(table, command=(*table.command, change)))
    assert settings <= {each.setting for each in table.settings if composed.read(each.reads) != each.ours}


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
