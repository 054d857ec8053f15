"""Measure how a network contracts space, keeps classes apart and simplifies their boundary, layer by layer.

    hybrid analyze run=outputs/cifar10-scat_resnet-seed0-1a2b3c4d
    hybrid analyze run=outputs/a,outputs/b labels=hybrid,plain to=comparison      # each, and figures of both together
    hybrid analyze run=outputs/… preset=light measures=boundary,spectra layers=pixels,scattering,logits
    hybrid analyze model=torchvision.models.resnet18 checkpoint=resnet18.pth data=folder data_root=photos to=resnet18
    hybrid analyze run=A/analysis/full/full.npz,B/analysis/full/full.npz to=figures    # drawn again, nothing measured

Writes NAME.npz (arrays and numbers), NAME.csv (a row per layer) and the figures into analysis/PRESET/ in the run's own folder,
or into to=. preset=full measures everything on all images (minutes on a CPU); preset=light is what a run logs while it trains.
Options that are null are as the preset has them: configs/analysis/full.yaml explains each.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hybrid.configuration.arguments import command, option
from hybrid.configuration.output_paths import check_folder
from hybrid.configuration.trust import TRUST
from hybrid.errors import UserError
from hybrid.escaping import say

if TYPE_CHECKING:  # loaded when it runs: a typo is answered without waiting for torch
    from hybrid.analysis.result import Analysis
    from hybrid.analysis.settings import AnalysisSettings


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command line."""

    run: tuple[str, ...] = option("runs' folders, or analyses made before (.npz files)", default=())
    model: str | None = option("instead of a run: a name in configs/model, or a class path", default=None)
    checkpoint: str | None = option(
        "with model: its weights, a checkpoint or state_dict; null: random ones", default=None
    )
    match: Literal["all", "shapes"] | None = option("with checkpoint: all of it, or what fits", default=None)
    num_classes: int | None = option("with model: its classes; null: those of the data", default=None)
    data: str | None = option("a name in configs/data; null: the run's own", default=None)
    data_root: str | None = option("folder of the data, if not where the run had them", default=None)
    to: str | None = option("folder for the results; null: analysis/PRESET/ in the run's own", default=None)
    preset: Literal["full", "light"] = option("configs/analysis", default="full")
    split: Literal["train", "validation", "test"] = option("images that are measured", default="train")
    probe_split: Literal["test", "validation"] = option("images that the probes are tested on", default="test")
    weights: str | None = option("last, best or best-STEP; null: those that the run tested", default=None)
    trust: tuple[str, ...] = option(TRUST, default=())
    device: str = option("auto is the GPU if there is one; or cpu, cuda, cuda:1", default="auto")
    batch_size: int = option("images at a time", default=256)
    labels: tuple[str, ...] = option(
        "names of the runs in the figures, one for each; []: models or folders", default=()
    )
    formats: tuple[Literal["png", "svg", "pdf"], ...] = option("of the figures; [] draws none", default=("png", "svg"))
    layers: tuple[str, ...] | None = option("names of taps", default=None)
    measures: tuple[str, ...] | None = option("what is measured", default=None)
    images: int | None = option("how many images are measured", default=None)
    test_images: int | None = option("how many images the probes are tested on", default=None)
    classes: int | None = option("how many classes at most", default=None)
    pooling: Literal["average", "flatten"] | None = option("how maps become vectors; pixels: flattened", default=None)
    pixel_values: int | None = option("more pixels are projected to so many values", default=None)
    standardize: bool | None = option("by the statistics of the measured images", default=None)
    compensate_energy: bool | None = option("scattering layers times 2^J", default=None)
    neighbours: int | None = option("largest k of the boundary counts", default=None)
    probes: tuple[Literal["1nn", "knn", "linear", "svm"], ...] | None = option("classifiers", default=None)
    svm_images: int | None = option("training images of the SVM", default=None)
    pairs: int | None = option("pairs for the contraction ratios", default=None)
    pair_images: int | None = option("images that they are drawn among", default=None)
    jacobian_images: int | None = option("images for the Jacobian", default=None)
    stability_images: int | None = option("images for the stability", default=None)
    memory_mib: int | None = option("most memory for a block of distances, in MiB", default=None)
    seed: int | None = option("of the analysis's own choices, and of random weights", default=None)

    def __post_init__(self) -> None:
        if bool(self.run) == (self.model is not None):
            raise UserError("give either run=FOLDER[,FOLDER…] or model=NAME data=NAME.")
        if self.model is not None and (self.data is None or self.to is None):
            raise UserError("model=… needs data=NAME and to=FOLDER.")
        if self.checkpoint is not None and self.model is None:
            raise UserError("checkpoint=… needs model=NAME, the network that it is the weights of.")
        if self.labels and len(self.run) < 2:
            raise UserError("labels=… has no effect without several runs, which it names in their figures.")
        if self.labels and not len(set(self.labels)) == len(self.labels) == len(self.run):
            raise UserError(
                f"labels={','.join(self.labels)} must be a different name for each of the {len(self.run)} runs."
            )
        if len(self.run) > 1 and self.to is None:
            raise UserError("several runs need to=FOLDER for the results.")
        if self.checkpoint is None and self.match is not None:
            raise UserError("match=… has no effect without checkpoint=….")
        if self.model is None and self.num_classes is not None:
            raise UserError("num_classes=… has no effect without model=….")
        if self.model is not None and self.trust:
            raise UserError("trust=… has no effect with model=…, which is the command's own.")
        if self.model is not None and self.weights is not None:
            raise UserError("weights=… has no effect with model=…: its weights are checkpoint=….")
        check_folder("to", self.to)


