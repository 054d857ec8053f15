"""Names of classes that are a formula to matplotlib, or no UTF-8: a run trains, is evaluated, drawn and reported."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from hybrid.configuration.combinations import expand

CLASSES = [b"$5_$10", b"$10_$20", b"caf\xe9"]


@pytest.mark.skipif(os.name != "posix", reason="names of files are bytes on Linux")
def test_a_run_of_classes_with_odd_names(train, tmp_path, call):
    for part in (b"train", b"val"):
        for number, name in enumerate(CLASSES):
            folder = os.path.join(os.fsencode(tmp_path / "$photos_$"), part, name)
            os.makedirs(folder)
            for n in range(4):
                pixels = np.random.RandomState(10 * number + n).randint(0, 256, (32, 32, 3)).astype(np.uint8)
                with open(os.path.join(folder, b"%d.png" % n), "wb") as file:
                    Image.fromarray(pixels).save(file, "png")
    folder = train(
        "data=folder", f"data.root='{tmp_path / '$photos_$'}'", "data.size=32", "data.resize=32", "data.subset.n=null",
        "augmentation=none",
        "data.validation=0.25", "data.normalize=none", "trainer.batch_size=4", "trainer.duration=2 steps",
        "trainer.evaluate_every=1 steps",
        "trainer.tensorboard=true", "data.num_workers=0",
    )  # fmt: skip
    assert folder.finished and sorted(folder.read_class_names()) == sorted(map(os.fsdecode, CLASSES))
    code, said, errors = call("evaluate", f"run={folder.path}", f"confusion={tmp_path / 'matrix.png'}")
    assert code == 0 and "$5_$10" in said and "caf\\udce9" in said, errors
    drawn = [f"curves={tmp_path / 'curves.svg'}", f"html={tmp_path / 'page.html'}", "by=[data.root]"]
    code, _, errors = call("report", f"runs={folder.path}", *drawn)
    assert code == 0 and (tmp_path / "curves.svg").is_file() and (tmp_path / "page.html").is_file(), errors


def test_glob_of_a_group_is_its_options():
    assert ("model=scat_linear",) in expand(["model=glob(scat_l*)"])
    assert all(text.startswith("model=scat_l") for (text,) in expand(["model=glob(scat_l*)"]))
