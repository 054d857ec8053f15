"""The key is a file of the user's alone, and what another key has signed is not his."""

from __future__ import annotations

import os
import warnings

import pytest

from hybrid.configuration.signature import is_signed, sign, unsigned


@pytest.fixture(autouse=True)
def key(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("HYBRID_SIGNATURE_KEY", "")
    return tmp_path / "hybrid" / "key"


def test_a_signature_is_the_last_line(key):
    assert not is_signed("a: 1\n") and not key.exists()
    signed = sign("a: 1\n")
    assert is_signed(signed) and signed.startswith("a: 1\n# hybrid-signature ") and signed.count("\n") == 2
    assert sign(signed) == signed and unsigned(signed) == "a: 1\n"
    assert key.stat().st_mode & 0o777 == 0o600 and [path.name for path in key.parent.iterdir()] == ["key"]
    assert (
        not is_signed(signed.replace("1", "2", 1)) and not is_signed(signed + "\n") and not is_signed("b: 1\n" + signed)
    )
    key.unlink()
    assert not is_signed(signed)  # of another machine
    assert not is_signed(sign("x: 1\n").replace("x", "y", 1))


@pytest.mark.parametrize("fault", ["mode", "link", "short", "folder", "fifo"])
def test_a_key_that_others_may_know_is_not_used(key, fault, tmp_path):
    signed = sign("a: 1\n")
    content = key.read_bytes()
    key.unlink()
    if fault == "folder":
        key.mkdir()
    elif fault == "fifo":
        os.mkfifo(key)
    elif fault == "link":
        (tmp_path / "other").write_bytes(content)
        key.symlink_to(tmp_path / "other")
    else:
        key.write_bytes(content if fault == "mode" else b"")
        key.chmod(0o644 if fault == "mode" else 0o600)
    with pytest.warns(UserWarning, match="key is not used, so that your runs bear no signature"):
        assert not is_signed(signed) and sign("a: 1\n") == "a: 1\n"


def test_where_no_key_can_be_kept_only_processes_that_this_one_starts_know_it(key):
    key.parent.touch()  # no folder
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        signed = sign("a: 1\n")
    assert is_signed(signed) and os.environ["HYBRID_SIGNATURE_KEY"]
    os.environ["HYBRID_SIGNATURE_KEY"] = ""
    with pytest.warns(UserWarning, match="not used"):
        assert not is_signed(signed)
