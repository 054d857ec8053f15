"""A mistake in a user's yaml is one line with the file, the line and the reason."""

from __future__ import annotations

import pytest

_HEAD = "# @package _global_\n"
MISTAKES = {
    "open": (_HEAD + "a: [\n", 3, "a bracket, brace or quote above is not closed."),
    "quote": (_HEAD + "a: 'x\n", 3, "a bracket, brace or quote above is not closed."),
    "tab": (_HEAD + "trainer:\n\tbatch_size: 3\n", 3, "a tab: yaml is indented with spaces."),
    "twice": (_HEAD + "trainer:\n  ema: 1\n  ema: 2\n", 4, "ema is given a second time (first in line 3)."),
    "empty": (_HEAD + "optimizer:\n", 2, "optimizer is empty: leave it out, or write its settings below it, indented."),
    "value": (_HEAD + "trainer: 5\n", 2, "trainer is '5', and must be a section of settings: `trainer: {key: value}`."),
    "colon": (_HEAD + "trainer:\n  ema 1\n", 3, "trainer is 'ema 1', and must be a section of settings"),
    "list": (_HEAD + "- a\n", 2, "it is a list, and must be settings, each `key: value`."),
    "text": ("hello\n", 1, "it is a single value, and must be settings, each `key: value`."),
    "package": ("trainer:\n  ema: 0.9\n", 1, "a recipe begins with the line `# @package _global_`."),
    "no_list": (_HEAD + "defaults:\n  override /model: scat_wrn\n", 3, "defaults is a list: each line of it begins"),
    "word": (_HEAD + "defaults:\n  - overide /model: a\n", 3, "overide is no word of a defaults list: write `override"),
    "group": (_HEAD + "defaults:\n  - override /modle: a\n", 3, "unknown group: modle. Did you mean model?"),
    "no_override": (_HEAD + "defaults:\n  - model: scat_wrn\n", 3, "write `override /model: scat_wrn`: model is not"),
    "base": (_HEAD + "defaults:\n  - text\n", None, "it is a single value"),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    (folder / "hybrid.yaml").touch()
    (folder / "configs" / "experiment").mkdir(parents=True)
    for name, (text, _, _) in MISTAKES.items():
        (folder / "configs" / "experiment" / f"{name}.yaml").write_text(text)
    return folder


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_a_recipe(project, monkeypatch, call, name):
    monkeypatch.chdir(project)
    _, line, message = MISTAKES[name]
    code, _, errors = call("train", f"experiment={name}")
    assert code == 2 and errors.count("\n") == 1 and message in errors, errors
    place = (
        f"{project}/configs/experiment/{name}.yaml, line {line}: "
        if line
        else f"{project}/configs/experiment/text.yaml"
    )
    assert errors.startswith(f"error: {place}"), errors


def test_other_files_than_recipes(project, monkeypatch, call):
    monkeypatch.chdir(project)
    head = project / "configs" / "model" / "head" / "mine.yaml"
    head.parent.mkdir(parents=True)
    for text, message in (
        ("- a\n", "mine.yaml, line 1: it is a list"),
        ("a: 1\na: 2\n", "mine.yaml, line 2: a is given"),
    ):
        head.write_text(text)
        code, _, errors = call("describe", "model/head=mine")
        assert code == 2 and errors.count("\n") == 1 and message in errors, errors
    head.write_bytes(b"\xff\xfe")
    assert "mine.yaml: it is no text in UTF-8." in call("train", "-m", "model/head=linear,mine")[2]


def test_a_broken_interpolation_names_its_setting(call):
    code, _, errors = call("train", "trainer.log_every='${nothing'")
    assert (
        code == 2
        and errors
        == "error: trainer.log_every: ${nothing cannot be read: an interpolation is ${key} or ${oc.env:NAME}.\n"
    )
