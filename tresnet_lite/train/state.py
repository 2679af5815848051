"""All that a run has learnt: network, moving average, optimiser, schedule, loss scale and
position.
"""

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


@dataclass
class TrainingState:
    """What goes into a checkpoint. There are no random states: each step and each image has a seed
    of its own.

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
        half = half_type(recipe, device)
        optimizer = make_optimizer(model, recipe)
        scaler = torch.amp.GradScaler(device.type, enabled=half is torch.float16)
        return cls(
            model,
            make_ema(model, recipe),
            optimizer,
            make_schedule(optimizer, recipe, steps),
            scaler,
        )

    @property
    def evaluated(self) -> nn.Module:
        """The network whose accuracy counts: the moving average where there is one."""
        return self.ema.module if self.ema else self.model

    def is_finite(self) -> bool:
        """Whether every weight is a number: a step with a finite loss may still leave some that are
        not.
        """
        return all(bool(torch.isfinite(p).all()) for p in self.model.parameters())

    def state_dict(self) -> dict[str, Any]:
        """Plain tensors and numbers; "model" is the network that is evaluated, where readers of
        weights look.
        """
        parts = {
            name: getattr(self, name).state_dict() for name in ("optimizer", "schedule", "scaler")
        }
        progress = {name: getattr(self, name) for name in ("step", "seconds", "sums", "history")}
        trained = self.model.state_dict()
        return {
            "model": self.evaluated.state_dict(),
            "training": {"model": trained, **parts, **progress},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        training = state["training"]
        self.model.load_state_dict(training["model"])
        if self.ema:
            self.ema.module.load_state_dict(state["model"])
        for name in ("optimizer", "schedule", "scaler"):
            if training[name]:  # no loss scale comes from a CPU
                getattr(self, name).load_state_dict(training[name])
        for name in ("step", "seconds", "sums", "history"):
            setattr(self, name, training[name])
