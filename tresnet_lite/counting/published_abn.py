"""Inplace-ABN as its authors' CUDA kernels run it: one operation forward, one backward.

`PublishedABN` computes nothing. It stands in a network where the paper's networks have the
published layer (https://github.com/mapillary/inplace_abn), whose kernels no counter could look
into. `traffic` knows how often each kernel passes over its map.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tresnet_lite.layers import InPlaceABN


@torch.library.custom_op("tresnet_lite::published_abn", mutates_args=())
def published_abn(x: Tensor, weight: Tensor, bias: Tensor, training: bool) -> Tensor:
    """The map y like x; only its shape is right."""
    return torch.empty_like(x)


@torch.library.custom_op("tresnet_lite::published_abn_backward", mutates_args=())
def published_abn_backward(y: Tensor, dy: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """dx, like y; only its shape is right."""
    return torch.empty_like(y)


published_abn.register_fake(lambda x, weight, bias, training: torch.empty_like(x))
published_abn_backward.register_fake(lambda y, dy, weight, bias: torch.empty_like(y))


class _Passes(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, training: bool) -> Tensor:
        y = published_abn(x, weight, bias, training)
        ctx.save_for_backward(y, weight, bias)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Any, ...]:
        y, weight, bias = ctx.saved_tensors
        # those of the parameters are a number per channel
        return published_abn_backward(y, dy, weight, bias), None, None, None


class PublishedABN(nn.Module):
    """Stands for the published layer of `num_features` channels: (N, C, ...) → (N, C, ...)."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))

    def forward(self, x: Tensor) -> Tensor:
        return _Passes.apply(x, self.weight, self.bias, self.training)


def with_published_passes(network: nn.Module) -> nn.Module:
    """The network, in place, with a `PublishedABN` where each Inplace-ABN was."""
    for path, norm in list(network.named_modules()):
        if isinstance(norm, InPlaceABN):
            network.set_submodule(path, PublishedABN(norm.num_features))
    return network
