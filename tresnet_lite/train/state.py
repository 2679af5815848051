"""All that a run has learnt: network, average, optimiser, schedule, loss scale and position."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from tresnet_lite.train.optimisation import half_type, make_ema, make_optimizer, make_schedule
from tresnet_lite.train.recipe import Recipe

if TYPE_CHECKING:
    from timm.utils import ModelEmaV3

STATE_PARTS = ("optimizer", "schedule", "scaler")
PROGRESS = ("step", "seconds", "sums", "history")


@dataclass
class TrainingState:
    """What goes into a checkpoint; no random states, as each step and image has its own seed.

    Attributes:
        step: the steps that are done; it gives the epoch and the place in it.
        sums: loss and right answers, summed over the epoch's steps so far, and their number.
        history: a dict for each epoch that is over.
    """

    model: nn.Module
    ema: ModelEmaV3 | None
    optimizer: Optimizer
    schedule: LRScheduler
    scaler: torch.amp.GradScaler
    step: int = 0
    seconds: float = 0.0
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    history: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def fresh(
        cls, model: nn.Module, recipe: Recipe, steps: int, device: torch.device
    ) -> TrainingState:
        """The state before the first of so many steps."""
        scaled = half_type(recipe, device) is torch.float16
        scaler = torch.amp.GradScaler(device.type, enabled=scaled)
        optimizer = make_optimizer(model, recipe)
        schedule = make_schedule(optimizer, recipe, steps)
        return cls(model, make_ema(model, recipe), optimizer, schedule, scaler)

    @property
    def evaluated(self) -> nn.Module:
        """The network whose accuracy counts: the moving average where there is one."""
        return self.ema.module if self.ema else self.model

    def is_finite(self) -> bool:
        """Is every weight finite? A step with a finite loss may still leave some that are not."""
        return all(bool(torch.isfinite(p).all()) for p in self.model.parameters())

    def state_dict(self) -> dict[str, Any]:
        """Plain tensors and numbers; readers of weights find the evaluated network in "model"."""
        training = {name: getattr(self, name).state_dict() for name in ("model", *STATE_PARTS)}
        training |= {name: getattr(self, name) for name in PROGRESS}
        return {"model": self.evaluated.state_dict(), "training": training}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        training = state["training"]
        self.model.load_state_dict(training["model"])
        if self.ema:
            self.ema.module.load_state_dict(state["model"])
        for name in STATE_PARTS:
            if training[name]:  # no loss scale comes from a CPU
                getattr(self, name).load_state_dict(training[name])
        for name in PROGRESS:
            setattr(self, name, training[name])
