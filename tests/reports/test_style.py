"""What all figures for a paper have in common: layers' names and colours, ticks, legends, files."""

from __future__ import annotations

import io
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from PIL import Image

from hybrid.configuration.output_paths import PICTURES
from hybrid.errors import UserError
from hybrid.reports.depth_distributions import intra_class_distances
from hybrid.reports.depth_figures import accuracy_by_depth, curves_by_depth
from hybrid.reports.layer_figures import boundary_curves
from hybrid.reports.style import COLUMN, FORMATS, STYLE, number, save_figure

SCAT = ["pixels", "scattering", "head.stem.2", "head.stages.0.0.relu1", "logits"]
RESNET = ["pixels", "relu", "layer1.0.relu", "layer1.0.relu#2", "layer1.1.relu", "layer1.1.relu#2", "logits"]


def drawn(figure) -> np.ndarray:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=60)
    return np.array(Image.open(file).convert("RGB"))


def curve(layers, start=20.0, step=10.0):
    return [(name, start + step * k) for k, name in enumerate(layers)]


def legend(figure) -> dict[str, matplotlib.lines.Line2D]:
    (box,) = figure.legends
    return {text.get_text(): line for text, line in zip(box.get_texts(), box.get_lines(), strict=True)}


def bar_names(figure) -> list[list[str]]:
    return [[t.get_text() for t in axes.get_yticklabels()] for axes in figure.axes if axes.get_label() == "<colorbar>"]


@pytest.mark.parametrize(
    "value, text",
    [
        (0.002, "0.002"),
        (30.0, "30"),
        (20000.0, "20,000"),
        (1e6, "$10^{6}$"),
        (3e-5, "3·$10^{-5}$"),
        (1e-4, "$10^{-4}$"),
    ],
)
def test_ticks_are_plain_numbers(value, text):
    assert number(value) == text


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("name", ["$x_1^{$", "_background_noise_", "日本", "a" * 200])
def test_any_name_can_be_drawn(name):
    figure = accuracy_by_depth({name: {"1-NN": curve([name, "b"])}, "b": {"1-NN": curve([name, "b"])}})
    shown = f"{name}: 1-NN".replace("$", r"\$") if len(name) < 30 else "a" * 46 + "…"
    assert shown in [text.strip() for text in legend(figure)]
    drawn(figure)
    drawn(boundary_curves({name: [(name, [1])], "b": [(name, [1])]}, samples=1))
    drawn(intra_class_distances({name: [(name, 1.0)]}))


def test_a_legend_stands_below_the_axes_and_takes_no_room_from_them():
    sizes = []
    for count in (1, 12):
        figure = curves_by_depth({f"curve number {k}": curve(SCAT) for k in range(count)}, ylabel="%")
        figure.draw_without_rendering()
        (box,), (axes,) = figure.legends, figure.axes
        extent = box.get_window_extent()
        assert extent.y1 < axes.get_tightbbox().y0
        assert extent.x0 >= 0 and extent.x1 <= figure.bbox.x1
        sizes.append(axes.get_window_extent().height)
    assert sizes[1] == pytest.approx(sizes[0], rel=0.05)


def test_the_endings_that_commands_accept_are_the_formats_that_are_written():
    assert [f".{kind}" for kind in FORMATS] == list(PICTURES)


# files


def test_a_figure_is_written_in_the_formats_asked_for(tmp_path):
    figure = accuracy_by_depth({"1-NN": curve(SCAT)})
    assert save_figure(figure, tmp_path / "new" / "layer1.0") == [
        tmp_path / "new" / "layer1.0.png", tmp_path / "new" / "layer1.0.svg",
    ]  # fmt: skip
    assert save_figure(figure, str(tmp_path / "paper.pdf")) == [tmp_path / "paper.pdf"]
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["layer1.0.png", "layer1.0.svg", "paper.pdf"]
    assert (tmp_path / "paper.pdf").read_bytes().startswith(b"%PDF")
    with Image.open(tmp_path / "new" / "layer1.0.png") as image:
        assert image.width == round(COLUMN * 300)
    assert ">pixels</text>" in (tmp_path / "new" / "layer1.0.svg").read_text()  # text that can be edited


def test_a_file_that_fails_leaves_the_old_one(tmp_path, monkeypatch):
    figure = accuracy_by_depth({"1-NN": curve(SCAT)})
    (path,) = save_figure(figure, tmp_path / "a.png")
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(UserError, match=r"a.png cannot be written: No space left on device"):
        save_figure(accuracy_by_depth({"SVM": curve(RESNET)}), path)
    assert path.read_bytes() == before and [each.name for each in tmp_path.iterdir()] == ["a.png"]


def test_formats_are_checked(tmp_path):
    figure = accuracy_by_depth({"1-NN": curve(SCAT)})
    with pytest.raises(UserError, match="unknown format of a figure: gif. Valid: png, svg, pdf"):
        save_figure(figure, tmp_path / "a", formats=("png", "gif"))
    with pytest.raises(UserError, match="not in both"):
        save_figure(figure, tmp_path / "a.png", formats=("svg",))
    assert not list(tmp_path.iterdir())


_SCRIPT = """
import hashlib, sys
import hybrid.reports.analysis_figures
from hybrid.reports.depth_distributions import intra_class_distances
from hybrid.reports.layer_figures import boundary_curves
from hybrid.reports.style import picture
figures = boundary_curves([("a", [3, 2]), ("b", [2, 1])], samples=5), intra_class_distances({"cat": [("a", 1), ("b", 2)]})
digests = [hashlib.sha256(picture(figure, kind)).hexdigest() for kind in ("svg", "pdf", "png") for figure in figures]
loaded = [name for name in sys.modules if name.startswith(("torch", "hybrid.models", "hybrid.analysis", "hybrid.training"))]
"""


def test_equal_data_give_equal_files_in_every_process_and_no_model_code_is_loaded():
    command = [sys.executable, "-c", f"{_SCRIPT}print(*loaded, *digests)"]
    there = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    here: dict = {}
    exec(_SCRIPT, here)
    assert len(there) == 6 and there == here["digests"]


def test_drawing_leaves_the_users_style_alone():
    before = {name: matplotlib.rcParams[name] for name in STYLE}
    accuracy_by_depth({"1-NN": curve(SCAT)})
    assert {name: matplotlib.rcParams[name] for name in STYLE} == before