_READING = ("split", "probe_split", "data", "data_root", "device", "batch_size")  # options that are fields of a Request


@command(Options)
def analyze(options: Options) -> None:
    """Make or read every analysis, write it, and draw the figures of all."""
    from hybrid.runs.folder import RunFolder
    from hybrid.training.restore import read_config

    settings, began = _settings(options), time.monotonic()
    for place in options.run:
        if not place.endswith(".npz"):
            read_config(RunFolder(place))
    from hybrid.analysis.result import Analysis  # now: a wrong folder is said without torch
    from hybrid.training.analysis.offline import Request, analyse_model, analyse_run

    reading = {name: getattr(options, name) for name in _READING}
    analyses: dict[str, Analysis] = {}
    folder = Path(options.to) if options.to else Path(options.run[0]) / "analysis" / options.preset
    if options.model is not None:
        name = options.model.rpartition(".")[2]
        request = Request(settings=settings, say=_teller(began), **reading)
        which = {"checkpoint": options.checkpoint, "num_classes": options.num_classes}
        analysis = analyse_model(options.model, request, match=options.match or "all", **which)
        analyses[name] = _finish(analysis, folder, name)
    for place in options.run:
        if place.endswith(".npz"):
            analyses[_name(Path(place), analyses)] = Analysis.load(place)
            continue
        name = _name(Path(place).resolve(), analyses)
        request = Request(settings=settings, say=_teller(began, f"{place}:"), **reading)
        analysis = analyse_run(place, request, weights=options.weights, trust=options.trust)
        analyses[name] = _finish(analysis, folder, name if options.to else options.preset)
    for name, analysis in analyses.items():
        say(f"{name}: {analysis.in_words()}")
    named = dict(zip(options.labels, analyses.values(), strict=True)) if options.labels else _by_model(analyses)
    _draw(named, folder, options.formats)
    print(f"{time.monotonic() - began:.1f} s in all")


def _teller(began: float, heading: str = "") -> Callable[[str], None]:
    """A function that prints a message with the seconds that have passed. The heading is printed above the first message."""
    headings = [heading] if heading else []

    def tell(text: str) -> None:
        if headings:
            say(headings.pop())
        say(f"  {time.monotonic() - began:6.1f} s  {text}")

    return tell


def _settings(options: Options) -> AnalysisSettings:
    from hybrid.configuration.composition import compose
    from hybrid.training.settings import analysis_settings

    given = {
        field.name: getattr(options, field.name)
        for field in dataclasses.fields(options)
        if field.default is None and getattr(options, field.name) is not None
    }
    cfg = compose([f"analysis={options.preset}"])
    for name in set(given) & set(cfg.analysis):
        cfg.analysis[name] = list(given[name]) if isinstance(given[name], tuple) else given[name]
    return analysis_settings(cfg.analysis)[1]


def _finish(analysis: Analysis, folder: Path, name: str) -> Analysis:
    """Print the table, write the analysis."""
    from hybrid.reports.captions import svm_in_words
    from hybrid.reports.layer_table import layer_table, write_layer_csv

    rows = analysis.rows()
    print(f"\n{layer_table([_main_columns(row) for row in rows])}\n")
    if words := svm_in_words(analysis):
        print(f"probe.svm: {words}")
    for problem in analysis.problems:
        say(f"note: {problem}")
    analysis.save(folder / f"{name}.npz")
    write_layer_csv(folder / f"{name}.csv", rows)
    say(f"written: {folder / name}.npz, .csv")
    return analysis


def _by_model(analyses: dict[str, Analysis]) -> dict[str, Analysis]:
    """The analyses under the names of their models, which are short in a legend, if no two models have the same name."""
    models = [analysis.about.get("model") for analysis in analyses.values()]
    if None in models or len(set(models)) < len(models):
        return analyses
    return {str(model).rpartition(".")[2]: analysis for model, analysis in zip(models, analyses.values(), strict=True)}


def _main_columns(row: dict[str, Any]) -> dict[str, Any]:
    """The columns that fit on a terminal; the CSV file has all."""
    wanted = (
        "contraction.same",
        "contraction.different",
        "contraction.expanded",
        "classes.ratio",
        "spectra.effective_rank",
    )
    return {
        name: value
        for name, value in row.items()
        if name in ("layer", "vectors", "dimension", *wanted) or name.startswith(("boundary.nested", "probe."))
    }


def _draw(analyses: dict[str, Analysis], folder: Path, formats: tuple[str, ...]) -> None:
    if not formats:
        return
    from hybrid.reports.analysis_figures import analysis_figures
    from hybrid.reports.style import save_figure

    single = len(analyses) == 1
    reference = {
        name: analysis.about["accuracy"] for name, analysis in analyses.items() if analysis.about.get("accuracy")
    }
    labelled = {"network": next(iter(reference.values()))} if single and reference else reference
    drawn = analysis_figures({"": next(iter(analyses.values()))} if single else analyses, reference=labelled)
    for name, figure in drawn.items():
        save_figure(figure, folder / name, formats)
    say(f"figures: {folder}/ {', '.join(drawn)} ({', '.join(formats)})")


def _name(path: Path, taken: dict[str, Analysis]) -> str:
    """The run's name. An .npz file in a run's folder has the name of that run, any other .npz file its own."""
    name = path.name
    if path.suffix == ".npz":
        folders = path.resolve().parents
        name = folders[2].name if len(folders) > 2 and folders[1].name == "analysis" else path.stem
    if name in taken:
        raise UserError(f"{path} is given twice, or has the name of another: {name}.")
    return name
