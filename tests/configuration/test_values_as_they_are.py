"""A value is what follows the first "=", and names may hold any bytes and letters."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hybrid.configuration.composition import compose, composed
from hybrid.configuration.entry import guarded
from hybrid.configuration.hydra_arguments import taken_as_they_are
from hybrid.configuration.resolvers import folder
from hybrid.data.images import ImageReader
from hybrid.errors import UserError
from hybrid.runs.sweeps import slurm
from hybrid.runs.sweeps.settings import SlurmSettings
from hybrid.training.run import usual_dtype
from hybrid.training.settings import with_absolute_root


def test_values_with_a_second_equals_sign_or_a_tilde_are_taken_as_they_are(monkeypatch, tmp_path):
    cfg = compose(["run.init_from=a/epoch=3-step=100.ckpt", "data=folder", "data.root=~/photos"])
    assert cfg.run.init_from == "a/epoch=3-step=100.ckpt"
    assert cfg.data.root == "~/photos"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert with_absolute_root(cfg).data.root == str(tmp_path / "photos")
    left = ["a=1,2", "a='x=y'", "a=[b=c]", "~model", "-m", "a=${b}", "seed=3", "=3", "++=1", "a=="]
    assert taken_as_they_are(left) == left


def test_a_tilde_in_the_environment_is_the_users_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HYBRID_OUTPUTS", "~/outs")
    assert folder("HYBRID_OUTPUTS", "outputs") == str(tmp_path / "outs")


def test_null_for_a_group_is_one_line():
    with pytest.raises(UserError, match="a group has the value null; leave it out"):
        composed(["debug=null"])


def test_a_name_that_is_no_utf8_is_printed(capsys):
    assert guarded(lambda: print(os.fsdecode(b"caf\xe9"))) == 0
    assert capsys.readouterr().out == "caf\\udce9\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
def test_a_full_disk_under_the_output_is_one_line():
    program = "from hybrid.configuration.entry import guarded; import sys; sys.exit(guarded(lambda: print('x' * 9)))"
    with open("/dev/full", "w") as full:
        ended = subprocess.run([sys.executable, "-c", program], stdout=full, stderr=subprocess.PIPE, text=True)
    assert ended.returncode == 2
    assert ended.stderr == f"error: the output cannot be written: {os.strerror(errno.ENOSPC)}\n"


def test_the_callers_default_type_is_no_setting_of_a_run():
    torch.set_default_dtype(torch.float64)
    try:
        with usual_dtype():
            assert torch.zeros(1).dtype == torch.float32
        assert torch.zeros(1).dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


SLURM = dict(
    where="slurm", name=None, nodes=1, gpus=0, processes=None, cpus=1, memory=1.0, time="1:00:00", partition=None, account=None,
    qos=None, parallel=1, warning=60, requeues=1, setup=[], extra={}, wait=True,
)  # fmt: skip


@pytest.mark.parametrize(
    "changed", [{"partition": "a\nrm -rf x"}, {"extra": {"constraint": "a\nb"}}, {"extra": {"a b": 1}}]
)
def test_no_setting_begins_a_line_of_a_slurm_script(changed):
    assert SlurmSettings(**SLURM)
    with pytest.raises(UserError, match="it must be one line"):
        SlurmSettings(**{**SLURM, **changed})


def test_a_folder_of_any_name_is_exported_as_it_is(monkeypatch):
    monkeypatch.setattr(slurm, "import_path", lambda: ["/a $(touch owned) 'b'"])
    script = "\n".join([*slurm._variables(), 'printf %s "$PYTHONPATH"'])
    environment = {**os.environ, "PYTHONPATH": "/c"}
    said = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True).stdout
    assert said == "/a $(touch owned) 'b':/c"


def test_an_image_of_too_many_pixels_names_the_limit(tmp_path, monkeypatch):
    from PIL import Image

    Image.new("L", (2000, 1500)).save(tmp_path / "large.png")
    reader = ImageReader(channels=1, size=(8, 8), resize=(8, 8))
    assert reader.open(tmp_path / "large.png").shape == (1, 8, 8)
    monkeypatch.setenv("HYBRID_MAX_MEGAPIXELS", "2")
    with pytest.raises(UserError, match=r"3 million pixels is above the limit of 2\. HYBRID_MAX_MEGAPIXELS=1000"):
        reader.open(tmp_path / "large.png")
    monkeypatch.setenv("HYBRID_MAX_MEGAPIXELS", "many")
    with pytest.raises(UserError, match="is no whole number of megapixels"):
        reader.open(tmp_path / "large.png")
