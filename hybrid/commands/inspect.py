"""Look at single images with a trained run: its mistakes, the saliency of pixels, the maps of an image in the layers.

    hybrid inspect run=outputs/digits-scat_resnet-seed0-1a2b3c4d
    hybrid inspect run=outputs/… split=validation what=mistakes
    hybrid inspect run=outputs/… photo.jpg other.png what=saliency,maps      # files of your own
    hybrid inspect run=outputs/… indices=17,3                                # images of the data set, by position

Writes contact sheets of the most confident mistakes and of the pairs of classes that are confused most, mistakes.csv with all
of them, the saliency (the gradient of an output with respect to the pixels) of some images, and their maps, into inspect/ in
the run's own folder or into to=. Without files and indices, the images are the most confident mistakes. tensorboard=true shows
the pictures in TensorBoard, too, beside the curves of the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hybrid.configuration.arguments import check_at_least, command, option
from hybrid.configuration.output_paths import check_folder, writing
from hybrid.configuration.trust import TRUST
from hybrid.errors import UserError
from hybrid.escaping import for_spreadsheet, for_terminal, say

if TYPE_CHECKING:  # loaded when it runs: a typo is answered without waiting for torch
    from matplotlib.figure import Figure
    from torch import Tensor

    from hybrid.training.mistakes import Mistakes
    from hybrid.training.restore import Restored

_PAIRS, _MAPPED = 6, 4  # of classes that are confused; images whose maps are drawn


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of the command line."""

    files: tuple[str, ...] = option("image files to look at", default=(), positional=True)
    run: str = option("the run's folder")
    what: tuple[Literal["mistakes", "saliency", "maps"], ...] | None = option("what is drawn; null: all", default=None)
    split: Literal["test", "validation", "train"] = option("the images whose mistakes are looked for", default="test")
    indices: tuple[int, ...] = option("images of the split, by their position in the data set's files", default=())
    count: int = option("most confident mistakes that are drawn", default=24)
    layers: tuple[str, ...] | None = option("layers whose maps are drawn; null: all that have maps", default=None)
    weights: str | None = option("last, best or best-STEP; null: those that the run tested", default=None)
    to: str | None = option("folder for the pictures; null: inspect/ in the run's own", default=None)
    formats: tuple[Literal["png", "svg", "pdf"], ...] = option("of the pictures", default=("png",))
    tensorboard: bool = option("also show the pictures in the run's TensorBoard", default=False)
    device: str = option("auto is the GPU if there is one; or cpu, cuda, cuda:1", default="auto")
    batch_size: int = option("images at a time", default=256)
    data_root: str | None = option("folder of the data, if not where the run had them", default=None)
    trust: tuple[str, ...] = option(TRUST, default=())

    def __post_init__(self) -> None:
        check_at_least(self, 1, "count", "batch_size")
        if self.files and self.indices:
            raise UserError("give image files or indices=…, not both.")
        if self.what is not None and "mistakes" in self.what and self.files:
            raise UserError("what=mistakes has no effect with image files, whose classes are not known.")
        if self.layers is not None and self.what is not None and "maps" not in self.what:
            raise UserError("layers=… has no effect without what=maps.")
        if not self.formats or (self.what is not None and not self.what):
            raise UserError("formats and what must not be empty: nothing would be drawn.")
        check_folder("to", self.to)


@command(Options)
def inspect(options: Options) -> None:
    """Find the images, draw them, and say where the pictures are."""
    from hybrid.training.restore import restore

    run = restore(
        options.run, weights=options.weights, device=options.device, data_root=options.data_root, trust=options.trust
    )
    say(run.describe())
    if options.layers is not None:
        from hybrid.analysis.layers import layers_of

        layers_of(run.model, taps=options.layers)  # refuses an unknown name before anything is written
    work = _Work(options, run)
    wanted = options.what or ("mistakes", "saliency", "maps")
    if "mistakes" in wanted and not options.files and not (options.indices and options.what is None):
        work.mistakes()
    if {"saliency", "maps"} & set(wanted):
        work.images(wanted)


