"""torch.autocast("cuda") for the imitated GPU, function by function, by CUDA's own lists."""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from imitation.tensors import GpuTensor

# https://docs.pytorch.org/docs/stable/amp.html#cuda-op-specific-behavior
HALF_LIST = """
conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d matmul __matmul__ mm addmm
mv addmv bmm baddbmm addbmm linear einsum prelu
"""
FULL_LIST = """
acos asin cosh exp expm1 log log10 log2 log1p reciprocal rsqrt sinh tan pow __pow__ softplus
layer_norm norm group_norm cosine_similarity mse_loss l1_loss smooth_l1_loss huber_loss kl_div
nll_loss cross_entropy binary_cross_entropy_with_logits dist pdist logsumexp softmax log_softmax
cumsum cumprod sum prod
"""
HALF, FULL = set(HALF_LIST.split()), set(FULL_LIST.split())
_active: list[torch.dtype | None] = []  # the half type of each context; None where it is off
_real = torch.autocast
_real_is_enabled, _real_dtype = torch.is_autocast_enabled, torch.get_autocast_dtype


class _Casting(TorchFunctionMode):
    """Casts the arguments of each function on the lists."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name, half, kwargs = getattr(function, "__name__", ""), _active[-1], kwargs or {}
        if half and name in HALF | FULL:
            to = half if name in HALF else torch.float32
            args, kwargs = tree_map(lambda x: x.to(to) if _is_cast(x) else x, (args, kwargs))
        return function(*args, **kwargs)


def _is_cast(x: Any) -> bool:
    return isinstance(x, GpuTensor) and x.is_floating_point() and x.dtype != torch.float64


class Autocast:
    """In the place of torch.autocast; other devices get torch's own."""

    def __init__(self, device_type, dtype=None, enabled=True, cache_enabled=None) -> None:
        self.cpu = None if device_type == "cuda" else _real(device_type, dtype, enabled)
        self.half = (dtype or torch.float16) if enabled else None

    def __enter__(self):
        if self.cpu is not None:
            return self.cpu.__enter__()
        _active.append(self.half)
        self.casting = _Casting()
        return self.casting.__enter__()

    def __exit__(self, *error):
        if self.cpu is not None:
            return self.cpu.__exit__(*error)
        _active.pop()
        return self.casting.__exit__(*error)


def is_enabled(device_type: str = "cuda") -> bool:
    if device_type != "cuda":
        return _real_is_enabled(device_type)
    return bool(_active and _active[-1])


def current_dtype(device_type: str) -> torch.dtype:
    if device_type != "cuda":
        return _real_dtype(device_type)
    return (_active and _active[-1]) or torch.float16
