"""Training and its runs from Python: `hybrid.train`, `hybrid.load_run` and the `Run` that both return."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybrid.errors import UserError
from hybrid.runs.folder import RunFolder
from hybrid.runs.numbers import headline

if TYPE_CHECKING:  # loaded when they are used
    import numpy as np
    import pandas as pd
    from omegaconf import DictConfig
    from PIL.Image import Image
    from torch import Tensor

    from hybrid.analysis import Analysis
    from hybrid.data import Data
    from hybrid.export import Pipeline
    from hybrid.models import HybridModel
    from hybrid.prediction import Unreadable
    from hybrid.training.restore import Restored

    Picture = str | Path | Image
    Images = Tensor | np.ndarray | Picture | Sequence[Picture | Tensor | np.ndarray]


def train(*overrides: str, callbacks: Sequence[Any] = ()) -> Run:
    """Train a network as the command `hybrid train` does: same folder, same records, same resume.

    The same call finds the same folder: it continues an unfinished run bit for bit, and it returns a finished one at once.
    Ctrl-C (in a notebook: "interrupt") writes a checkpoint first. The global random generators are seeded by `seed=…`.

    Args:
        overrides: one string for each argument of the command: "group=option", such as "model=scat_wrn" and
            "data=cifar10", or "key=value", such as "trainer.duration=10 epochs" and "seed=1". `hybrid train --help` lists
            all of them.
        callbacks: objects with hooks such as `on_step(session)` and `on_evaluation(session, split, numbers)`;
            `hybrid.callbacks.callbacks.Callback` lists them. They count among the settings of the run, unless they say that
            they only look (`observer = True`).

    Returns:
        The finished run.

    Raises:
        hybrid.UserError: the configuration or the data are wrong; its one line says what is valid.
        hybrid.errors.Stopped: a signal stopped the run; a checkpoint is written.
        hybrid.errors.PeerLost: another process of a run with several processes died.

    Examples:
        >>> import hybrid
        >>> run = hybrid.train("experiment=digits", "trainer.duration=2 epochs")
        >>> run.summary["test"]["top1"] > 50
        True
        >>> run.analysis.table.index[-1]
        'logits'
    """
    from hybrid.callbacks.callbacks import note
    from hybrid.configuration.composition import composed
    from hybrid.training.run import run

    if not all(isinstance(text, str) for text in overrides):
        raise UserError('hybrid.train takes strings, one for each setting: hybrid.train("data=digits", "seed=1").')
    if flags := [text for text in overrides if text.startswith("-")]:
        raise UserError(f"hybrid.train takes key=value alone, not {flags[0]}: for a sweep, call it once for each run.")
    cfg = composed(overrides)
    run(cfg, callbacks=callbacks)
    return Run(RunFolder.of(note(cfg, callbacks)).path)


def load_run(folder: str | Path, *, weights: str | None = None, device: str = "auto", trust: Sequence[str] = ()) -> Run:
    """Open the folder of a run, finished or not. Nothing in it is changed.

    Args:
        folder: the run's folder, as `hybrid train` prints it.
        weights: which checkpoint `model` has: "last", "best" (on the validation images) or "best-STEP"; None takes the
            weights that the run was tested with.
        device: where the model goes: "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:1".
        trust: packages and classes, such as "my_heads", that a run of somebody else may name: their code is run. Those of
            hybrid and torch need no word, and neither do your own runs.

    Raises:
        hybrid.UserError: the folder is not a run's folder, or these weights are not in it; from `model`, `data` and `predict`:
            the run names classes that are not trusted.

    Examples:
        >>> import hybrid, torch
        >>> path = hybrid.train("model=scat_linear", "data=digits", "optimizer.lr=0.05", "trainer.duration=2 epochs").path
        >>> run = hybrid.load_run(path)
        >>> run.metrics["validation/top1"].dropna().size
        2
        >>> run.predict(torch.rand(2, 1, 32, 32)).columns.tolist()
        ['class', 'probability']
    """
    run = Run(folder, weights=weights, device=device, trust=trust)
    run.config  # noqa: B018  (refuses what is no run's folder)
    kept = ["last", *sorted(path.stem for path in run._folder.checkpoints.glob("best*.pt"))]
    if weights is not None and weights not in kept:
        raise UserError(f"weights={weights} is not kept in {run.path}. Valid: {', '.join(kept)}.")
    return run


class Run:
    """A run's folder, read when it is asked for: its configuration, results, records, weights and analysis.

    `hybrid.load_run` and `hybrid.train` give one.

    Example:
        >>> import hybrid
        >>> run = hybrid.train("model=scat_linear", "data=digits", "optimizer.lr=0.05", "trainer.duration=1 epoch")
        >>> run.finished, run.config.trainer.batch_size, run.class_names[:3]
        (True, 128, ('0', '1', '2'))
    """

    def __init__(
        self, folder: str | Path, *, weights: str | None = None, device: str = "auto", trust: Sequence[str] = ()
    ) -> None:
        if isinstance(trust, str):
            raise UserError(f'trust={trust!r} must be a list: trust=["{trust}"].')
        self._folder, self._weights, self._device, self._trust = RunFolder(folder), weights, device, tuple(trust)

    def __repr__(self) -> str:
        state = f"test {headline(self.summary['test'])}" if self.finished else "not finished"
        return f"Run({str(self.path)!r}): {state}"

    @property
    def path(self) -> Path:
        """The folder."""
        return self._folder.path

    @property
    def finished(self) -> bool:
        """Whether the run has come to its end and has results."""
        return self._folder.finished

    @functools.cached_property
    def config(self) -> DictConfig:
        """The whole configuration, as it was composed: `run.config.trainer.batch_size`. UserError if it cannot be read."""
        from hybrid.training.restore import read_config

        return read_config(self._folder)

    @property
    def summary(self) -> dict[str, Any]:
        """The results: accuracies in %, losses in nats, seconds of training. UserError if the run is not finished."""
        if not self.finished:
            raise UserError(f"{self.path} has no results yet: the run is not finished.")
        try:
            return self._folder.read_summary()
        except (OSError, json.JSONDecodeError) as error:
            raise UserError(f"{self._folder.summary} cannot be read: {str(error)[:120]}") from error

    @property
    def metrics(self) -> pd.DataFrame:
        """Every number that was logged: a row a record, with `step`, `epoch` and columns such as "train/loss".

        A number that was not logged in a record is NaN there: `run.metrics["validation/top1"].dropna()` is a curve.
        """
        import pandas as pd

        from hybrid.runs.jsonl import read_metrics

        return pd.DataFrame(read_metrics(self._folder.metrics))

    @property
    def model(self) -> HybridModel:
        """The trained network in evaluation mode, a plain torch module: preprocessed images (N, C, H, W) -> outputs (N, K)."""
        return self._restored.model

    @property
    def data(self) -> Data:
        """The run's data set, as `hybrid.load_data` gives one. It is read when it is first used."""
        return self._restored.data

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the K classes, labels or values, in the order of the model's outputs."""
        return self._folder.read_class_names()

    @functools.cached_property
    def pipeline(self) -> Pipeline:
        """Preprocessing and model as one module: images as they are read from a file -> outputs (N, K).

        It takes uint8 images in 0..255 or float images in [0, 1], of shape (N, C, H, W).
        """
        from hybrid.export.pipeline import Pipeline

        return Pipeline(self.data.preprocessing, self.model).to(self._restored.device).eval()

    @property
    def analysis(self) -> Analysis | None:
        """The latest analysis of the run's layers: its `.table`, its `.plot()`. None if the run made none (analysis=none)."""
        files = sorted(self._folder.analysis.glob("step-*.npz"), key=lambda path: int(path.stem.split("-")[1]))
        if not files:
            return None
        from hybrid.analysis import Analysis

        return Analysis.load(files[-1])

    def predict(self, images: Images, *, top: int | None = None, batch_size: int = 64) -> pd.DataFrame:
        """The most probable classes of images that the run has never seen, their labels or their values: a row an image.

        Args:
            images: files, folders of files, array files (FILE or FILE:NAME), Pillow images, arrays or tensors; one or a
                list. A file or a Pillow image is brought to the size and the colours of the run's test images. An array has
                the shape (N, C, H, W), or (C, H, W) for one image, and the size of the run's images; where these have one
                channel, (N, H, W) and (H, W) are right, too. Its values are uint8, uint16, bool, or float in [0, 1];
                where the run's data state a `value_range`, the values are in that.
            top: how many classes of an image are given; None: one.
            batch_size: how many images are computed at a time.

        Returns:
            Columns `class` and `probability` (0..1), then `class_2`, `probability_2` … up to `top`; the index is the file
            or the number of the image. Of a run of labels or values there is a column for each: a label's probability, or
            the value in its own units. After a loss of your own, probabilities are called `score`.

        Raises:
            hybrid.UserError: a file cannot be read, or an array does not fit the model.

        Examples:
            >>> from PIL import Image
            >>> import hybrid
            >>> run = hybrid.train("experiment=digits", "trainer.duration=2 epochs")
            >>> run.predict([Image.new("L", (40, 30)), Image.new("RGB", (64, 64), "white")]).shape
            (2, 2)
        """
        from hybrid.prediction import as_table, predict, predict_arrays

        task = self._restored.task
        if top is not None and task != "classification":
            raise UserError(f"predict: top={top} has no effect, as the run is for {task}: all its outputs are given.")
        top = 1 if top is None else top
        if top < 1 or batch_size < 1:
            raise UserError(f"predict: top={top} and batch_size={batch_size} must be at least 1.")
        options = self._prediction(top, batch_size)
        if not hasattr(images, "shape"):
            images = list(images) if isinstance(images, Iterable) and not isinstance(images, str) else [images]
        if isinstance(images, list) and all(isinstance(image, str | Path) for image in images):
            options |= {"data": self.data, "on_unreadable": _refuse}
            found = predict(self.pipeline, map(str, images), **options)
        else:
            found = predict_arrays(self.pipeline, images, data=self.data, **options)
        return as_table(found, task=task, likelihood=self._restored.likelihood)

    def _prediction(self, top: int, batch_size: int) -> dict[str, Any]:
        device = self._restored.device
        known = {"class_names": self.class_names, "task": self._restored.task}
        return {**known, "top": top, "batch_size": batch_size, "device": device}

    @functools.cached_property
    def _restored(self) -> Restored:
        from hybrid.training.restore import restore

        return restore(self.path, weights=self._weights, device=self._device, trust=self._trust)


def _refuse(unreadable: Unreadable) -> None:
    raise UserError(unreadable.reason)
