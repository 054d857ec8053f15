"""Hundreds of random mistakes on the command line: each is one line and exit code 2, and nothing is written."""

from __future__ import annotations

import copy
import random

import pytest
from hydra._internal import config_loader_impl as loader
from hydra._internal.defaults_list import DefaultsList, Overrides
from omegaconf import DictConfig

from hybrid.configuration.composition import compose
from hybrid.configuration.entry import guarded
from hybrid.configuration.paths import CONFIGS
from hybrid.training import run as training

CASES = 600
BASES = [
    [],
    ["model=scat_wrn", "model.head.k=1", "schedule=step", "augmentation=cutmix"],
    ["experiment=digits", "optimizer.nesterov=false", "schedule=one_cycle"],
    ["model=scat_mlp", "data=folder", "data.root=nowhere", "augmentation=random_resized_crop"],
    ["model/head=cnn", "analysis=full", "debug=overfit", "augmentation=randaugment"],
]
VALUES = [
    "many", "-1", "-0.5", "1e99", "nan", "inf", "''", "[1,2]", "{a:1}", "null", "true", "0", "3.7", "9999999999999999999999",
    "[", "'", "${nothing}", "${env:HOME}", "=", "a=b", "../..", "été", "-", "5 parsecs", "0 steps", "-3 epochs", "cuda:99", "???",
]  # fmt: skip
JUNK = ["trainer", "=3", "a b", "seed:3", "+", "~", "seed=", "++=1", "model=", "@data=x", "trainer=fast", "data@=mnist"]


def leaves(cfg, prefix: str = ""):
    for key in cfg:
        value = cfg._get_node(key)
        if isinstance(value, DictConfig):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def misspelt(key: str, numbers: random.Random) -> str:
    place = numbers.randrange(len(key))
    letter = numbers.choice("abcxyz_.0")
    return numbers.choice(
        [key[:place] + key[place + 1 :], key[:place] + letter + key[place:], key[::-1], key.upper(), f"{key}.x"]
    )


def mistake(keys: list[str], groups: list[str], numbers: random.Random) -> str:
    kind = numbers.randrange(8)
    key, value = numbers.choice(keys), numbers.choice(VALUES)
    if kind == 0:
        return numbers.choice(JUNK)
    if kind <= 2:
        return f"{misspelt(key, numbers)}={numbers.choice(['1', value])}"
    if kind == 3:
        return f"{numbers.choice(groups)}={numbers.choice([misspelt('resnet18', numbers), value])}"
    if kind == 4:
        return f"{numbers.choice(['+', '~', '++'])}{numbers.choice([key, misspelt(key, numbers)])}={value}"
    return f"{key}={value}"


def compose_files_once(replace) -> None:
    """Let Hydra read and merge the files of each choice of groups once; it applies all other overrides at every call.

    `replace` is called with an object, an attribute's name, and its new value. Composing takes four fifths of a try.
    """
    lists, merge, known, merged = (
        loader.create_defaults_list,
        loader.ConfigLoaderImpl._compose_config_from_defaults_list,
        {},
        {},
    )

    def create(repo, config_name, overrides_list, **how):
        asked = Overrides(repo, overrides_list)
        key = config_name, repr((asked.override_choices, asked.append_group_defaults, asked.deletions))
        if key not in known:
            known[key] = lists(repo, config_name, overrides_list, **how)
        found = known[key]
        return DefaultsList(found.defaults, found.defaults_tree, asked.config_overrides, found.overrides)

    def compose_from(self, defaults, repo):
        if id(defaults) not in merged:  # `known` keeps the lists, so that an id stays its list's own
            merged[id(defaults)] = merge(self, defaults, repo)
        return copy.deepcopy(merged[id(defaults)])

    replace(loader, "create_defaults_list", create)
    replace(loader.ConfigLoaderImpl, "_compose_config_from_defaults_list", compose_from)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_random_mistakes(monkeypatch, capsys, tmp_path, seed):
    numbers = random.Random(seed)
    base = BASES[seed]
    keys = list(leaves(compose(base)))
    groups = sorted(path.name for path in CONFIGS.iterdir() if path.is_dir()) + ["model/head", "model/frontend"]
    compose_files_once(monkeypatch.setattr)
    monkeypatch.setattr(training, "_train", lambda *_: None)  # what is no mistake after all is not trained
    refused, odd, tried = 0, [], set()
    while refused < CASES // 5:
        override = mistake(keys, groups, numbers)
        if override in tried:
            continue
        tried.add(override)
        overrides = [*base, f"run.root={tmp_path / 'runs'}", override]
        code = guarded(lambda given=overrides: training.run(compose(given)), overrides=overrides)
        said = capsys.readouterr().err
        if code == 0:
            continue
        refused += 1
        if code != 2 or said.count("\n") != 1 or not said.startswith("error: "):
            odd.append((override, code, said[-600:]))
    assert not odd, odd
    assert not [*tmp_path.rglob("*.pt")]
