"""Everything that changes while a run trains, and so everything that its checkpoints hold."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from hybrid import distributed
from hybrid.callbacks.callbacks import Callbacks
from hybrid.callbacks.freezing import Frozen
from hybrid.errors import UserError
from hybrid.objective.objective import Objective
from hybrid.seeding import generator_states, restore_generator_states
from hybrid.training.averages import Decay
from hybrid.training.step import Meter
from hybrid.training.torch_schedule import TorchSchedule


class TrainState:
    """Model, optimizer, loss scaler, averaged weights, meters, and the position in the run."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        device: torch.device,
        fp16: bool = False,
        ema: Decay | None = None,
        objective: Objective | None = None,
        callbacks: Callbacks | None = None,
        scheduler: TorchSchedule | None = None,
        frozen: Frozen | None = None,
    ) -> None:
        """objective: of the run; what its loss keeps is a part of the state."""
        self.model, self.optimizer, self.device = model, optimizer, device
        self.scaler = torch.amp.GradScaler(device.type, enabled=fp16)
        self.ema = AveragedModel(model, use_buffers=True) if ema is not None else None
        self._decay = ema
        objective = objective or Objective()
        self.loss = objective.loss
        self.meter = Meter(device, hits=objective.task == "classification")
        self.step = self.images = 0
        self.ranks_before: int | None = None  # that the checkpoint is of, where the state is one's
        self.seconds = 0.0  # spent in training steps, over all sessions
        self.kept: list[dict[str, float]] = []  # the best evaluations so far, best first
        self.latest: dict[str, float] = {}
        self.callbacks, self.scheduler = callbacks or Callbacks(), scheduler
        self.frozen = frozen or Frozen(model)
        self.end: dict[str, Any] | None = None  # where a callback ended the run early: its step and the reason

    def average(self) -> None:
        """Take the weights of now into their average, where the run keeps one."""
        if self.ema is not None:
            self.ema.multi_avg_fn = get_ema_multi_avg_fn(self._decay(int(self.ema.n_averaged)))
            self.ema.update_parameters(self.model)

    @property
    def evaluated(self) -> nn.Module:
        """The weights that evaluation sees: the averaged ones where the run keeps them."""
        return self.ema.module if self.ema is not None else self.model

    @property
    def best(self) -> dict[str, float] | None:
        """The numbers of the best evaluation on the validation images, and its step."""
        return self.kept[0] if self.kept else None

    def train(self) -> None:
        """Put the model into training mode, but for its frozen parts."""
        self.model.train()
        self.frozen.hold()

    def check_finite(self) -> None:
        """Raise UserError if a loss since the start or a weight now is not finite. Waits for the device."""
        bad_step = self.meter.first_bad_step()
        weights_finite = bool(torch.stack([torch.isfinite(p).all() for p in self.model.parameters()]).all())
        if bad_step is not None or not weights_finite:
            step = self.step if bad_step is None else bad_step
            raise UserError(
                f"the loss is not finite at step {step}: training stops; a checkpoint, where there is one, is from before it. "
                "A lower optimizer.lr, a warm-up (schedule.warmup='1 epoch') or trainer.clip_norm=1 usually helps."
            )

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers, text, lists and dicts alone, so that it loads with weights_only=True. All ranks must call it."""
        ema = self.ema
        return {
            "step": self.step,
            "images": self.images,
            "seconds": self.seconds,
            "kept": self.kept,
            "latest": self.latest,
            "model": self.model.state_dict(),
            "ema": {"weights": ema.module.state_dict(), "updates": int(ema.n_averaged)} if ema is not None else None,
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict() if self.scheduler is not None else None,
            "scaler": self.scaler.state_dict(),
            "meter": self.meter.state_dict(),
            **({"loss": kept} if (kept := self.loss.state_dict()) else {}),
            "generators": distributed.gather_objects(generator_states()),
            "callbacks": self.callbacks.state_dict(),
            "end": self.end,
        }

    def load_state_dict(self, state: dict[str, Any], *, source: object) -> None:
        """Go back to where `state_dict` was called. UserError, naming `source`, if it is another model's."""
        try:
            self.model.load_state_dict(state["model"])
            if self.ema is not None:
                self.ema.module.load_state_dict(state["ema"]["weights"])
                self.ema.n_averaged.fill_(state["ema"]["updates"])
            self.optimizer.load_state_dict(state["optimizer"])
            if self.scheduler is not None:
                self.scheduler.load_state_dict(state["scheduler"])
            self.scaler.load_state_dict(state["scaler"])
            self.meter.load_state_dict(state["meter"])
            self.loss.load_state_dict(state.get("loss", {}))
        except (RuntimeError, KeyError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:300]
            raise UserError(f"{source} does not fit this model and optimizer: {reason}") from error
        self._restore_generators(state["generators"])
        self.ranks_before = len(state["generators"])
        self.step, self.images, self.seconds = state["step"], state["images"], state["seconds"]
        self.kept, self.latest = state["kept"], state["latest"]
        self.end = state.get("end")
        self.callbacks.load_state_dict(state.get("callbacks", []))

    @staticmethod
    def _restore_generators(states: list[dict[str, Any]]) -> None:
        """Each rank goes on with the numbers of its own; one that the checkpoint does not know keeps what it was seeded with."""
        if distributed.rank() < len(states):
            restore_generator_states(states[distributed.rank()])
