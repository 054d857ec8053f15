"""scripts/verify_scattering.py: one table, one record, one figure that say the same; a broken bound is an exit code."""

from __future__ import annotations

import json

import pytest

TINY = {"images": "3", "J": "[2,1]", "L": "4"}


@pytest.fixture
def verified(call, tmp_path):
    def do(*arguments):
        settings = TINY | dict(argument.split("=") for argument in arguments) | {"out": tmp_path / "folder" / "check"}
        code, out, err = call("verify_scattering", *(f"{name}={value}" for name, value in settings.items()))
        return code, out, err, tmp_path / "folder"

    return do


def test_table_record_and_figure(verified):
    code, out, err, folder = verified()
    assert (code, err) == (0, "")
    assert sorted(path.name for path in folder.iterdir()) == [f"check.{end}" for end in ("json", "md", "png", "svg")]
    record = json.loads((folder / "check.json").read_text())
    assert [row["J"] for row in record["scales"]] == [1, 2] and [row["padded"] for row in record["scales"]] == [
        [36, 36],
        [40, 40],
    ]
    for row in record["scales"]:
        assert row["expansion"]["S"][2] <= max(1, row["A"]["max"]) ** 1.5
        assert sum(row["energies"].values()) == pytest.approx(1)
    lines = (folder / "check.md").read_text().splitlines()
    assert all(line in out for line in lines if line.startswith("|"))
    assert f"{record['scales'][1]['expansion']['S'][2]:.3f}" in lines[3] and lines[3].startswith("| 2 |")
    assert (
        len(record["constants"]["wave packets"]["frequencies"]) == 9
        and len(record["constants"]["images"]["frequencies"]) == 3
    )
    assert record["verdicts"][0].startswith("holds: ‖Wx") and "VIOLATED" not in out
    assert record["options"]["seed"] == 0 and "commit" in record["environment"]


def test_a_broken_bound_ends_with_an_error(verified, monkeypatch):
    import verification.scattering_checks as checks

    honest = checks.Propagation.expansion
    monkeypatch.setattr(checks.Propagation, "expansion", lambda self: tuple(2 * part for part in honest(self)))
    monkeypatch.setattr("hybrid.reports.style.save_figure", lambda figure, path: [])
    code, out, _, folder = verified("images=2")
    assert code == 1 and out.count("VIOLATED") == 2 and (folder / "check.json").is_file()


@pytest.mark.slow
def test_real_images(verified, real_data):
    if not (real_data / "cifar-10-batches-py").is_dir():
        pytest.skip("needs CIFAR-10 in $HYBRID_DATA")
    code, out, _, folder = verified("data=cifar10", f"data_root={real_data}")
    assert code == 0 and "3 images of 32x32 pixels, cifar10" in out
    row = json.loads((folder / "check.json").read_text())["scales"][1]
    assert row["energies"]["S1"] > 5 * row["energies"]["S2"] > 0


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("images=1", "images must be at least 2"),
        ("gradient=1", "gradient=1.0 is not valid"),
        ("dilation=0", "dilation=0.0 is not valid"),
        ("data=cifar", "cifar"),
        ("J=[6]", "J=6 does not fit images of 32x32"),
        ("L=0", "number of angles"),
        ("scales=[1]", "Valid: J, L, data"),
    ],
)
def test_mistakes_are_one_line(call, argument, message, tmp_path):
    code, _, err = call("verify_scattering", argument, f"out={tmp_path / 'check'}")
    assert code == 2 and err.count("\n") == 1 and message in err
    assert not list(tmp_path.iterdir())


def test_scales_are_checked(call, tmp_path):
    for scales in ("[]", "[0]", "[2,2]"):
        assert call("verify_scattering", f"J={scales}", f"out={tmp_path / 'check'}")[0] == 2
