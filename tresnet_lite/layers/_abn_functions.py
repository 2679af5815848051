"""The arithmetic of in-place activated batch norm: one autograd function, synchronised or not.

Forward, per channel, with xhat = (x - mean) / sqrt(var + eps):

    z = weight * xhat + bias,    y = z where z > 0, slope * z elsewhere

Slope 1 is the identity and slope 0 is ReLU. Backward needs xhat and the sign of z. As long as the
slope is not 0 and the weight not too small, both can be read from y, which the next layer keeps
anyway, so x need not be kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

SMALLEST_WEIGHT = 1e-3  # a channel is read back from y where |weight| >= SMALLEST_WEIGHT
LARGEST_RATIO = 16.0  # and |bias| <= LARGEST_RATIO * |weight|


class Norm(NamedTuple):
    """What batch norm needs beside x, weight and bias.

    The running statistics are (C,), float32 where x is of a half type. ``group`` is the process
    group over whose joined batch the statistics are taken; None is this process alone.
    """

    running_mean: Tensor
    running_var: Tensor
    momentum: float
    eps: float
    group: Any


def unrecoverable_channels(weight: Tensor, bias: Tensor) -> Tensor:
    """Indices (K,) of the channels whose xhat can't be read back from y.

    y holds z to a relative error u (2^-8 in bfloat16, 2^-11 in float16, 2^-24 in float32), which
    makes (z - bias) / weight wrong by u * (|bias| / |weight| + |xhat|). LARGEST_RATIO holds the
    first term under 16 u: 6 % of a standard deviation in bfloat16. SMALLEST_WEIGHT does the same
    for what float16 rounds to zero at slope 0.001.
    """
    smallest = (bias.detach().abs() / LARGEST_RATIO).clamp_min(SMALLEST_WEIGHT)
    return (weight.detach().abs() < smallest).nonzero().squeeze(1)


def is_invertible(slope: float, dtype: torch.dtype) -> bool:
    """Whether z can be read from y in this dtype, and keeping y spares x.

    The identity's backward doesn't need y, so keeping it would spare nothing.
    """
    return slope != 1 and slope >= (1e-3 if dtype == torch.float16 else 1e-9)


class BatchNormLeaky(torch.autograd.Function):
    """Training-mode batch norm and leaky ReLU, which keeps y instead of x.

    Inputs: x (N, C, ...); weight and bias (C,), float32 where x is of a half type; the ``spilled``
    channels, whose part of x is kept too (None: all of x, and not y). Outputs: y like x, the new
    running mean and variance, then what backward keeps: the batch's mean and 1/std, and the spilled
    part of x.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(
        x: Tensor, weight: Tensor, bias: Tensor, norm: Norm, slope: float, spilled: Tensor | None
    ) -> tuple[Tensor, ...]:
        z, *statistics = batch_norm_forward(x, weight, bias, norm)
        y = z if slope == 1 else F.leaky_relu_(z, slope)
        if spilled is None or not spilled.numel():
            return y, *statistics, x.new_empty(0)
        return y, *statistics, x.index_select(1, spilled)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
        x, weight, bias, norm, ctx.slope, spilled = inputs
        y, _, _, mean, invstd, part = output
        ctx.eps, ctx.group = norm.eps, norm.group
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)
        ctx.keeps_x = spilled is None
        if ctx.keeps_x:
            ctx.save_for_backward(x, None if ctx.slope == 1 else y, weight, mean, invstd)
        else:
            ctx.save_for_backward(y, weight, bias, mean, invstd, spilled, part)

    @staticmethod
    def backward(ctx: Any, dy: Tensor | None, *_: Any) -> tuple[Any, ...]:
        if dy is None:  # y is not part of what is differentiated
            return (None,) * 6
        if ctx.keeps_x:
            x, y, weight, mean, invstd = ctx.saved_tensors
            xhat = x, mean, invstd, weight
        else:
            y, *state = ctx.saved_tensors
            xhat = _read_back(y, state, ctx.slope)
        if ctx.slope != 1:
            # True: y is the result, not the input
            dy = torch.ops.aten.leaky_relu_backward(dy, y, ctx.slope, True)
        return *_norm_backward(dy, *xhat, ctx.eps, ctx.group), None, None, None


