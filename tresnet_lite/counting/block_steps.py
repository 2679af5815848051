"""The order of a residual block's steps, found by running it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from tresnet_lite.counting.trace import Call, evaluating, watching, zeros
from tresnet_lite.layers import BlurPool2d, InPlaceABN, SqueezeExcite

aten = torch.ops.aten
STEP_NAMES = {
    nn.BatchNorm2d: "norm",
    nn.ReLU: "ReLU",
    nn.LeakyReLU: "leaky ReLU",
    SqueezeExcite: "SE",
    BlurPool2d: "blur",
}


def block_steps(block: nn.Module, channels: int) -> list[str]:
    """What a block does to its input, in order: "conv 3×3", "norm", "leaky ReLU", "SE", "sum", …

    The block runs once, in evaluation, on one map of zeros of (channels, 8, 8); on the meta device
    that costs nothing. The shortcut's own layers are left out; its end is the sum.
    """
    steps: list[str] = []
    excites = [path for path, m in block.named_modules() if isinstance(m, SqueezeExcite)]
    inner = ("downsample", *(f"{path}." for path in excites))

    def note(call: Call) -> None:
        if not call.path.startswith(inner):
            steps.extend(_step_names(call.module))

    with evaluating(block), watching(block, note), _Sums(steps):
        block(zeros(block, (1, channels, 8, 8)))
    return steps


def _step_names(module: nn.Module) -> list[str]:
    if isinstance(module, nn.Conv2d):
        return ["conv {}×{}".format(*module.kernel_size)]
    if isinstance(module, InPlaceABN):
        activation = {"leaky_relu": ["leaky ReLU"], "relu": ["ReLU"]}
        return ["norm", *activation.get(module.activation, [])]
    return [STEP_NAMES[type(module)]] if type(module) in STEP_NAMES else []


class _Sums(TorchDispatchMode):
    """Notes each sum of two tensors, which is not a module."""

    def __init__(self, steps: list[str]) -> None:
        super().__init__()
        self.steps = steps

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if function in (aten.add.Tensor, aten.add_.Tensor):
            self.steps.append("sum")
        return function(*args, **(kwargs or {}))
