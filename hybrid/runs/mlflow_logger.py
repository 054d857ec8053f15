"""MLflow: `loggers=[mlflow]` or `loggers=[{mlflow: {experiment: textures, uri: sqlite:///mlflow.db}}]`. pip install '…[mlflow]'.

A run that goes on is the same run there: its name is kept in the run's folder, in loggers/mlflow-id.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybrid.runs.identity import flattened
from hybrid.runs.loggers import LoggedRun, require, run_id

if TYPE_CHECKING:
    import torch

_AT_ONCE, _LONGEST = 100, 500  # parameters in a message, and characters of one: MLflow takes no more


class Mlflow:
    """Sends the records to an MLflow server or file.

    Args:
        experiment: where the run belongs; it is made where it is not there.
        uri: of the server or file, such as "sqlite:///mlflow.db", which has its pictures in mlruns/ beside it; None:
            $MLFLOW_TRACKING_URI, or MLflow's own default.

    Raises:
        UserError: mlflow is not installed.
    """

    def __init__(self, *, experiment: str = "hybrid", uri: str | None = None) -> None:
        require("mlflow")
        self._experiment, self._uri = experiment, uri

    def open(self, run: LoggedRun) -> None:
        from mlflow.entities import Param
        from mlflow.tracking import MlflowClient

        self._client = MlflowClient(tracking_uri=self._uri)
        self._id, new = run_id(run, "mlflow-id", lambda: self._create(run.folder.name))
        if not new:
            self._client.update_run(self._id, status="RUNNING")
            return
        params = [Param(_valid(key), str(value)[:_LONGEST]) for key, value in flattened(run.config)]
        for start in range(0, len(params), _AT_ONCE):
            self._client.log_batch(self._id, params=params[start : start + _AT_ONCE])

    def log(self, step: int, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._client.log_batch(self._id, metrics=[Metric(_valid(name), v, now, step) for name, v in values.items()])

    def images(self, step: int, name: str, images: torch.Tensor) -> None:
        from torchvision.utils import make_grid

        grid = make_grid(images, nrow=8, padding=2, pad_value=1.0)
        self._client.log_image(self._id, grid.permute(1, 2, 0).numpy(), f"{_valid(name)}/step-{step}.png")

    def figure(self, step: int, name: str, figure: Any) -> None:
        self._client.log_figure(self._id, figure, f"{_valid(name)}/step-{step}.png")

    def results(self, settings: Mapping[str, Any], values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._client.set_tag(self._id, f"result.{_valid(name)}", value)

    def close(self) -> None:
        self._client.set_terminated(self._id)

    def _create(self, name: str) -> str:
        found = self._client.get_experiment_by_name(self._experiment)
        number = found.experiment_id if found else self._client.create_experiment(self._experiment, self._artifacts())
        return self._client.create_run(number, run_name=name).info.run_id

    def _artifacts(self) -> str | None:
        """The folder of pictures: beside a database that is a file. MLflow itself would take the current folder."""
        file = str(self._uri).removeprefix("sqlite:///")
        return None if file == str(self._uri) else (Path(file).absolute().parent / "mlruns").as_uri()


def _valid(name: str) -> str:
    """With the characters that MLflow admits in a name."""
    return re.sub(r"[^\w\-./ :]", "_", name, flags=re.ASCII)
