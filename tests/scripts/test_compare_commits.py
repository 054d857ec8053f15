"""scripts/compare_commits.py: what of a run counts, and that two runs of one commit leave the same bits."""

from __future__ import annotations

import json
import subprocess

import compare_commits
import pytest


@pytest.fixture
def commit(root):
    """The present commit; tests that need it skip where the checkout has no history."""
    found = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True)
    if found.returncode:
        pytest.skip("needs git and the history of this checkout")
    return found.stdout.strip()


def test_a_run_and_its_repetition_have_one_fingerprint_and_another_seed_has_another(train):
    one, again, other = (train(*extra) for extra in (["run.name=a"], ["run.name=b"], ["run.name=c", "seed=1"]))
    expected = compare_commits.fingerprint(one.path)
    assert compare_commits.compare(expected, compare_commits.fingerprint(again.path)) == []
    different = compare_commits.compare(expected, compare_commits.fingerprint(other.path))
    assert {"summary", "last.pt model", "last.pt optimizer", "records of step 2", "best.pt model"} <= set(different)


def test_times_do_not_count_and_every_logged_number_does(train):
    folder = train()
    before, text = compare_commits.fingerprint(folder.path), folder.metrics.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    lines[0]["speed/seconds"] += 1
    folder.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert compare_commits.fingerprint(folder.path) == before
    lines[0]["train/loss"] += 1e-12
    folder.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert compare_commits.compare(before, compare_commits.fingerprint(folder.path)) == ["records of step 2"]


def test_there_are_ten_recipes_and_more_and_each_composes(composed, tmp_path):
    assert len(compare_commits.RECIPES) >= 10
    for name in compare_commits.RECIPES:
        *_, overrides = compare_commits._task(name, tmp_path, tmp_path)
        assert composed(*overrides).run.name == name


@pytest.mark.slow  # two processes that import torch and train
def test_a_commit_repeats_itself(commit, tmp_path):
    one, again = (compare_commits.fingerprints_of_commit(commit, ["mixup", "svm"]) for _ in range(2))
    assert one == again and len(one["mixup"]) > 20 and len(one["svm"]) == 2
