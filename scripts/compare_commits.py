"""Compare what two versions of the code train, bit for bit: a change of structure must change no weight and no record.

    python scripts/compare_commits.py HEAD~3                 a commit against the working tree: both run every recipe
    python scripts/compare_commits.py HEAD~3 --write a.json  the commit alone; its fingerprint goes to a file
    python scripts/compare_commits.py a.json                 such a file against the working tree
    python scripts/compare_commits.py HEAD --only mixup,disk some recipes

Each side runs the same small recipes (`RECIPES`, some seconds each) on one thread, from its own files. Compared are the weights,
the averages, the optimizer's state and the random generators of last.pt, the best weights, the records of metrics.jsonl, the
results in summary.json, and the tables of the analyses; times and speeds are left out. The bits depend on the machine and on the
version of torch, so both sides belong on one machine. The exit code is 1 where anything differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]

_FEW = """
    data.subset.n=120 data.validation=60 trainer.batch_size=40 trainer.duration='8 steps' trainer.device=cpu optimizer.lr=0.02
    trainer.log_every='2 steps' trainer.evaluate_every='3 steps' trainer.checkpoint_every='4 steps' analysis=none
    trainer.tensorboard=false trainer.progress=none model.frontend.J=2 model.frontend.max_order=1
"""
_MEASURED = "analysis.images=60 analysis.pair_images=20 analysis.pairs=40 analysis.neighbours=5 analysis.figures=never"

# name -> what comes on top of _FEW; {photos} is a folder of generated images
RECIPES = {
    "resnet": "model=scat_resnet augmentation=crop trainer.label_smoothing=0.1 schedule.warmup='2 steps'",
    "mixup": "model=scat_mlp augmentation=mixup trainer.ema=0.9 model.head.dropout=0.5",
    "cutmix": """model=scat_cnn model.head.widths=[[8]] augmentation=cutmix trainer.accumulation=2 schedule=step
        trainer.clip_norm=0.5""",
    "cycle": "model=scat_mlp optimizer=adamw optimizer.lr=0.001 schedule=one_cycle trainer.precision=bf16",
    "memory": """model=scat_cnn model.head.widths=[[8]] model/normalization=statistics augmentation=none augmentation.flip=0.5
        trainer.feature_cache=memory trainer.max_evaluation_batches=1""",
    "disk": "model=scat_linear model/normalization=statistics augmentation=none trainer.feature_cache=disk",
    "best": """model=scat_linear trainer.keep_best=3 trainer.test_weights=best trainer.evaluate_every='1 step'
        trainer.drop_last=true data.normalize=contrast""",
    "overfit": "model=scat_linear debug=overfit trainer.duration='10 steps' trainer.log_every='2 steps'",
    "light": f"model=scat_mlp analysis=light analysis.every='3 steps' {_MEASURED}",
    "full": f"model=scat_linear debug=fast analysis=full {_MEASURED}",
    "photos": """data=folder data.root={photos} data.size=32 data.resize=36 data.num_workers=0 data.subset.n=null
        data.validation=8 trainer.batch_size=16 model=scat_linear augmentation=random_resized_crop
        augmentation.policy=trivialaugment trainer.max_train_steps_per_epoch=2""",
    "pixels": """model=scat_cnn model.head.widths=[[8]] ~model.frontend.J ~model.frontend.max_order model/frontend=identity
        seed=7 optimizer.decay=weights schedule=constant schedule.warmup=50%""",
}
_FORMER = ("averages_begin", "trainer.averages_begin=initial")  # the only way of commits that do not know the setting
_SVM = "data=digits data.size=16 data.subset.n=100 model.frontend.J=1 device=cpu"  # a command of its own

# What each side does in a process of its own. The names in it are those that both sides must have.
_DRIVER = """
import importlib, json, pathlib, sys, time, warnings
from hybrid.configuration.composition import compose
warnings.simplefilter("ignore")
for name, programs, config_names, overrides in json.loads(sys.argv[1]):
    began = time.monotonic()
    program = next(each for each in programs if pathlib.Path(each.replace(".", "/") + ".py").exists())
    config_name = next(each for each in config_names if pathlib.Path("configs", each + ".yaml").exists())
    importlib.import_module(program).run(compose(overrides, config_name=config_name))
    print(f"{name}: {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
"""


def main() -> None:
    """Run one side or both, print a line for each recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference", help="a commit, or a file that --write has made")
    parser.add_argument("--write", type=Path, metavar="FILE", help="run the reference alone and write its fingerprint")
    parser.add_argument("--only", default="", metavar="NAMES", help="some recipes, separated by commas")
    options = parser.parse_args()
    names = options.only.split(",") if options.only else [*RECIPES, "svm"]
    if unknown := set(names) - {*RECIPES, "svm"}:
        parser.error(f"unknown recipe: {', '.join(sorted(unknown))}. Valid: {', '.join([*RECIPES, 'svm'])}")
    if Path(options.reference).is_file():
        reference = json.loads(Path(options.reference).read_text())
    else:
        reference = fingerprints_of_commit(options.reference, names)
    if options.write is not None:
        options.write.write_text(json.dumps(reference, indent=1))
        return
    found = fingerprints(ROOT, names)
    differences = {name: compare(reference.get(name, {}), found[name]) for name in names}
    for name, different in differences.items():
        print(f"{name:10} {'differs: ' + ', '.join(different) if different else f'{len(found[name])} parts are equal'}")
    sys.exit(any(differences.values()))


def fingerprints_of_commit(commit: str, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """The fingerprints of the recipes, run by the code of a commit of this repository."""
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(["git", "-C", ROOT, "archive", commit], check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
        return fingerprints(Path(folder), names)


def fingerprints(checkout: Path, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Recipe -> part of what it left -> a hash of it, run by the code of a checkout."""
    with tempfile.TemporaryDirectory() as folder:
        photos, runs = Path(folder) / "photos", Path(folder) / "runs"
        draw_photos(photos)
        tasks = [_task(name, photos, runs) for name in names]
        if any(_FORMER[0] in path.read_text() for path in (checkout / "configs").rglob("*.yaml")):
            tasks = [(*task[:3], [*task[3], _FORMER[1]] if task[0] != "svm" else task[3]) for task in tasks]
        environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", _DRIVER, json.dumps(tasks)]
        if subprocess.run(command, cwd=checkout, env=environment, stdout=subprocess.DEVNULL).returncode:
            sys.exit("a recipe failed: nothing is compared.")
        return {name: fingerprint(runs / name) for name in names}


def _task(name: str, photos: Path, runs: Path) -> tuple[str, list[str], list[str], list[str]]:
    place = [f"run.root={runs}", f"run.name={name}"]
    if name == "svm":
        return name, ["hybrid.classification.run", "hybrid.svm.run"], ["svm", "fit_svm"], [*shlex.split(_SVM), *place]
    recipe = shlex.split(RECIPES[name].format(photos=photos))
    dropped = {text[1:] for text in recipe if text.startswith("~")}
    few = [text for text in shlex.split(_FEW) if text.split("=")[0] not in dropped]
    return name, ["hybrid.training.run"], ["train"], [*few, *(text for text in recipe if text[0] != "~"), *place]


def draw_photos(folder: Path) -> None:
    """48 training and 16 test images of two classes, drawn by a fixed seed."""
    from PIL import Image

    random = torch.Generator().manual_seed(0)
    for number in range(64):
        place = folder / ("train" if number < 48 else "val") / f"class{number % 2}"
        place.mkdir(parents=True, exist_ok=True)
        pixels = torch.randint(0, 256, (40, 48, 3), generator=random, dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).save(place / f"{number:02d}.png")


def fingerprint(folder: Path) -> dict[str, str]:
    """Part of what a run has left in its folder -> a hash of it. Times, speeds and places are left out."""
    parts: dict[str, Any] = {"summary": _timeless(json.loads((folder / "summary.json").read_text()))}
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        record = {key: value for key, value in json.loads(line).items() if not key.startswith("speed/")}
        parts.setdefault(f"records of step {record['step']}", []).append(record)
    for path in sorted((folder / "checkpoints").glob("*.pt")):
        content = torch.load(path, weights_only=True)
        # of Python's own generator some package draws when it is imported; nothing of a run is drawn from it
        content["generators"] = [[each["torch"], each["numpy"]] for each in content.get("generators", [])]
        for part in ("model", "ema", "optimizer", "meter", "generators", "kept", "latest", "step", "images"):
            if part in content:
                parts[f"{path.name} {part}"] = content[part]
    for path in sorted((folder / "analysis").glob("*.csv")):
        parts[f"analysis {path.name}"] = path.read_text()
    return {name: hashlib.sha256("".join(_told(part)).encode()).hexdigest()[:16] for name, part in parts.items()}


def _timeless(summary: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in summary.items() if key not in ("seconds", "images_per_second", "kind")}


def _told(node: Any) -> Iterator[str]:
    """Everything in a nest of dictionaries, lists and tensors, in a fixed order; of tensors the type, shape and bits."""
    if isinstance(node, Mapping):
        for key in sorted(node, key=str):
            yield f"{key}:"
            yield from _told(node[key])
    elif isinstance(node, (list, tuple)):
        for each in node:
            yield from _told(each)
            yield ","
    elif isinstance(node, torch.Tensor):
        bits = node.contiguous().view(-1).view(torch.uint8) if node.numel() else node.new_empty(0, dtype=torch.uint8)
        yield f"{node.dtype} {tuple(node.shape)} {hashlib.sha256(bits.numpy().tobytes()).hexdigest()};"
    else:
        yield f"{node!r};"


def compare(reference: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """The names of the parts that are not equal, or that one side alone has."""
    return sorted(name for name in reference.keys() | found.keys() if reference.get(name) != found.get(name))


if __name__ == "__main__":
    main()
