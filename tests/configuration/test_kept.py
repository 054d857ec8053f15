"""Configurations that are kept in files: read within bounds, nothing in them computed, without orders and secrets."""

from __future__ import annotations

import json

import pytest
from omegaconf import OmegaConf

from hybrid.configuration import kept
from hybrid.configuration.composition import compose
from hybrid.configuration.hydra_arguments import read_whole
from hybrid.configuration.kept import as_kept, plain, read_kept
from hybrid.errors import UserError
from hybrid.reports.groups import group_runs
from hybrid.reports.page import page
from hybrid.reports.tables import make_table
from hybrid.runs import RunFolder
from hybrid.runs.identity import identity, run_name
from hybrid.runs.reading import find_runs

SECRET = "hunter2-secret"


@pytest.fixture(autouse=True)
def secret(monkeypatch, tmp_path):
    monkeypatch.setenv("SECRET", SECRET)
    monkeypatch.setenv("RATE", "0.3")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def composed():
    return compose(["model=scat_linear", "data.subset.n=100", "trainer.duration=2 steps", "run.restart=true"])


def written(tmp_path, text, name="config.yaml"):
    (tmp_path / name).write_text(text)
    return tmp_path / name


def bombs():
    """Texts of one kB that stand for, or nest, more than any configuration holds."""
    levels = [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]" for k in range(1, 9)]
    yield "aliases", "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "\n".join(levels), "it has an alias"
    yield "itself", "a: &a [*a]\n", "it has an alias"
    yield "merge", "a: &a {x: 1}\nb: {<<: *a}\n", "it has an alias"
    yield "brackets", "a: " + "[" * 60 + "]" * 60, "50 levels"
    yield "many_brackets", "a: " + "[" * 10_000, "nesting depth|50 levels"
    yield "values", "a: [" + "1," * 60_000 + "]\nb: [" + "1," * 60_000 + "]", "more than 100,000 values"
    yield "size", "a: " + "x" * (2 << 20), "more than 2 MiB"
    yield "tag", "a: !!python/object/apply:os.system [touch owned]\n", "cannot be read"
    yield "cut_off", "a: [1, 2\n", "cannot be read"
    yield "twice", "a: 1\na: 2\n", "cannot be read"
    yield "bytes", "a: \x00", "cannot be read"


@pytest.mark.parametrize(("text", "words"), [each[1:] for each in bombs()], ids=[each[0] for each in bombs()])
def test_what_no_configuration_is_is_one_line(tmp_path, text, words):
    file = written(tmp_path, text)
    with pytest.raises(UserError, match=words) as error:
        read_kept(file)
    assert str(file) in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "owned").exists()


def test_one_bad_run_stops_no_report(tmp_path, composed):
    for name, text, _ in bombs():
        (tmp_path / name).mkdir()
        written(tmp_path / name, text)
    (tmp_path / "good").mkdir()
    written(tmp_path / "good", as_kept(composed))
    with pytest.warns(UserWarning, match="is left out") as warned:
        (found,) = find_runs(tmp_path)
    assert found.path.name == "good" and len(warned) == len(list(bombs()))


def test_nothing_in_a_foreign_configuration_is_looked_up(tmp_path, composed):
    cfg = OmegaConf.to_container(composed)
    texts = [
        "${oc.env:SECRET}",
        "a ${oc.env:SECRET} b",
        "\\\\${oc.env:SECRET}",
        "${oc.decode:${oc.env:SECRET}}",
        "${seed}",
        "${oc.env:",
    ]
    cfg["data"]["name"], cfg["model"]["notes"], cfg["optimizer"]["name"] = texts[0], texts, {"deep": texts}
    file = written(tmp_path, json.dumps(cfg))
    found = read_kept(file, live=True)  # asked for by the user's own commands, and not his file
    assert OmegaConf.to_container(found, resolve=True)["model"]["notes"] == texts
    for text in (
        as_kept(found),
        json.dumps(plain(found)),
        json.dumps(identity(found, known_only=True)),
        run_name(found),
    ):
        assert SECRET not in text
    repeated = as_kept(found)  # --from: the run is the user's, and these texts are still nobody's orders
    assert "hybrid-signature" not in repeated
    again = read_kept(written(tmp_path, repeated), live=True)
    assert OmegaConf.to_container(again, resolve=True) == OmegaConf.to_container(found, resolve=True)
    found.optimizer.lr = "${oc.env:RATE}"
    assert "hybrid-signature" not in as_kept(found)


def test_values_of_the_environment_are_used_and_not_kept(tmp_path, composed):
    cfg = composed.copy()
    OmegaConf.set_struct(cfg, False)
    cfg.data.name = "${oc.env:SECRET}"
    cfg.optimizer.lr = "${oc.decode:${oc.env:RATE}}"
    cfg.loggers = [{"wandb": {"key": "${oc.env:SECRET}", "other": "${oc.env:ABSENT,'x'}"}}]
    assert cfg.optimizer.lr == 0.3 and cfg.data.name == SECRET
    text = as_kept(cfg)
    assert SECRET not in text and "${oc.env:SECRET}" in text and "hybrid-signature" in text
    file = written(tmp_path, text)
    assert read_kept(file).data.name == "${oc.env:SECRET}"  # data
    own = read_kept(file, live=True)
    assert own.data.name == SECRET and own.optimizer.lr == 0.3 and own.loggers[0].wandb.other == "x"
    file.write_text(text.replace("seed: 0", "seed: 1"))  # edited: no longer his
    assert read_kept(file, live=True).data.name == "${oc.env:SECRET}"
    assert SECRET not in json.dumps(plain(cfg)) and plain(cfg)["data"]["name"] == "${oc.env:SECRET}"


def test_no_secret_is_in_the_page_of_a_run(tmp_path, composed):
    cfg = composed.copy()
    OmegaConf.set_struct(cfg, False)
    cfg.data.name = "${oc.env:SECRET}"
    (tmp_path / "run").mkdir()
    written(tmp_path / "run", as_kept(cfg))
    groups = group_runs(find_runs(tmp_path))
    text = page(groups, make_table(groups, metric="test.top1"), heading="x")
    assert SECRET not in text and "${oc.env:SECRET}" in text and "hybrid-signature" not in text


def test_an_order_is_not_kept_and_a_kept_one_is_not_followed(tmp_path, composed):
    assert composed.run.restart is True
    text = as_kept(composed)
    assert "restart: false" in text and composed.run.restart is True  # the command's own is as it was
    file = written(tmp_path, text.replace("restart: false", "restart: true"))
    assert read_kept(file).run.restart is False
    assert read_whole([str(file)]).run.restart is False  # --from
    folder = RunFolder(tmp_path / "mine")
    folder.open(composed, class_names=["a"], restart=True)
    folder.close()
    assert folder.read_config().run.restart is False


def test_the_bounds_are_above_what_runs_write(composed):
    text = as_kept(composed)
    assert 50 * len(text) < kept._LARGEST and 50 * text.count("\n") < kept._MOST
