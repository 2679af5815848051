"""What each module of a network takes and gives, found by running the network once.

Build the network on the "meta" device where you can: there the run computes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from tresnet_lite.counting.shapes import PlainShapes


@dataclass(frozen=True)
class Call:
    """One call of a module.

    Attributes:
        path: of the module, such as ``body.layer2.0.conv1``; "" for the network itself.
        module: the module.
        input, output: shapes for one image, such as (C, H, W).
    """

    path: str
    module: nn.Module
    input: tuple[int, ...]
    output: tuple[int, ...]


def trace(model: nn.Module, input_size: tuple[int, ...]) -> list[Call]:
    """The calls of a model's modules for one input of `input_size` (C, H, W), in evaluation.

    A module stands where its call ends, so after the modules that it calls; the model is the last.
    Calls that take or give anything but one tensor are left out.
    """
    calls: list[Call] = []
    with evaluating(model), watching(model, calls.append), PlainShapes():
        model(zeros(model, (1, *input_size)))
    return calls


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """While entered, the model is in evaluation mode and no gradients are recorded."""
    training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, was in training.items():
            module.training = was


@contextmanager
def watching(model: nn.Module, note: Callable[[Call], object]) -> Iterator[None]:
    """While entered, `note` is given each call of the model's modules as the call ends."""

    def hook(path: str, module: nn.Module, inputs: tuple, output: object) -> None:
        if inputs and isinstance(inputs[0], Tensor) and isinstance(output, Tensor):
            note(Call(path, module, tuple(inputs[0].shape[1:]), tuple(output.shape[1:])))

    hooks = [m.register_forward_hook(partial(hook, path)) for path, m in model.named_modules()]
    try:
        yield
    finally:
        for handle in hooks:
            handle.remove()


def zeros(model: nn.Module, shape: tuple[int, ...]) -> Tensor:
    """Zeros of a shape, on the device and in the dtype of the model's weights."""
    weight = next(model.parameters(), torch.zeros(()))
    return torch.zeros(shape, device=weight.device, dtype=weight.dtype)
