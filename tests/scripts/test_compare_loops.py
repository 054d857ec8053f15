"""scripts/compare_loops.py trains by both loops, and says whether they learn the same."""

from __future__ import annotations

import json
from collections import Counter

import pytest


def test_both_loops_learn_and_are_compared(call, small_cifar10, tmp_path):
    pytest.importorskip("kymatio")
    path = tmp_path / "loops.json"
    small = "model=scat_linear,model.frontend.max_order=1,trainer.batch_size=20"
    settings = f"settings=[{small},\"trainer.duration='12 epochs'\",optimizer.lr=0.01]"
    arguments = ["seeds=2", "threads=1", f"data_root={small_cifar10}", settings, f"json={path}"]
    code, said, error = call("compare_loops", *arguments, "set=[trainer.channels_last=false]")
    assert code == 0, error
    content = json.loads(path.read_text())
    assert Counter(row["side"] for row in content["rows"]) == {"plain": 2, "ours": 2, "set": 2}
    assert all(row["accuracy"] > 30 for row in content["rows"])  # chance is 10
    for side in ("ours", "set"):
        plain, found = content["summary"]["plain"], content["summary"][side]
        assert found["difference"] == pytest.approx(found["mean"] - plain["mean"])
        assert found["standard_error"] ** 2 == pytest.approx((plain["std"] ** 2 + found["std"] ** 2) / 2)
        assert 0 <= found["p"] <= 1
    assert "from plain" in said and "times as fast" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["seeds=1"], "seeds=1 is not valid: it must be at least 2"),
        (["device=cuda"], "no GPU"),
        (["settings=[augmentation.cutout=8]"], "augmentation cannot be changed here"),
        (["settings=[model=scat_lin]"], "scat_linear"),
    ],
)
def test_mistakes_are_one_line(call, small_cifar10, arguments, message, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    code, _, error = call("compare_loops", f"data_root={small_cifar10}", *arguments)
    assert code == 2 and error.count("error:") == 1 and message in error
