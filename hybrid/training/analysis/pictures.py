"""What a run shows in TensorBoard beside its curves: an augmented batch, the filter bank, the confusion matrices."""

from __future__ import annotations

import torch
from torch import nn

from hybrid.data import Data, Loader
from hybrid.data.images import visible
from hybrid.models import parts
from hybrid.objective.objective import Likelihood
from hybrid.reports.confusion_figure import confusion_figure
from hybrid.reports.image_figures import contact_sheet
from hybrid.reports.scattering_figures import filter_bank_figure, wavelet_parameters_figure
from hybrid.runs import Tracker
from hybrid.scattering import ImageTransform, LearnedScattering2D
from hybrid.training.analysis.inspection import mistake_captions, raw_images
from hybrid.training.evaluation import Evaluation

_COLUMNS = 4  # of filters: TensorBoard shows a picture some 265 pixels wide, where titles of more would not be legible
_MISTAKES = 16


class Pictures:
    """Draws and logs; does nothing where nobody would see it. It leaves the training's random numbers alone."""

    def __init__(self, tracker: Tracker, data: Data, *, enabled: bool, likelihood: Likelihood = "probability") -> None:
        """likelihood: what the softmax of the outputs is."""
        self.tracker, self.data, self.enabled, self.likelihood = tracker, data, enabled, likelihood

    def before_training(self, loader: Loader, model: nn.Module) -> None:
        """The first training batch as the model sees it, and the filters it meets."""
        if not self.enabled:
            return
        images = visible(next(iter(loader.epoch(0))).images[:64]).detach().float().cpu()
        self.tracker.images(0, "train/augmented_batch", _displayable(images))
        self._filter_bank(0, parts.scattering_of(getattr(model, "frontend", None)))

    def after_training(self, step: int, model: nn.Module) -> None:
        """The filters that were learned."""
        transform = parts.scattering_of(getattr(model, "frontend", None))
        if self.enabled and transform is not None and parts.trainable_filters(transform):
            self._filter_bank(step, transform)

    def _filter_bank(self, step: int, transform: nn.Module | None) -> None:
        """The filters in space and in Fourier space; and, of learned wavelets, their parameters."""
        if not isinstance(transform, ImageTransform):
            return
        columns = min(_COLUMNS, transform.L)
        self.tracker.figure(step, "wavelets/filter_bank", filter_bank_figure(_filters(transform), columns=columns))
        if isinstance(transform, LearnedScattering2D) and transform.form != "pixelwise":
            figure = wavelet_parameters_figure(transform.bank.wavelets()._asdict())
            self.tracker.figure(step, "wavelets/parameters", figure)

    def after_evaluation(self, step: int, evaluation: Evaluation, *, split: str = "validation") -> None:
        """The confusion matrix, where there are classes; of the test images also the most confident mistakes."""
        if not self.enabled or evaluation.confusion is None:
            return
        names = self.data.class_names
        self.tracker.figure(step, f"{split}/confusion", confusion_figure(evaluation.confusion, names))
        if split == "test" and evaluation.mistakes:
            worst = evaluation.mistakes.most_confident(_MISTAKES)
            images = raw_images(self.data, split, worst.indices)
            figure = contact_sheet(images, mistake_captions(worst, names, self.likelihood), columns=_COLUMNS)
            self.tracker.figure(step, f"{split}/most_confident_mistakes", figure)


def _displayable(images: torch.Tensor) -> torch.Tensor:
    """Normalised images brought to [0, 1] together, so that their contrasts stay comparable; grey ones stay grey."""
    low, high = images.quantile(0.001), images.quantile(0.999)
    return ((images - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)


def _filters(transform: ImageTransform) -> list[tuple[str, torch.Tensor]]:
    """(title, spectrum) of every wavelet, scale by scale, and of the low-pass."""
    bank = transform.filter_bank()
    named = [
        (f"j={j}, θ={theta}", torch.from_numpy(spectrum))
        for j in range(transform.J)
        for theta, spectrum in enumerate(bank.psi[j, 0])
    ]
    rows, columns = bank.phi[0]
    return [*named, ("low-pass", torch.from_numpy(rows[:, None] * columns[None, :]))]
