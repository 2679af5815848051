"""Tensors that say "cuda:0" and hold a tensor of the CPU, which computes for them."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from imitation.card import Card, Memory, OutOfMemory

CARD = Card.of_environment() or Card()
MEMORY = Memory(CARD)
CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
# Where the tensors lie for torch's C++: autograd asks no driver there, and nobody else uses it.
PLACE = torch.device("meta", 1)
OLDEST = (7, 0)  # compute capability that torch has code for
HALVES = (torch.float16, torch.bfloat16)

aten = torch.ops.aten
CONVOLUTIONS = (aten.convolution.default, aten.convolution_backward.default)
# In half precision a CPU takes minutes for these; they compute in float32.
HEAVY = (*CONVOLUTIONS, aten.mm.default, aten.addmm.default, aten.bmm.default)
# Operations whose arguments may lie on both devices.
MIXING = {"copy_", "_to_copy", "index", "index_put", "index_put_", "_index_put_impl_"}


class GpuTensor(torch.Tensor):
    """A tensor on the imitated GPU."""

    device = property(lambda self: GPU)
    is_cuda = property(lambda self: True)
    is_cpu = is_meta = property(lambda self: False)
    data = property(lambda self: self.detach())

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> GpuTensor:
        storage = inner.untyped_storage()
        MEMORY.take(storage._cdata, storage.nbytes())
        layout = {"strides": inner.stride(), "storage_offset": inner.storage_offset()}
        tensor = torch.Tensor._make_wrapper_subclass(
            cls, inner.size(), dtype=inner.dtype, device=PLACE, **layout
        )
        tensor.inner = inner
        weakref.finalize(tensor, MEMORY.drop, storage._cdata).atexit = False
        return tensor

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return run(function, args, kwargs or {})

    def __deepcopy__(self, memo: dict) -> GpuTensor:
        memo[id(self)] = copy = self.detach().clone().requires_grad_(self.requires_grad)
        copy._is_param = getattr(self, "_is_param", False)
        return copy

    def numpy(self, *_: Any, **__: Any):
        what = "can't convert cuda:0 device type tensor to numpy"
        raise TypeError(f"{what}. Use Tensor.cpu() to copy the tensor to host memory first.")

    __array__ = numpy

    def tolist(self) -> Any:
        return self.inner.tolist()

    def get_device(self) -> int:
        return 0

    def __repr__(self, **_: Any) -> str:
        return f"{self.inner!r} on cuda:0"

    def __format__(self, spec: str) -> str:
        return format(self.inner, spec)


class OnGpu(TorchDispatchMode):
    """While it lasts, what is made on the GPU, or brought there, becomes a GpuTensor."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return run(function, args, kwargs or {})


def is_gpu(value: Any) -> bool:
    """Is it the imitated GPU as a device?"""
    return isinstance(value, torch.device) and (value.type == "cuda" or value == PLACE)


def run(function, args: tuple, kwargs: dict) -> Any:
    """Unwrap, compute on the CPU, and wrap what lies on the GPU.

    A tensor that is written in place stays the same object.
    """
    tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
    there = {id(x.inner): x for x in tensors if isinstance(x, GpuTensor)}
    device = kwargs.get("device")
    if not there and not is_gpu(device):
        return function(*args, **kwargs)
    _check_usable()
    _check_devices(function, tensors if there else [])
    if device is not None:
        stays = is_gpu(device)
    else:
        stays = function is not aten.copy_.default or isinstance(args[0], GpuTensor)
    args, kwargs = tree_map(_unwrapped, (args, kwargs))
    result = _compute(function, args, kwargs)

    def wrapped(x: Any) -> Any:
        known = there.get(id(x))
        return known if known is not None else _wrap(x, function) if stays else x

    return tree_map(lambda x: wrapped(x) if isinstance(x, torch.Tensor) else x, result)


def _unwrapped(x: Any) -> Any:
    if isinstance(x, GpuTensor):
        return x.inner
    return CPU if is_gpu(x) else x


def _wrap(x: torch.Tensor, function: Callable) -> GpuTensor:
    try:
        return GpuTensor(x)
    except OutOfMemory as error:
        if CARD.words == "cudnn" and function in CONVOLUTIONS:
            words = "FIND was unable to find an engine to execute this computation"
            raise RuntimeError(words) from None
        raise torch.OutOfMemoryError(str(error)) from None


def _check_usable() -> None:
    if not CARD.visible:
        raise RuntimeError("No CUDA GPUs are available")
    if CARD.major_minor < OLDEST:
        error = getattr(torch, "AcceleratorError", RuntimeError)
        raise error("CUDA error: no kernel image is available for execution on the device")


def _check_devices(function, tensors: list[torch.Tensor]) -> None:
    """Numbers, tensors without dimensions, may come from the CPU; other tensors may not."""
    if function.overloadpacket.__name__ in MIXING:
        return
    for x in tensors:
        if not isinstance(x, GpuTensor) and x.dim() and not x.is_meta:
            what = "Expected all tensors to be on the same device, but found at least two devices"
            raise RuntimeError(f"{what}, cuda:0 and {x.device}! (in {function})")


def _compute(function, args: tuple, kwargs: dict) -> Any:
    """On the CPU; what it lacks in half precision, or is slow at, in float32."""
    tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
    halves = [x.dtype for x in tensors if x.dtype in HALVES]
    if not (halves and function in HEAVY):
        try:
            return function(*args, **kwargs)
        except RuntimeError as error:
            if not halves or "not implemented for" not in str(error):
                raise
    args, kwargs = tree_map(lambda x: _cast(x, HALVES, torch.float32), (args, kwargs))
    result = function(*args, **kwargs)
    return tree_map(lambda x: _cast(x, (torch.float32,), halves[0]), result)


def _cast(x: Any, of: tuple[torch.dtype, ...], to: torch.dtype) -> Any:
    return x.to(to) if isinstance(x, torch.Tensor) and x.dtype in of else x
