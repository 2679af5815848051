"""What moves the weights, by timm and PyTorch: optimiser, schedule, loss, average, precision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LRScheduler, MultiStepLR, OneCycleLR

from tresnet_lite.train.recipe import Recipe

if TYPE_CHECKING:
    from timm.utils import ModelEmaV3

HALF_TYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


def parameter_groups(model: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """The parameters in two groups: weights of convolutions and classifier decay, others do not."""
    from timm.optim import param_groups_weight_decay

    if not recipe.spare_norms:
        parameters = [p for p in model.parameters() if p.requires_grad]
        return [{"params": parameters, "weight_decay": recipe.weight_decay}]
    return param_groups_weight_decay(model, recipe.weight_decay)


def make_optimizer(model: nn.Module, recipe: Recipe) -> Optimizer:
    """SGD with momentum (§3.1) and the weight decay of the recipe.

    Decoupled decay is timm's SGDW: w ← w·(1 - lr·decay) before the gradient's step, as in AdamW.
    The rate that multiplies the decay is the scheduled one, so the decay follows 1-cycle.
    """
    from timm.optim import SGDW

    kind = SGDW if recipe.decoupled else SGD
    names = ("lr", "momentum", "nesterov", "weight_decay")
    settings = {name: getattr(recipe, name) for name in names}
    return kind(parameter_groups(model, recipe), **settings)


def make_schedule(optimizer: Optimizer, recipe: Recipe, steps: int) -> LRScheduler:
    """1-cycle (§3.1) over `steps`: cosines from lr / 25 to lr to lr / 250,000, momentum opposite.

    The divisors are PyTorch's defaults; the paper does not state them. "step" divides lr by ten
    twice.
    """
    if recipe.schedule == "step":
        return MultiStepLR(optimizer, [round(steps / 3), round(steps * 2 / 3)], gamma=0.1)
    steps = max(steps, 2)  # there is no way up and down in one
    return OneCycleLR(
        optimizer,
        max_lr=recipe.lr,
        total_steps=steps,
        pct_start=max(recipe.rise, 1.5 / steps),  # so that the way up has a step
        base_momentum=recipe.momentum_low,
        max_momentum=recipe.momentum,
    )


def schedule_values(recipe: Recipe, steps: int) -> tuple[list[float], list[float]]:
    """Learning rate and momentum at each of `steps` steps."""
    optimizer = SGD([nn.Parameter(torch.zeros(1))], lr=recipe.lr, momentum=recipe.momentum)
    schedule = make_schedule(optimizer, recipe, steps)
    values = []
    for _ in range(steps):
        values.append(current_rates(optimizer))
        optimizer.step()
        schedule.step()
    rates, momenta = zip(*values, strict=True)
    return list(rates), list(momenta)


def current_rates(optimizer: Optimizer) -> tuple[float, float]:
    """The learning rate and the momentum of the coming step."""
    return float(optimizer.param_groups[0]["lr"]), float(optimizer.param_groups[0]["momentum"])


def make_loss(recipe: Recipe) -> nn.Module:
    """Cross-entropy against labels of which a part is spread over all classes (§3.1)."""
    return nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)


def make_ema(model: nn.Module, recipe: Recipe) -> ModelEmaV3 | None:
    """The moving average of weights and statistics, of growing decay; None for a recipe without."""
    if not recipe.ema:
        return None
    from timm.utils import ModelEmaV3

    return ModelEmaV3(model, decay=recipe.ema, use_warmup=True)


def has_bfloat16() -> bool:
    """Has the GPU bfloat16 of its own? Older ones (V100, T4) emulate it, many times slower."""
    return torch.cuda.is_bf16_supported(including_emulation=False)


def half_type(recipe: Recipe, device: torch.device) -> torch.dtype | None:
    """The type of mixed precision on a device; None for none.

    Raises:
        ValueError: float16 on a CPU, where small gradients would vanish.
    """
    wanted = recipe.amp if recipe.amp != "auto" else ("float16" if device.type == "cuda" else "off")
    if wanted == "float16" and device.type == "cpu":
        raise ValueError("amp is float16, which a CPU does not train in: auto, bfloat16 or off")
    return HALF_TYPES.get(wanted)
