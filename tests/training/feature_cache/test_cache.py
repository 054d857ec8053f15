"""A run with the features of a fixed front-end computed once is the run without; and what cannot be is refused."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from fixtures.training import power_cut
from omegaconf import OmegaConf
from PIL import Image
from torch import nn

from hybrid.errors import UserError
from hybrid.models.frontends import Scattering
from hybrid.runs import RunFolder
from hybrid.runs.jsonl import read_metrics
from hybrid.training import checkpoint
from hybrid.training.feature_cache import cache as feature_cache
from hybrid.training.feature_cache.cache import CachePlan
from hybrid.training.run import run

STILL = ["augmentation=none", "trainer.max_evaluation_batches=null", "trainer.duration=8 steps", "model.frontend.L=2"]
FLIPS = [*STILL, "augmentation.flip=0.5"]
CNN = ["model=scat_cnn", "model.head.widths=[[4]]"]
MLP = ["model=scat_mlp", "model.head.hidden=[8]", "model.head.dropout=0.5", "trainer.ema=0.9"]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def files(tmp_path):
    """The names of the cached files."""
    return lambda: sorted(path.name for path in (tmp_path / "cache").glob("features-*.npy"))


@pytest.fixture
def passes(monkeypatch):
    """Images that front-ends were given, batch by batch."""
    sizes, original = [], Scattering.forward

    def forward(self, images):
        sizes.append(len(images))
        return original(self, images)

    monkeypatch.setattr(Scattering, "forward", forward)
    return sizes


def story(folder):
    """Everything that was logged, but for the times; and everything that was learned."""
    records = [{k: v for k, v in r.items() if not k.startswith("speed/")} for r in read_metrics(folder.metrics)]
    content = checkpoint.load(folder.checkpoints / "last.pt")
    return records, {
        **content["model"],
        **{f"ema.{k}": v for k, v in (content["ema"] or {"weights": {}})["weights"].items()},
    }


def compare(one, other, tolerance=1e-5):
    for expected, got in zip(story(one)[0], story(other)[0], strict=True):
        assert got == pytest.approx(expected, rel=tolerance)
    weights, others = story(one)[1], story(other)[1]
    assert weights.keys() == others.keys()
    for name, value in weights.items():
        torch.testing.assert_close(
            others[name], value, rtol=tolerance, atol=tolerance, msg=lambda text, n=name: f"{n}: {text}"
        )


@pytest.mark.parametrize(
    ("mode", "overrides"),
    [
        ("memory", STILL),
        ("disk", STILL),
        ("disk", FLIPS),
        ("memory", [*FLIPS, "trainer.precision=bf16"]),
        (
            "memory",
            [
                *FLIPS,
                "model=scat_cnn",
                "model.head.widths=[[4]]",
                "model/normalization=statistics",
                "trainer.drop_last=true",
            ],
        ),
        ("disk", [*FLIPS, *MLP, "trainer.accumulation=2", "model/normalization=statistics"]),
        ("memory", [*FLIPS, "trainer.overfit_batches=2", "data.normalize=contrast"]),
    ],
)
def test_losses_and_weights_are_those_without_it(train, tmp_path, passes, mode, overrides):
    plain = train(*overrides, "trainer.feature_cache=off", root=tmp_path / "off")
    passes.clear()
    cached = train(*overrides, f"trainer.feature_cache={mode}", root=tmp_path / "on")
    compare(plain, cached)
    assert cached.read_summary()["test"]["images"] == 360
    per_image = 2 if overrides is not STILL else 1
    assert sum(passes) == 100 * per_image + 50 + 360, "the front-end ran again"


def test_the_flips_of_the_test_above_do_matter(train, tmp_path):
    one, other = (train(*kind, root=tmp_path / name) for kind, name in ((STILL, "still"), (FLIPS, "flips")))
    assert story(one)[0] != story(other)[0]


RESUMED = {"memory": [*MLP, "model/normalization=statistics"], "disk": []}


@pytest.mark.parametrize("mode", RESUMED)
def test_stopped_at_any_step_and_continued_it_ends_bit_identical(train, tmp_path, mode):
    extra = [*RESUMED[mode], f"trainer.feature_cache={mode}"]
    whole = train(*FLIPS, *extra, root=tmp_path / "whole")
    for crash in (2, 5):
        with pytest.raises(RuntimeError, match="power"):
            train(*FLIPS, *extra, root=tmp_path / f"crash{crash}", callbacks=[power_cut(crash)])
        resumed = train(*FLIPS, *extra, root=tmp_path / f"crash{crash}")
        (records, weights), (again, weights_again) = story(whole), story(resumed)
        assert records == again and all(torch.equal(value, weights_again[name]) for name, value in weights.items())


@pytest.mark.parametrize("mode", ["memory", "disk"])
def test_two_ranks_make_the_run_of_one(tiny, ranks, tmp_path, files, mode):
    keys = [*FLIPS, "model/normalization=statistics", "optimizer.lr=0.001"]
    alone, both = (
        tiny(*keys, root=tmp_path / "alone"),
        tiny(*keys, f"trainer.feature_cache={mode}", root=tmp_path / "both"),
    )
    run(alone)
    group = ranks(2, lambda: run(both))
    group.results()
    compare(RunFolder.of(alone), RunFolder.of(both), tolerance=1e-4)
    assert len(files()) == (3 if mode == "disk" else 0)
    assert RunFolder.of(both).read_summary()["test"]["images"] == 360


def test_auto_keeps_what_pays_and_says_so(train, capsys, passes):
    train(*FLIPS, "trainer.duration=6 epochs", "trainer.progress=lines")
    words = "feature cache: the front-end's output for 100 train, 50 validation and mirrored training images, 0.00 GiB in memory"
    assert words in capsys.readouterr().out
    assert sum(passes) == 2 * 100 + 50 + 360


WITHOUT = [
    [*STILL, "trainer.duration=1 epoch"],
    [*FLIPS, "trainer.duration=2 epochs"],
    ["augmentation=crop", "trainer.duration=6 epochs"],
    [*STILL, "augmentation.mixup=1"],
    [*STILL, "trainer.feature_cache=off"],
]


@pytest.mark.parametrize("overrides", WITHOUT)
def test_without_use_auto_does_nothing_and_says_nothing(train, capsys, overrides):
    train(*overrides, "trainer.progress=lines")
    assert "feature cache" not in capsys.readouterr().out


def test_pixels_need_no_cache(tiny, capsys):
    cfg = tiny(*STILL, "trainer.progress=lines")
    cfg.model.frontend = {"_target_": "hybrid.models.frontends.Identity"}
    run(cfg)
    assert "feature cache" not in capsys.readouterr().out


def test_auto_takes_a_quarter_of_the_free_memory_at_most(train, tmp_path, monkeypatch, passes):
    needed = 4 * (2 * 100 + 50) * 5 * 8 * 8
    for free, cached in ((4 * needed, True), (4 * needed - 1, False), (None, False)):
        monkeypatch.setattr(feature_cache, "free_memory", lambda device, free=free: free)
        passes.clear()
        train(*FLIPS, "trainer.duration=6 epochs", root=tmp_path / str(free))
        assert (sum(passes) == 2 * 100 + 50 + 360) == cached


class Learned(nn.Module):
    """A front-end of a user's, which learns."""

    def __init__(self, image_shape):
        super().__init__()
        self.output_shape, self.fixed = tuple(image_shape), True
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, images):
        return images * self.scale


