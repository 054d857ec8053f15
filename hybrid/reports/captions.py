"""The caption of an analysis's figure: which images were measured, and how the layers' outputs became vectors."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from hybrid.reports.style import QUIET, SMALL, plain

if TYPE_CHECKING:  # its package loads torch, which drawing does not need
    from hybrid.analysis.result import Analysis

# Figures of the layers as they are -> the setting that says of how many images. All others are of one vector per image.
OF_MAPS = {
    "contraction": "pair_images",
    "contraction_step": "pair_images",
    "jacobian": "jacobian_images",
    "stability": "stability_images",
    "rotation": "stability_images",
}
_LETTERS_PER_INCH, _LINE = 17, 0.15  # of the caption's letters; the height of a line in inches


def captioned(figure: Figure, analyses: Mapping[str, Analysis], name: str) -> Figure:
    """Write the caption above the figure of this name, small and grey; the figure grows by its lines."""
    words = caption(analyses, name)
    lines = textwrap.wrap(plain(words, len(words)), int(_LETTERS_PER_INCH * figure.get_figwidth()))
    figure.set_figheight(figure.get_figheight() + _LINE * len(lines) + 0.05)
    figure.suptitle("\n".join(lines), x=0.01, ha="left", size=SMALL - 1, color=QUIET)
    return figure


def caption(analyses: Mapping[str, Analysis], figure: str) -> str:
    """Say of what the figure of this name is: once where it is the same for all runs, else run by run."""
    told = {run: _facts(analysis, figure) for run, analysis in analyses.items()}
    if len(set(told.values())) == 1:
        return next(iter(told.values()))
    return "; ".join(f"{run}: {words}" for run, words in told.items())


def with_true_names(analysis: Analysis) -> Analysis:
    """Call the pixels of an analysis that averaged them, as all did once, what was measured: the mean colour."""
    wrong = {each["name"] for each in analysis.about["layers"] if each["kind"] == "pixels"}
    if not any(analysis.vectors(name) == "averaged" for name in wrong):
        return analysis
    layers = [each | {"name": "mean colour"} if each["name"] in wrong else each for each in analysis.about["layers"]]
    arrays = {
        f"mean colour: {rest}" if name in wrong else key: array
        for key, array in analysis.arrays.items()
        for name, _, rest in [key.partition(": ")]
    }
    return dataclasses.replace(analysis, about={**analysis.about, "layers": layers}, arrays=arrays)


def _facts(analysis: Analysis, figure: str) -> str:
    about, settings = analysis.about, analysis.about["settings"]
    split = {None: "", "train": "training "}.get(about.get("split"), f"{about.get('split')} ")
    if figure in OF_MAPS:
        count = settings.get(OF_MAPS[figure])
        images = f"up to {count:,} {split}images" if count else ""
        how = "maps averaged over positions" if figure == "rotation" else "the layers as they are"
        return ", ".join(filter(None, [about.get("data"), images, how]))
    images = f"{about['images']:,} {split}images" if about.get("images") else ""
    standardised = "standardised" if settings.get("standardize") else "not standardised"
    probed = svm_in_words(analysis) if figure == "accuracy_by_depth" else ""
    return ", ".join(filter(None, [about.get("data"), images, *_poolings(analysis), standardised, probed]))


def svm_in_words(analysis: Analysis) -> str:
    """Say how many of the measured images the SVM probe learned from; nothing where there is none."""
    images, most = analysis.about.get("images"), analysis.about["settings"].get("svm_images")
    if images is None or not any("probe.svm" in each["numbers"] for each in analysis.about["layers"]):
        return ""
    return f"SVM trained on {min(images, most or images):,} images"


def _poolings(analysis: Analysis) -> list[str]:
    """How the maps and the pixels became vectors."""
    layers: list[dict[str, Any]] = [each for each in analysis.about["layers"] if each["dimension"] is not None]
    pixels = [each for each in layers if each["kind"] == "pixels"]
    others = {analysis.vectors(each["name"]) for each in layers if each["kind"] not in ("pixels", "logits")}
    words = ["maps averaged over positions"] if "averaged" in others else ["all values of each map"] if others else []
    for each in pixels:
        how = analysis.vectors(each["name"])
        if how == "averaged":
            words.append("the mean colour for the pixels")
        else:
            words.append(f"pixels {how}" + f" to {each['dimension']:,} values" * (how == "projected"))
    return words
