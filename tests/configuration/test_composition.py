"""Composing a configuration disturbs no Hydra app that calls hybrid."""

from __future__ import annotations

import os
import subprocess
import sys

_APP = """
import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.version import VersionBase
from omegaconf import OmegaConf

import hybrid

OmegaConf.register_new_resolver("now", lambda text: "my time", replace=True)


@hydra.main(version_base="1.2", config_path="conf", config_name="app")
def app(cfg):
    OmegaConf.register_new_resolver("now", lambda text: "my time", replace=True)
    before = GlobalHydra.instance().hydra, HydraConfig.get(), VersionBase.instance().getbase()
    model = hybrid.build_model("scat_linear", image_shape=(1, 8, 8), num_classes=cfg.classes)
    assert model.num_classes == 3
    after = GlobalHydra.instance().hydra, HydraConfig.get(), VersionBase.instance().getbase()
    assert all(now is then for now, then in zip(after, before))
    assert cfg.time == "my time" and HydraConfig.get().job.name == "app"
    assert hydra.compose("app", overrides=["part=b"]).part.name == "b"  # of the app, without hybrid's folders
    assert "mine" not in GlobalHydra.instance().hydra.config_loader.get_group_options("part")


app()
hydra.initialize(config_path="conf", version_base="1.3")
hybrid.build_model("scat_linear", image_shape=(1, 8, 8), num_classes=3)
assert hydra.compose("app").classes == 3
"""


def test_a_hydra_app_may_build_a_model_of_ours(root, tmp_path):
    (tmp_path / "app.py").write_text(_APP)
    files = {
        "conf/app.yaml": "defaults: [{part: a}]\nclasses: 3\ntime: ${now:x}\n",
        "conf/part/a.yaml": "name: a\n",
        "conf/part/b.yaml": "name: b\n",
        "configs/part/mine.yaml": "name: mine\n",
        "hybrid.yaml": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "app.py"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