class _Work:
    """One inspection of a run."""

    def __init__(self, options: Options, run: Restored) -> None:
        self.options, self.run = options, run
        self.folder = Path(options.to) if options.to else run.folder.path / "inspect"
        self._found: Mistakes | None = None

    @property
    def found(self) -> Mistakes:
        """The mistakes on the split. UserError for a task without classes."""
        from hybrid.training.evaluation import evaluate

        if self.run.task != "classification":
            raise UserError(
                f"a run of the task {self.run.task} has no mistakes: give image files or indices=…, and what=saliency,maps."
            )
        if self._found is None:
            options, run = self.options, self.run
            loader = run.data.loader(options.split, batch_size=options.batch_size, device=run.device)
            outputs, arithmetic = run.model.num_classes, run.settings.arithmetic
            self._found = evaluate(run.model, loader.epoch(0), num_classes=outputs, arithmetic=arithmetic).mistakes
            count = len(run.data.splits[options.split])
            print(f"{options.split}: {len(self._found):,} of {count:,} images are classified wrongly", flush=True)
        return self._found

    def mistakes(self) -> None:
        """The contact sheets, and the table of all mistakes."""
        from hybrid.reports.image_figures import confusion_sheet, contact_sheet
        from hybrid.training.analysis.inspection import mistake_captions, raw_images, shown

        names, split, data = self.run.class_names, self.options.split, self.run.data
        if not len(self.found):
            return
        worst = self.found.most_confident(self.options.count)
        images = raw_images(data, split, worst.indices)
        self._save(
            contact_sheet(images, mistake_captions(worst, names, self.run.likelihood)), "most_confident_mistakes"
        )
        rows = []
        for count, some in self.found.most_confused(_PAIRS, 8):
            title = f"{names[some.labels[0]]} taken for {names[some.predicted[0]]}: {count:,} image{'s' * (count > 1)}"
            shares = [shown(share, self.run.likelihood) for share in some.probabilities.tolist()]
            rows.append((title, raw_images(data, split, some.indices), shares))
            print(f"  {for_terminal(title)}")
        self._save(confusion_sheet(rows), "most_confused_classes")
        self._write_table()

    def images(self, wanted: tuple[str, ...]) -> None:
        """Saliency and maps of the images that were given, or of the most confident mistakes."""
        from hybrid.export import Pipeline
        from hybrid.reports.image_figures import saliency_figure
        from hybrid.training.analysis.inspection import inspect as look

        names, images, labels = self._chosen()
        if not len(images):
            return
        pipeline = Pipeline(self.run.data.preprocessing, self.run.model).to(self.run.device).eval()
        seen = look(pipeline, images.to(self.run.device), None if labels is None else labels.to(self.run.device))
        captions = [self._caption(name, seen, k, labels) for k, name in enumerate(names)]
        if "saliency" in wanted:
            columns = [("of the prediction", seen.gradients)]
            columns += [("of the true class", seen.of_truth)] if seen.of_truth is not None else []
            self._save(saliency_figure(images, captions, columns), "saliency")
        for name, image, caption in (
            list(zip(names, images, captions, strict=True))[:_MAPPED] if "maps" in wanted else ()
        ):
            self._draw_maps(name, image, caption)

    def _draw_maps(self, name: str, image: Tensor, caption: str) -> None:
        from hybrid.reports.image_figures import map_figure
        from hybrid.training.analysis.inspection import maps_of

        ready = self.run.data.preprocessing.to(self.run.device)(image[None].to(self.run.device))
        maps = maps_of(self.run.model, ready, self.options.layers)
        self._save(map_figure(image, maps, heading=f"{name}: {caption}".replace("\n", ", ")), f"maps_{name}")

    def _chosen(self) -> tuple[list[str], Tensor, Tensor | None]:
        """(names, images in [0, 1], labels where they are known)."""
        import torch

        from hybrid.training.analysis.inspection import raw_images

        options, data = self.options, self.run.data
        if options.files:
            opened = torch.stack([data.open_image(path) for path in options.files])
            return [Path(path).stem for path in options.files], opened.float() / 255, None
        indices = torch.tensor(options.indices) if options.indices else self.found.most_confident(6).indices
        if not len(indices):
            return [], torch.zeros(0), None
        loader = data.loader(options.split, batch_size=len(indices), indices=indices)
        labels = next(iter(loader.epoch(0))).labels if self.run.task == "classification" else None
        return (
            [f"{options.split}_{index}" for index in indices.tolist()],
            raw_images(data, options.split, indices),
            labels,
        )

    def _caption(self, name: str, seen: object, k: int, labels: Tensor | None) -> str:
        from hybrid.training.analysis.inspection import shown

        names, predicted = self.run.class_names, int(seen.predicted[k])
        if self.run.task != "classification":
            return f"{name}\n{names[predicted]}"
        told = f"{names[predicted]} ({shown(float(seen.probabilities[k]), self.run.likelihood)})"
        return f"{name}\n{told}" if labels is None else f"{told}\ntruth: {names[int(labels[k])]}"

    def _write_table(self) -> None:
        import csv
        import io

        from hybrid.data.stored import FileSplit
        from hybrid.files import write_text

        split, names = self.run.data.splits[self.options.split], self.run.class_names
        paths = dict(zip(split.indices.tolist(), split.paths, strict=True)) if isinstance(split, FileSplit) else {}
        file, every = io.StringIO(), self.found.most_confident(len(self.found))
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["index", "file", "class", "predicted", self.run.likelihood])
        columns = (every.indices, every.labels, every.predicted, every.probabilities)
        for index, label, predicted, share in zip(*(column.tolist() for column in columns), strict=True):
            words = (paths.get(index, ""), names[label], names[predicted])
            writer.writerow([index, *map(for_spreadsheet, words), f"{share:.4f}"])
        place = self.folder / "mistakes.csv"
        with writing("to", str(self.folder)):
            write_text(place, file.getvalue())
        say(f"written: {place}")

    def _save(self, figure: Figure, name: str) -> None:
        from hybrid.reports.style import save_figure

        for path in save_figure(figure, self.folder / name, self.options.formats):
            say(f"written: {path}")
        if self.options.tensorboard:
            self._show(figure, name)

    def _show(self, figure: Figure, name: str) -> None:
        """Add the figure to the event files of the run, beside which it is one more."""
        from torch.utils.tensorboard import SummaryWriter

        with writing("run", str(self.run.folder.path)), SummaryWriter(str(self.run.folder.tensorboard)) as writer:
            writer.add_figure(f"inspect/{name}", figure, self.run.step)
