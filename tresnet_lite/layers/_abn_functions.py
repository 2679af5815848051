"""The arithmetic of in-place activated batch norm: one autograd function, with or without synchronisation.

Forward, per channel, with xhat = (x - mean) / sqrt(var + eps):

    z = weight * xhat + bias,    y = z where z > 0, slope * z elsewhere

Slope 1 is the identity and slope 0 is ReLU. Backward needs xhat and the sign of z. Both can be read from y as long as the
activation is invertible and weight is not too small, so y is kept in place of x; y is what the next layer keeps anyway.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

aten = torch.ops.aten

SMALLEST_WEIGHT = 1e-3  # a channel is recovered from y if |weight| >= SMALLEST_WEIGHT
LARGEST_RATIO = 16.0  # and |bias| <= LARGEST_RATIO * |weight|


def unrecoverable_channels(weight: Tensor, bias: Tensor) -> Tensor:
    """Indices of the channels whose xhat can't be read from y in every dtype, (K,).

    y holds z to a relative error of u (2^-9 in bfloat16, 2^-11 in float16, 2^-24 in float32), so (z - bias) / weight is
    off by u * (|bias| / |weight| + |xhat|). The limits keep the first term under 16 u (3 % of a standard deviation in
    bfloat16), and values that float16 flushes to zero below the same 3 % for slopes down to 0.001.
    """
    smallest = (bias.abs() / LARGEST_RATIO).clamp_min(SMALLEST_WEIGHT)
    return (weight.detach().abs() < smallest.detach()).nonzero().squeeze(1)


def is_invertible(slope: float, dtype: torch.dtype) -> bool:
    """Whether the activation can be undone in this dtype: float16 has no room for slopes under 0.001."""
    return slope >= 1e-3 if dtype == torch.float16 else slope > 0
