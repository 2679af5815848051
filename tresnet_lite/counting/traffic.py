"""Bytes that operations read and write, and FLOP, counted from the tensors they take and give.

One rule for all, as if the operations ran one by one and no cache held anything in between:

- An operation reads each tensor that it takes once, and writes each tensor that it makes once.
- What it changes in place it writes, and reads too, unless it only overwrites, as `copy_` does.
- The elements of an expanded tensor that share memory are one element.
- A result that is an argument, or a view of one, is not written. Views, and memory that is only
  asked for (`empty`), move nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from tresnet_lite.counting.shapes import storage_of
from tresnet_lite.counting.sizes import count_macs
from tresnet_lite.counting.trace import evaluating

# In place, without a look at what was there
OVERWRITING = {"copy_", "fill_", "zero_", "bernoulli_", "normal_", "uniform_"}


@dataclass(frozen=True)
class Operation:
    """One operation that moved something.

    Attributes:
        name: PyTorch's, such as ``convolution``; it is the same in place.
        read, written: bytes.
        flop: of a convolution or a matrix product; 0 for all else, which memory limits.
    """

    name: str
    read: int
    written: int
    flop: int = 0

    @property
    def moved(self) -> int:
        """Bytes read and written."""
        return self.read + self.written


class Traffic(TorchDispatchMode):
    """While entered, lists the operations that move something, those of a backward too."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[Operation] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        read, written = _read_and_written(function, args, kwargs or {}, result)
        if written:
            name = function.overloadpacket.__name__.rstrip("_")
            count = flop_registry.get(function.overloadpacket)
            flop = count(*args, **(kwargs or {}), out_val=result) if count else 0
            self.operations.append(Operation(name, _bytes(read), _bytes(written), flop))
        return result

    @property
    def moved(self) -> int:
        """Bytes that all of them read and write."""
        return sum(operation.moved for operation in self.operations)


def traffic(call: Callable[..., object], *args: object) -> list[Operation]:
    """The operations of PyTorch that a call without gradients runs, where they move something."""
    with torch.no_grad(), Traffic() as counter:
        call(*args)
    return counter.operations


def operations_of(model: nn.Module, x: Tensor) -> list[Operation]:
    """The operations of one evaluation forward on x (B, C, H, W).

    On the meta device nothing is computed.
    """
    with evaluating(model), Traffic() as counter:
        model(x)
    return counter.operations


def bytes_moved(model: nn.Module, x: Tensor) -> int:
    """Bytes that `operations_of` read and write."""
    return sum(operation.moved for operation in operations_of(model, x))


def least_seconds(operations: Iterable[Operation], flops: float, bandwidth: float) -> float:
    """The roofline's time of operations that run one after another, each under its own ceiling.

    A convolution with many FLOP per byte cannot make up for a norm that waits for memory: the times
    add up.

    Args:
        flops: FLOP/s of the device.
        bandwidth: bytes per second.
    """
    return sum(max(o.flop / flops, o.moved / bandwidth) for o in operations)


def intensity(model: nn.Module, x: Tensor) -> float:
    """FLOP of convolutions and linear layers for each byte that `bytes_moved` counts."""
    return 2 * count_macs(model, tuple(x.shape[1:])) * len(x) / bytes_moved(model, x)


def _read_and_written(
    function: Any, args: tuple, kwargs: dict[str, Any], result: Any
) -> tuple[list[Tensor], list[Tensor]]:
    """The tensors that an operation reads, and those that it writes; none where nothing moves."""
    name = function.overloadpacket.__name__
    if function.is_view or torch.Tag.inplace_view in function.tags or "empty" in name:
        return [], []
    read: list[Tensor] = []
    written: list[Tensor] = []
    for position, argument in enumerate(function._schema.arguments):
        tensors = _tensors(args[position] if position < len(args) else kwargs.get(argument.name))
        writes = argument.alias_info is not None and argument.alias_info.is_write
        if writes:
            written += tensors
        if not (argument.is_out or (writes and name in OVERWRITING)):
            read += tensors
    arguments = {storage_of(tensor) for tensor in read + written}
    written += [tensor for tensor in _tensors(result) if storage_of(tensor) not in arguments]
    if name == "native_batch_norm":  # of its statistics the schema says nothing
        running, training = args[3:5], args[5]
        written = [*written, *_tensors(running)] if training else written[:1]
    if name.startswith("new_") or name.endswith("_like"):
        read = []  # these look at the shape alone
    return read, written


def _tensors(values: Any) -> list[Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]


def _bytes(tensors: Iterable[Tensor]) -> int:
    """Of all elements that do not share memory; a tensor that stands there twice counts once."""
    total = 0
    for tensor in {id(tensor): tensor for tensor in tensors}.values():
        sides = zip(tensor.shape, tensor.stride(), strict=True)
        total += tensor.element_size() * prod(side for side, stride in sides if stride)
    return total