class Frozen(nn.Module):
    """A front-end with weights that do not learn."""

    fixed = True

    def __init__(self, image_shape):
        super().__init__()
        self.output_shape = (3, 10, 10)
        self.maps = nn.Conv2d(image_shape[0], 3, 5, stride=3).requires_grad_(False)

    def forward(self, images):
        return self.maps(images)


@pytest.mark.parametrize("size", [1, 2])
def test_the_weights_of_a_frozen_frontend_are_those_that_the_run_was_given(tiny, ranks, tmp_path, size):
    def prepared(name, *overrides):
        plain = ["model/normalization=none", "optimizer.lr=0.001"]  # batch norm sees each rank's own images
        cfg = tiny(*FLIPS, *plain, *overrides, root=tmp_path / name)
        cfg.model.frontend = {"_target_": f"{__name__}.Frozen"}
        return cfg

    run(prepared("given"))
    given = ["seed=1", f"run.init_from={RunFolder.of(prepared('given')).path}"]
    plain, cached = (
        prepared("off", *given, "trainer.feature_cache=off"),
        prepared("on", *given, "trainer.feature_cache=memory"),
    )
    run(plain)
    if size == 1:
        with pytest.raises(RuntimeError, match="power"):
            run(cached, callbacks=[power_cut(5)])
    ranks(size, lambda: run(cached)).results()
    compare(RunFolder.of(plain), RunFolder.of(cached), tolerance=1e-4)


REFUSED = {
    "augmentation.pad=2": ("augmentation.pad", 2),
    "augmentation.policy=trivialaugment": ("augmentation.policy", "trivialaugment"),
    "augmentation.cutout=4": ("augmentation.cutout", 4),
    "augmentation.mixup=0.5": ("augmentation.mixup", 0.5),
    "augmentation.cutmix=0.5": ("augmentation.cutmix", 0.5),
    "Identity does not say that its output can be kept": (
        "model.frontend",
        {"_target_": "hybrid.models.frontends.Identity"},
    ),
    "the front-end Learned learns": ("model.frontend", {"_target_": f"{__name__}.Learned"}),
}


