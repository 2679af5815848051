"""Bytes that operations read and write, and FLOP, counted from the tensors they take and give.

One rule for all, as if the operations ran one by one and no cache held anything in between:

- An operation reads each tensor that it takes once, and writes each tensor that it makes once.
- In training a norm reads its map twice, first for the statistics; its backward reads map and
  gradient twice. `PASSES` has the norms whose kernels are known.
- The backward of a convolution is an operation for each gradient that is wanted. A bias is an
  operation of its own: libraries add it to the finished map.
- What it changes in place it writes, and reads too, unless it only overwrites, as `copy_` does.
- The elements of an expanded tensor that share memory are one element.
- A result that is an argument, or a view of one, is not written. Views, and memory that is only
  asked for (`empty`), move nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from tresnet_lite.counting.shapes import PlainShapes, storage_of
from tresnet_lite.counting.sizes import count_macs
from tresnet_lite.counting.trace import evaluating

aten = torch.ops.aten

# In place, without a look at what was there
OVERWRITING = {"copy_", "fill_", "zero_", "bernoulli_", "normal_", "uniform_"}


@dataclass(frozen=True)
class Operation:
    """One operation that moved something.

    Attributes:
        name: PyTorch's, such as ``convolution``; it is the same in place.
        read, written: bytes.
        flop: of a convolution or a matrix product; 0 for all else, which memory limits.
        channels: of a convolution: (groups, inputs of a group, outputs of a group).
    """

    name: str
    read: int
    written: int
    flop: int = 0
    channels: tuple[int, int, int] | None = None

    @property
    def macs(self) -> int:
        """Multiply-accumulates: a multiply and its add are one."""
        return self.flop // 2

    @property
    def moved(self) -> int:
        """Bytes read and written."""
        return self.read + self.written


# Images of the batch from which `StepOperation` tells what grows with the batch and what does not
MANY = 2**34


@dataclass(frozen=True)
class StepOperation:
    """An operation of a step, for any batch: what it moves and computes is affine in the batch.

    Attributes:
        many: the operation for `MANY` images, so that what it does once per step, such as reading
            weights, is the rest of a division.
    """

    many: Operation

    @property
    def per_image(self) -> Operation:
        """What each image adds."""
        o = self.many
        return replace(o, read=o.read // MANY, written=o.written // MANY, flop=o.flop // MANY)

    @property
    def once(self) -> Operation:
        """What a step does for any batch."""
        o = self.many
        return replace(o, read=o.read % MANY, written=o.written % MANY, flop=o.flop % MANY)

    def of(self, batch: int) -> Operation:
        """The operation in a step of so many images."""
        each, once = self.per_image, self.once
        read, written = (
            getattr(once, name) + batch * getattr(each, name) for name in ("read", "written")
        )
        return replace(once, read=read, written=written, flop=once.flop + batch * each.flop)


class Traffic(TorchDispatchMode):
    """While entered, lists the operations that move something, those of a backward too."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[Operation] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        rule = SPECIAL.get(function.overloadpacket, _operations)
        self.operations += rule(function, args, kwargs or {}, result)
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


def step_operations(
    network: nn.Module, size: tuple[int, ...] = (3, 224, 224), phase: str = "inference"
) -> list[StepOperation]:
    """The operations of one step of a classifier on images (C, H, W) = `size`, for any batch.

    Nothing is computed: the network must be on the meta device. Training is forward, cross-entropy
    and backward; the optimiser, which no image waits for, is left out. The images are of the dtype
    of the network's convolutions and linear layers. The network's mode is left as it was.

    Raises:
        ValueError: a network that is not on the meta device.
    """
    weight = next(p for p in network.parameters() if p.dim() > 1)
    if not weight.is_meta:
        raise ValueError(f"the network is on {weight.device}: build it under torch.device('meta')")
    images = torch.empty(MANY, *size, device="meta", dtype=weight.dtype)
    return [StepOperation(operation) for operation in run_step(network, images, phase)]


