"""What all figures for a paper have in common: layers' names and colours, ticks, legends, files."""

from __future__ import annotations

import io
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from PIL import Image

from hybrid.errors import UserError
from hybrid.reports import analysis_figures as figures
from hybrid.reports.layer_names import layer_colours, layer_order, short_names, tick_numbers
from hybrid.reports.style import COLUMN, STYLE, number, save_figure, spread

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


def test_names_lose_what_tells_nothing_apart():
    assert short_names(SCAT) == ["pixels", "scattering", "stem.2", "stages.0.0.relu1", "logits"]
    assert short_names(RESNET) == ["pixels", "relu", "layer1.0", "layer1.0#2", "layer1.1", "layer1.1#2", "logits"]
    assert short_names(["a.relu", "a.act"]) == ["relu", "act"]
    long = short_names(["encoder.attention.projection.first", "decoder.attention.projection.last"])
    assert max(map(len, long)) <= 16 and len(set(long)) == 2
    same = ["x" * 9 + letter + "y" * 20 for letter in "ab"]
    assert short_names(same) == same  # shorter they would be one


def test_layers_of_several_curves_are_merged_in_depth_order():
    assert layer_order([["b", "c"], ["a", "b", "d"], ["d", "e"]]) == ["a", "b", "c", "d", "e"]


def test_colours_get_lighter_and_stay_apart_for_thirteen_layers():
    colours = layer_colours(13)
    luminance = colours[:, :3] @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(luminance) > 0).all() and luminance[-1] < 0.85
    assert np.abs(np.diff(colours[:, :3], axis=0)).sum(1).min() > 0.05


def test_too_many_names_are_thinned_evenly():
    assert tick_numbers(20) == list(range(20)) and tick_numbers(21) == list(range(0, 21, 2))
    layers = [(f"relu{k}", [1.0, 2.0]) for k in range(40)]
    ((names),) = bar_names(figures.class_spectra(layers))
    assert names[0] == "relu0" and 10 <= len(names) <= 20


def test_labels_are_moved_apart_no_further_than_needed_and_stay_inside():
    assert spread(np.array([0.0, 1.0, 20.0]), 5).tolist() == [-2, 3, 20]
    assert spread(np.array([0.0, 1.0, 20.0]), 5, low=0, high=22).tolist() == [0, 5, 20]
    assert spread(np.array([21.0, 21.5]), 5, low=0, high=22).tolist() == [17, 22]


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
    figure = figures.accuracy_by_depth({name: {"1-NN": curve([name, "b"])}, "b": {"1-NN": curve([name, "b"])}})
    shown = f"{name}: 1-NN".replace("$", r"\$") if len(name) < 30 else "a" * 35 + "…"
    assert shown in [text.strip() for text in legend(figure)]
    drawn(figure)
    drawn(figures.boundary_curves({name: [(name, [1])], "b": [(name, [1])]}, samples=1))
    drawn(figures.intra_class_distances({name: [(name, 1.0)]}))


# files


def test_a_figure_is_written_in_the_formats_asked_for(tmp_path):
    figure = figures.accuracy_by_depth({"1-NN": curve(SCAT)})
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
    figure = figures.accuracy_by_depth({"1-NN": curve(SCAT)})
    (path,) = save_figure(figure, tmp_path / "a.png")
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(UserError, match=r"a.png cannot be written: No space left on device"):
        save_figure(figures.accuracy_by_depth({"SVM": curve(RESNET)}), path)
    assert path.read_bytes() == before and [each.name for each in tmp_path.iterdir()] == ["a.png"]


def test_formats_are_checked(tmp_path):
    figure = figures.accuracy_by_depth({"1-NN": curve(SCAT)})
    with pytest.raises(UserError, match="unknown format of a figure: gif. Valid: png, svg, pdf"):
        save_figure(figure, tmp_path / "a", formats=("png", "gif"))
    with pytest.raises(UserError, match="not in both"):
        save_figure(figure, tmp_path / "a.png", formats=("svg",))
    assert not list(tmp_path.iterdir())


_SCRIPT = """
import hashlib, sys
from hybrid.reports.analysis_figures import boundary_curves, intra_class_distances, picture
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
    figures.accuracy_by_depth({"1-NN": curve(SCAT)})
    assert {name: matplotlib.rcParams[name] for name in STYLE} == before
