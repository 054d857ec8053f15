"""Run folders as training leaves them, without training; and the command, in this process."""

from __future__ import annotations

import importlib.util
import json
import sys
import warnings

import pytest
from omegaconf import OmegaConf

from hybrid.configuration.composition import compose


@pytest.fixture(scope="session")
def composed():
    """composed("model=scat_linear", …): the configuration, composed once per session."""
    known = {}

    def do(*overrides: str):
        if overrides not in known:
            known[overrides] = compose(list(overrides))
        return known[overrides].copy()

    return do


@pytest.fixture
def write_run(tmp_path, composed):
    """write_run("a", "optimizer.lr=0.2", seed=1, top1=97.5) writes runs/a; without top1 the run is unfinished."""

    def do(name: str, *overrides: str, seed: int = 0, top1: float | None = None, validation=(50.0, 80.0), **more):
        folder = tmp_path / "runs" / name
        (folder / "checkpoints").mkdir(parents=True)
        cfg = composed(*(override for override in overrides if "." not in override.split("=")[0]))
        cfg.seed = seed
        cfg.merge_with_dotlist([override for override in overrides if "." in override.split("=")[0]])
        (folder / "config.yaml").write_text(OmegaConf.to_yaml(cfg, resolve=True))
        records = [
            {"step": 10 * k, "epoch": float(k), "validation/top1": value} for k, value in enumerate(validation, start=1)
        ]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
        if top1 is not None:
            summary = {"model": cfg.choices.model, "data": "digits", "seed": seed, "test": {"loss": 0.5, "top1": top1}}
            summary |= {"validation": {"final": None, "best": {"step": 20, "top1": 80.0}}, "parameters": 1234}
            summary |= {
                "seconds": 10.0 + seed,
                "images_per_second": 100.0,
                "device": "cpu",
                "precision": "fp32",
                **more,
            }
            (folder / "summary.json").write_text(json.dumps(summary))
        return folder

    return do


@pytest.fixture
def report(root, tmp_path, monkeypatch, capsys):
    """report("format=csv", …) runs scripts/report.py on the runs of this test: (exit code, stdout, stderr)."""

    def do(*arguments: str) -> tuple[int, str, str]:
        path = root / "scripts" / "report.py"
        spec = importlib.util.spec_from_file_location("scripts_report", path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        given = any(argument.startswith("runs=") for argument in arguments)
        monkeypatch.setattr(sys, "argv", [str(path), *arguments, *([] if given else [f"runs={tmp_path / 'runs'}"])])
        monkeypatch.setattr(sys, "path", [*sys.path])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_, warnings.catch_warnings():
            warnings.simplefilter("always")  # here they are part of the answer
            module.report()
        captured = capsys.readouterr()
        return exit_.value.code, captured.out, captured.err

    return do
