"""The order of a residual block's steps, found by running it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from tresnet_lite.layers import BlurPool2d, InPlaceABN, SqueezeExcite

NAMES = {
    nn.BatchNorm2d: "norm",
    nn.ReLU: "ReLU",
    nn.LeakyReLU: "leaky ReLU",
    SqueezeExcite: "SE",
    BlurPool2d: "blur",
}


def block_steps(block: nn.Module, channels: int) -> list[str]:
    """What a block does to its input, in order: "conv 3×3", "norm", "leaky ReLU", "SE", "sum" and
    the like.

    The block runs once, in evaluation, on one map of zeros of (channels, 8, 8); on the meta device
    that costs nothing. The shortcut's own layers are left out; its end is the sum.
    """
    steps: list[str] = []
    hidden = [
        m
        for part in block.modules()
        if isinstance(part, SqueezeExcite)
        for m in part.modules()
        if m is not part
    ]
    if isinstance(shortcut := getattr(block, "downsample", None), nn.Module):
        hidden += shortcut.modules()
    shown = [module for module in block.modules() if all(module is not other for other in hidden)]
    hooks = [
        module.register_forward_hook(lambda layer, *_: steps.extend(_step_names(layer)))
        for module in shown
    ]
    was, weight = block.training, next(block.parameters())
    try:
        with torch.no_grad(), _Sums(steps):
            block.eval()(torch.zeros(1, channels, 8, 8, device=weight.device, dtype=weight.dtype))
    finally:
        block.train(was)
        for hook in hooks:
            hook.remove()
    return steps


def _step_names(module: nn.Module) -> list[str]:
    if isinstance(module, nn.Conv2d):
        return ["conv {}×{}".format(*module.kernel_size)]
    if isinstance(module, InPlaceABN):
        activation = {"leaky_relu": ["leaky ReLU"], "relu": ["ReLU"]}
        return ["norm", *activation.get(module.activation, [])]
    return [NAMES[type(module)]] if type(module) in NAMES else []


class _Sums(TorchDispatchMode):
    """Notes each sum of two tensors, which no module stands for."""

    def __init__(self, steps: list[str]) -> None:
        super().__init__()
        self.steps = steps

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if func in (torch.ops.aten.add.Tensor, torch.ops.aten.add_.Tensor):
            self.steps.append("sum")
        return func(*args, **(kwargs or {}))