def run_step(network: nn.Module, images: Tensor, phase: str) -> list[Operation]:
    """The operations of one step on images (B, C, H, W), see `step_operations`."""
    if phase == "inference":
        with evaluating(network), PlainShapes(), Traffic() as counter:
            network(images)
        return counter.operations
    modes = {module: module.training for module in network.modules()}
    network.train()
    try:
        labels = torch.empty(len(images), device=images.device, dtype=torch.long)
        # PlainShapes under Traffic: what it makes is not an operation
        with PlainShapes(), Traffic() as counter:
            loss = F.cross_entropy(network(images).float(), labels)
            weights = [p for p in network.parameters() if p.requires_grad]
            torch.autograd.grad(loss, weights, allow_unused=True)
    finally:
        for module, training in modes.items():
            module.training = training
    return counter.operations


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


def _operations(
    function: Any, args: tuple, kwargs: dict[str, Any], result: Any
) -> Iterator[Operation]:
    """What an operation of PyTorch is counted as; nothing where nothing moves."""
    read, written = _read_and_written(function, args, kwargs, result)
    if not written:
        return
    name = function.overloadpacket.__name__.rstrip("_")
    count = flop_registry.get(function.overloadpacket)
    flop = count(*args, **kwargs, out_val=result) if count else 0
    again_read, again_written = PASSES.get(name, _once)(args)
    read_bytes, written_bytes = _bytes(read) + again_read, _bytes(written) + again_written
    yield Operation(name, read_bytes, written_bytes, flop)


def _once(args: tuple) -> tuple[int, int]:
    return 0, 0


# Norms that pass over their map more than once: name → arguments → bytes read and written again
PASSES: dict[str, Callable[[tuple], tuple[int, int]]] = {
    # x, weight, bias, running mean and variance, training: mean and variance first
    "native_batch_norm": lambda args: (_bytes(args[:1]) if args[5] else 0, 0),
    # dy, x, …, training: the sums of dy and dy · xhat first
    "native_batch_norm_backward": lambda args: (_bytes(args[:2]) if args[7] else 0, 0),
    # of the published layer (`published_abn`): x, weight, bias, training
    "published_abn": lambda args: (_bytes(args[:1]) if args[3] else 0, 0),
    # y, dy: xhat and the gradient before the activation are written over them, and read again
    "published_abn_backward": lambda args: (_bytes(args[:2]), _bytes(args[:2])),
}


def _convolution(
    function: Any, args: tuple, kwargs: dict[str, Any], result: Tensor
) -> Iterator[Operation]:
    """A convolution, then its bias."""
    x, weight, bias, *_, transposed, _, groups = args
    flop = flop_registry[aten.convolution](*args, out_val=result)
    channels = _channels(weight, groups, transposed)
    yield Operation("convolution", _bytes([x, weight]), _bytes([result]), flop, channels)
    if bias is not None:
        yield Operation("bias", _bytes([result, bias]), _bytes([result]))


def _convolution_backward(
    function: Any, args: tuple, kwargs: dict[str, Any], result: Sequence[Tensor | None]
) -> Iterator[Operation]:
    """The gradients of a convolution's input, weight and bias, those that are wanted."""
    dy, x, weight, *_, transposed, _, groups, _ = args
    dx, dweight, dbias = result
    name, channels = "convolution_backward", _channels(weight, groups, transposed)
    # each gradient takes as many multiply-accumulates as the forward
    flop = 2 * (x if transposed else dy).numel() * weight[0].numel()
    if dx is not None:
        yield Operation(name, _bytes([dy, weight]), _bytes([dx]), flop, channels)
    if dweight is not None:
        yield Operation(name, _bytes([dy, x]), _bytes([dweight]), flop, channels)
    if dbias is not None:
        yield Operation("bias_backward", _bytes([dy]), _bytes([dbias]))


def _channels(weight: Tensor, groups: int, transposed: bool) -> tuple[int, int, int]:
    """(groups, inputs of a group, outputs of a group) of a convolution."""
    ends = (weight.shape[1], weight.shape[0] // groups)
    return (groups, *(ends[::-1] if transposed else ends))


SPECIAL = {aten.convolution: _convolution, aten.convolution_backward: _convolution_backward}


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
