"""Weights & Biases: `loggers=[wandb]` or `loggers=[{wandb: {project: textures, mode: offline}}]`. pip install '…[wandb]'.

A run that goes on is the same run there: its name is kept in the run's folder, in loggers/wandb-id. Curves are drawn over
"step", which every record has, since a run that goes on from a checkpoint logs some steps again.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hybrid.runs.loggers import LoggedRun, require, run_id

if TYPE_CHECKING:
    import torch


class Wandb:
    """Sends the records to Weights & Biases.

    Args:
        project: where the run belongs.
        entity: the user or team; None: wandb's own default.
        mode: "offline" writes into the run's folder, in loggers/wandb; `wandb sync` sends that later.
        tags: words to find the run by.

    Raises:
        UserError: wandb is not installed.
    """

    def __init__(
        self,
        *,
        project: str = "hybrid",
        entity: str | None = None,
        mode: Literal["online", "offline"] = "online",
        tags: tuple[str, ...] = (),
    ) -> None:
        require("wandb")
        self._settings = {"project": project, "entity": entity, "mode": mode, "tags": list(tags)}

    def open(self, run: LoggedRun) -> None:
        import wandb

        name, _ = run_id(run, "wandb-id", lambda: secrets.token_hex(4))
        quiet = wandb.Settings(console="off", silent=True)
        self._run = wandb.init(
            **self._settings,
            id=name,
            resume="allow",
            name=run.folder.name,
            dir=str(run.own),
            config=dict(run.config),
            settings=quiet,
        )
        self._run.define_metric("*", step_metric="step")

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log({"step": step, **values})

    def images(self, step: int, name: str, images: torch.Tensor) -> None:
        import wandb
        from torchvision.utils import make_grid

        grid = make_grid(images, nrow=8, padding=2, pad_value=1.0)
        self._run.log({"step": step, name: wandb.Image(grid.permute(1, 2, 0).numpy())})

    def figure(self, step: int, name: str, figure: Any) -> None:
        import wandb
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        canvas = FigureCanvasAgg(figure)  # given the figure itself, wandb would need pyplot
        canvas.draw()
        self._run.log({"step": step, name: wandb.Image(np.asarray(canvas.buffer_rgba()))})

    def results(self, settings: Mapping[str, Any], values: Mapping[str, float]) -> None:
        self._run.summary.update({f"result/{name}": value for name, value in values.items()})

    def close(self) -> None:
        self._run.finish()
