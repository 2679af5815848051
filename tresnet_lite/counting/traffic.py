"""Bytes that operations read and write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tresnet_lite.counting.sizes import count_macs


def bytes_moved(model: nn.Module, x: torch.Tensor) -> int:
    """Bytes that the operators of one evaluation forward on x (B, C, H, W) read and write.

    As if they ran one by one without caches: every operator reads its tensors and writes its
    results, each in full; views move nothing. On the meta device nothing is computed.
    """
    training = {m: m.training for m in model.modules()}
    try:
        with torch.no_grad(), _Traffic() as traffic:
            model.eval()(x)
    finally:
        for module, was in training.items():
            module.training = was
    return traffic.bytes


def intensity(model: nn.Module, x: torch.Tensor) -> float:
    """FLOP of convolutions and linear layers for each byte that an evaluation forward on x (B, C,
    H, W) moves.
    """
    return 2 * count_macs(model, tuple(x.shape[1:])) * len(x) / bytes_moved(model, x)


class _Traffic(TorchDispatchMode):
    """Adds up the sizes of what operators take and give."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if not (func.is_view or func.name().startswith("aten::empty")):
            tensors = tree_leaves((args, kwargs, result))
            self.bytes += sum(t.nbytes for t in tensors if isinstance(t, torch.Tensor))
        return result


class _OperationTraffic(TorchDispatchMode):
    """Notes each operation that touches memory, with the bytes that it reads and writes; views
    touch none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, int]] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        read = [t for t in args if isinstance(t, Tensor)]
        written = [
            t for t in (result if isinstance(result, tuple) else (result,)) if isinstance(t, Tensor)
        ]
        same = {_storage(t) for t in written} <= {_storage(t) for t in read}
        name = function.overloadpacket.__name__
        # that one moves nothing either
        if name != "as_strided_" and (function._schema.is_mutable or not same):
            self.found.append((name.rstrip("_"), sum(map(_bytes, read + written))))
        return result


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _bytes(tensor: Tensor) -> int:
    # an expanded tensor is smaller than it looks
    return min(tensor.nbytes, tensor.untyped_storage().nbytes())


def traffic(call: Callable[..., Tensor], *tensors: Tensor) -> list[tuple[str, int]]:
    """The operations of PyTorch that a call runs, and the bytes that each reads and writes; caches
    are ignored.
    """
    with torch.no_grad(), _OperationTraffic() as mode:
        call(*tensors)
    return mode.found