@pytest.mark.parametrize("words", REFUSED)
@pytest.mark.parametrize("mode", ["memory", "disk"])
def test_what_cannot_be_is_one_line_and_nothing_is_written(tiny, tmp_path, files, mode, words):
    cfg = tiny(*FLIPS, f"trainer.feature_cache={mode}")
    OmegaConf.update(cfg, *REFUSED[words], merge=False)
    with pytest.raises(UserError, match=f"^trainer.feature_cache={mode} is not possible: .*{words}") as error:
        run(cfg)
    assert "\n" not in str(error.value) and not (tmp_path / "runs").exists() and not files()


def test_more_than_the_memory_or_the_disk_has_is_refused(tiny, tmp_path, monkeypatch, files):
    monkeypatch.setattr(feature_cache, "free_memory", lambda device: 10**5)
    with pytest.raises(
        UserError, match=r"it needs 0.00 GiB of memory, and takes at most 80% of the 0.00 GiB that are free"
    ):
        run(tiny(*FLIPS, "trainer.feature_cache=memory"))
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=10**5))
    with pytest.raises(UserError, match="cannot hold the features .0.00 GiB are needed, 0.00 GiB are free"):
        run(tiny(*FLIPS, "trainer.feature_cache=disk"))
    assert not files()


def test_a_disk_that_fills_up_meanwhile_leaves_nothing_half_written(tiny, monkeypatch, files):
    original = CachePlan._batches

    def full(self, *args, **kwargs):
        yield from original(self, *args, **kwargs)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(CachePlan, "_batches", full)
    with pytest.raises(UserError, match="cannot hold the features .No space left on device"):
        run(tiny(*FLIPS, "trainer.feature_cache=disk"))
    assert not files()


def test_files_serve_later_runs_and_only_those_of_the_same_features(train, tmp_path, passes, files):
    def again(*extra):
        passes.clear()
        train(*FLIPS, "trainer.feature_cache=disk", *extra, "run.restart=true")
        return sum(passes)

    checked = 2 * 16 + 16 + 16  # the first images of each split
    assert again() == 2 * 100 + 50 + 360 and len(files()) == 3
    assert again() == again("optimizer.lr=0.01") == again("model=scat_mlp", "model.head.hidden=[4]") == checked
    assert len(files()) == 3
    assert again("augmentation.flip=0") == 100 + 16 + 16, "other versions of the training images alone"
    assert again("data.subset.n=90") == 2 * 90 + 50 + 16, "other images"
    for other in ("model.frontend.L=4", "data.normalize=contrast", "trainer.precision=bf16"):
        assert again(other) == 2 * 100 + 50 + 360, other


def test_a_damaged_or_foreign_file_is_made_anew(train, tmp_path, passes, files):
    key = [*FLIPS, "trainer.feature_cache=disk"]
    expected = story(train(*key))
    paths = [tmp_path / "cache" / name for name in files()]
    sizes = [path.stat().st_size for path in paths]
    damages = (
        lambda content: content[: len(content) // 2],
        lambda content: b"another program's file",
        lambda content: content[:128] + content[132:] + content[128:132],  # whole, of the same shape, and wrong
    )
    for damage in damages:
        for path in paths:
            path.write_bytes(damage(path.read_bytes()))
        passes.clear()
        with pytest.warns(UserWarning, match="is damaged or holds other features: they are computed again"):
            assert str(story(train(*key, "run.restart=true"))) == str(expected)
        assert sum(passes) >= 2 * 100 + 50 + 360
        assert [path.stat().st_size for path in paths] == sizes


def test_image_files_are_cached_by_their_content(tiny, tmp_path, files):
    random = torch.Generator().manual_seed(0)
    for number in range(24):
        folder = tmp_path / "photos" / ("train" if number < 16 else "val") / f"class{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = torch.randint(0, 256, (20, 20, 3), generator=random, dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).save(folder / f"{number}.png")

    def trained(mode):
        cfg = tiny(*FLIPS, f"trainer.feature_cache={mode}", "data.subset.n=null", root=tmp_path / mode)
        cfg.data = {
            "_target_": "hybrid.data.folder.Folder", "root": str(tmp_path / "photos"), "size": 16, "resize": 16,
            "num_workers": 0, "validation": None,
        }  # fmt: skip
        cfg.trainer.batch_size, cfg.run.restart = 5, True
        run(cfg)
        return RunFolder.of(cfg)

    plain = trained("off")
    compare(plain, trained("memory"))
    compare(plain, trained("disk"))
    before = files()
    trained("disk")
    assert files() == before
    Image.new("RGB", (20, 20), (1, 2, 3)).save(tmp_path / "photos" / "train" / "class0" / "0.png")
    compare(trained("off"), trained("disk"))
    assert set(files()) > set(before)
