"""Measure what it takes to know the files of a data set as large as ImageNet: time and memory of a process and its workers.

    python scripts/measure_index.py
    python scripts/measure_index.py before=COMMIT                # that commit and the working tree, one after the other
    python scripts/measure_index.py train=100000 test=5000 classes=100 workers=4

It fills a temporary folder with hard links to one small JPEG a class (1,331,000 links take a minute, some 100 MB and 2,001
inodes) and removes it at the end. Two processes of each tree then load the data set: the second one finds what the first one
has kept, if anything. Times are those of the splits (wall and processor, s), and of the digest by which ranks are compared. The
disk's cache is warm. Memory in MiB is from /proc/self/smaps_rollup. `process` is what would be free if the process ended (USS),
less what it had after the imports; a file that it maps alone counts as well. `worker` is the same of a worker, how much
more than at its fork, after it has touched the entry of every image. `together` is what the process and its workers take then,
each with its part of what they share, beyond what the process had after the imports.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from hybrid.configuration.arguments import check_at_least, command, option

_ROOT = Path(__file__).resolve().parents[1]
# Each process is its own; the names in it are those that both trees must have.
_PROCESS = """
import gc, json, os, sys, time
import hybrid, hybrid.data.file_loader
from hybrid.training.agreement import _digest_of_images
root, workers = sys.argv[1], int(sys.argv[2])

def memory():
    lines = [line.split() for line in open("/proc/self/smaps_rollup")][1:]
    sizes = {line[0]: int(line[1]) / 1024 for line in lines}
    return sizes["Private_Clean:"] + sizes["Private_Dirty:"], sizes["Pss:"]

start, wall, processor = memory(), time.perf_counter(), time.process_time()
data = hybrid.load_data("imagenet", root=root, validation=0)
split = data.splits["train"]
result = {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor, "images": len(split)}
processor = time.process_time()
result["digest"] = [_digest_of_images(each) for each in data.splits.values()][0]
result["digest_seconds"] = time.process_time() - processor
loader = data.loader("train", batch_size=256, train=True)
gc.collect()
result["process"] = memory()[0] - start[0]
pipes = []
for worker in range(workers):
    (read, write), (go, gone) = os.pipe(), os.pipe()
    if os.fork() == 0:
        own = memory()[0]
        paths = loader._decoded.paths
        letters = sum(len(str(paths[k])) for k in range(len(paths)))
        os.write(write, b"x")
        os.read(go, 1)
        own, part = memory()[0] - own, memory()[1]
        os.write(write, json.dumps([own, part]).encode())
        os.read(go, 1)
        os._exit(0)
    pipes.append((read, gone))
for read, gone in pipes:
    os.read(read, 1)
found = []
for read, gone in pipes:  # all have touched everything, and all are there
    os.write(gone, b"x")
    found.append(json.loads(os.read(read, 1000)))
result["worker"] = max(own for own, part in found)
result["together"] = memory()[1] - start[1] + sum(part for own, part in found)
for read, gone in pipes:
    os.write(gone, b"x")
print(json.dumps(result))
"""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command line."""

    train: int = option("training images", default=1_281_000)
    test: int = option("test images", default=50_000)
    classes: int = option("folders of each part", default=1000)
    workers: int = option("that touch every entry", default=2)
    before: str | None = option("a commit to compare the working tree with", default=None)
    place: str | None = option("the folder to make the temporary folder in", default=None)

    def __post_init__(self) -> None:
        check_at_least(self, 1, "classes", "workers")
        check_at_least(self, self.classes, "train", "test")


@command(Options)
def measure_index(options: Options) -> None:
    """Make the folder, print a line for each process."""
    with tempfile.TemporaryDirectory(dir=options.place) as folder:
        images = Path(folder, "images")
        fill(images / "train", options.train, options.classes)
        fill(images / "val", options.test, options.classes)
        time.sleep(12)  # nothing is kept of folders that have just changed
        print(
            f"{'':24} {'wall':>7} {'proc.':>7} {'digest':>7} {'process':>8} {'worker':>7} {'together':>9}", flush=True
        )
        if options.before is not None:
            tree = Path(folder, "before")
            subprocess.run(
                ["git", "-C", _ROOT, "worktree", "add", "--quiet", "--detach", tree, options.before], check=True
            )
            try:
                _two_starts("before", tree, images, options.workers)
            finally:
                subprocess.run(["git", "-C", _ROOT, "worktree", "remove", "--force", tree], check=True)
        _two_starts("now", _ROOT, images, options.workers)


def fill(folder: Path, images: int, classes: int) -> None:
    """Make a folder a class, each with its share of the images: links to one small JPEG, named like ImageNet's."""
    for number in range(classes):
        place = folder / f"n{number:08d}"
        place.mkdir(parents=True)
        first = place / f"{place.name}_0.JPEG"
        Image.new("RGB", (32, 32), (number % 256, number // 256, 0)).save(first)
        for k in range(1, (number + 1) * images // classes - number * images // classes):
            os.link(first, place / f"{place.name}_{k}.JPEG")


def _two_starts(name: str, tree: Path, images: Path, workers: int) -> None:
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "PYTHONPATH": str(tree), "HYBRID_CACHE": cache, "OMP_NUM_THREADS": "1"}
        for start in ("first start", "second start"):
            arguments = [sys.executable, "-c", _PROCESS, str(images), str(workers)]
            done = subprocess.run(arguments, env=environment, cwd=cache, check=True, capture_output=True, text=True)
            found = json.loads(done.stdout.splitlines()[-1])
            print(
                f"{name + ', ' + start:24} {found['wall']:7.2f} {found['processor']:7.2f} {found['digest_seconds']:7.2f} "
                f"{found['process']:8.1f} {found['worker']:7.1f} {found['together']:9.1f}",
                flush=True,
            )
        kept = sum(path.stat().st_size for path in Path(cache).glob("*.index")) / 2**20
        print(f"{'':24} {kept:.1f} MiB are kept on the disk", flush=True)


if __name__ == "__main__":
    measure_index()