def _read_back(
    y: Tensor, state: Sequence[Tensor], slope: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """source, shift, scale and gain, as :func:`batch_norm_backward` takes them, from y.

    source is z with the spilled channels of x laid over it. A weight that came close to 0 after the
    spilled channels were chosen gets a bounded xhat: the inverse weight / max(weight², floor²) goes
    to 0 with it, not to infinity, and z's rounding, u * |bias|, is never magnified to more than
    1/8.
    """
    weight, bias, mean, invstd, spilled, part = state
    floor = 4 * torch.finfo(y.dtype).eps * bias
    square = torch.maximum(weight.square(), floor.square()).clamp_min(1e-30)
    source, shift, scale, gain = F.leaky_relu(y, 1 / slope), bias, weight / square, square * invstd
    if spilled.numel():
        source.index_copy_(1, spilled, part)  # in place: out of place it would lose channels-last
        shift = shift.index_copy(0, spilled, mean[spilled])
        scale = scale.index_copy(0, spilled, invstd[spilled])
        gain = gain.index_copy(0, spilled, weight[spilled])
    return source, shift, scale, gain


def first_derivative(function: Callable[..., Any]) -> Callable[..., Any]:
    """A backward as an operation of its own, so that a second derivative is refused.

    ``torch.func`` is refused it too. Autograd's own would take the batch's statistics for constants
    and be silently wrong.
    """

    class FirstDerivative(torch.autograd.Function):
        generate_vmap_rule = True
        forward = staticmethod(function)

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
            pass

        @staticmethod
        def backward(ctx: Any, *_: Any) -> None:
            raise RuntimeError(
                "InPlaceABN has no second derivative in training; use eval() or nn.BatchNorm2d"
                " for it"
            )

    return FirstDerivative.apply


def batch_norm_forward(x: Tensor, weight: Tensor, bias: Tensor, norm: Norm) -> tuple[Tensor, ...]:
    """z, the new running mean and variance, the batch's mean and 1/std; no input is changed."""
    running = norm.running_mean.clone(), norm.running_var.clone()
    if norm.group is not None:
        z, *batch = _synchronised_batch_norm(x, weight, bias, norm, *running)
    else:
        z, *batch = torch.native_batch_norm(
            x, weight, bias, *running, True, norm.momentum, norm.eps
        )
    return z, *running, *batch


def batch_norm_backward(
    dz: Tensor, source: Tensor, shift: Tensor, scale: Tensor, gain: Tensor, eps: float, group: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """dx, dweight and dbias, where xhat = (source - shift) * scale and gain * scale = weight / std.

    Plain batch norm has source x, shift mean, scale 1/std and gain weight. PyTorch's kernel takes
    any.
    """
    alone = group is None
    dx, dweight, dbias = torch.ops.aten.native_batch_norm_backward(
        dz, source, gain, None, None, shift, scale, True, eps, [alone, True, True]
    )
    if not alone:
        sums = torch.cat([dweight, dbias])
        dx = _synchronised_dx(dz, source, shift, scale, gain, sums, group)
    return dx, dweight, dbias


_norm_backward = first_derivative(batch_norm_backward)


def _synchronised_batch_norm(
    x: Tensor, weight: Tensor, bias: Tensor, norm: Norm, running_mean: Tensor, running_var: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """z, mean and 1/std over a group's joined batch; running statistics are updated in place."""
    dims = [d for d in range(x.dim()) if d != 1]
    local_var, local_mean = torch.var_mean(x.to(weight.dtype), dims, correction=0)
    local = torch.cat([local_mean, local_var, local_mean.new_tensor([x.numel() / x.shape[1]])])
    processes = torch.distributed.get_world_size(norm.group)
    gathered = [torch.empty_like(local) for _ in range(processes)]
    torch.distributed.all_gather(gathered, local, group=norm.group)
    # Means and variances are joined, not sums of squares: those cancel where the mean is large.
    means, variances, counts = torch.stack(gathered).split([x.shape[1], x.shape[1], 1], dim=1)
    count = counts.sum()
    mean = (means * counts).sum(0) / count
    var = ((variances + (means - mean).square()) * counts).sum(0) / count
    running_mean.lerp_(mean, norm.momentum)
    running_var.lerp_(var * count / (count - 1), norm.momentum)
    z = F.batch_norm(x, mean, var, weight, bias, False, 0.0, norm.eps)
    return z, mean, (var + norm.eps).rsqrt()


def _synchronised_dx(
    dz: Tensor, source: Tensor, shift: Tensor, scale: Tensor, gain: Tensor, sums: Tensor, group: Any
) -> Tensor:
    """dx = gain * scale * (dz - mean(dz) - xhat * mean(dz * xhat)), with a group's joined means.

    ``sums`` (2C,) are this process's, over dz * xhat and over dz.
    """
    count = sums.new_tensor([dz.numel() / dz.shape[1]])
    totals = torch.cat([sums, count])
    torch.distributed.all_reduce(totals, group=group)
    mean_dzx, mean_dz = (totals[:-1] / totals[-1]).chunk(2)
    shape = [1, -1] + [1] * (dz.dim() - 2)
    shift, scale, gain, mean_dzx, mean_dz = (
        v.view(shape) for v in (shift, scale, gain, mean_dzx, mean_dz)
    )
    xhat = (source - shift) * scale
    return (gain * scale * (dz - mean_dz - xhat * mean_dzx)).to(dz.dtype)
