"""The arithmetic of in-place activated batch norm: one autograd function, synchronised or not.

Forward, per channel, with xhat = (x - mean) / sqrt(var + eps):

    z = weight * xhat + bias,    y = z where z > 0, slope * z elsewhere

Slope 1 is the identity and slope 0 is ReLU. Backward needs xhat and the sign of z. As long as the
slope is not 0 and the weight not too small, both can be read from y, which the next layer keeps
anyway, so x need not be kept.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SMALLEST_WEIGHT = 1e-3  # a channel is read back from y where |weight| >= SMALLEST_WEIGHT
LARGEST_RATIO = 16.0  # and |bias| <= LARGEST_RATIO * |weight|


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
    """Whether y tells z in this dtype, and keeping y spares x (which the identity doesn't need y
    for).
    """
    return slope != 1 and slope >= (1e-3 if dtype == torch.float16 else 1e-9)


class BatchNormLeaky(torch.autograd.Function):
    """Training-mode batch norm and leaky ReLU: keeps y, and x for the ``spilled`` channels (all of
    x if None).

    Inputs: x (N, C, ...); weight, bias, running_mean, running_var (C,), float32 where x is of a
    half type. Outputs: y like x, the new running mean and variance, then what backward keeps: the
    batch's mean and 1/std, and the spilled part of x.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x, weight, bias, running_mean, running_var, momentum, eps, group, slope, spilled):
        z, mean, invstd, *running = batch_norm_forward(
            x, weight, bias, running_mean, running_var, momentum, eps, group
        )
        y = z if slope == 1 else F.leaky_relu_(z, slope)
        part = (
            x.new_empty(0) if spilled is None or not spilled.numel() else x.index_select(1, spilled)
        )
        return y, *running, mean, invstd, part

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, weight, bias, _, _, _, ctx.eps, ctx.group, ctx.slope, spilled = inputs
        y, _, _, mean, invstd, part = output
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)
        ctx.keeps_x = spilled is None
        if ctx.keeps_x:
            ctx.save_for_backward(x, None if ctx.slope == 1 else y, weight, mean, invstd)
        else:
            ctx.save_for_backward(y, weight, bias, mean, invstd, spilled, part)

    @staticmethod
    def backward(ctx, dy, *_):
        if dy is None:  # y had no part in what is differentiated
            return (None,) * 10
        if ctx.keeps_x:
            source, y, weight, shift, scale = ctx.saved_tensors
            gain = weight
        else:
            y, *saved = ctx.saved_tensors
            source, shift, scale, gain = _read_back(y, *saved, ctx.slope)
        if ctx.slope != 1:
            # True: y is the result, not the input
            dy = torch.ops.aten.leaky_relu_backward(dy, y, ctx.slope, True)
        return *_NormBackward.apply(dy, source, shift, scale, gain, ctx.eps, ctx.group), *[None] * 7


def _read_back(y, weight, bias, mean, invstd, spilled, part, slope):
    """source, shift, scale, gain such that xhat = (source - shift) * scale and gain * scale =
    weight * invstd.

    source is z with the spilled channels of x laid over it. A weight that came close to 0 after the
    spilled channels were chosen gets a bounded xhat: the inverse weight / max(weight², floor²) goes
    to 0 with it, not to infinity, and z's rounding, u * |bias|, is never magnified to more than
    1/8.
    """
    floor = 4 * torch.finfo(y.dtype).eps * bias
    square = torch.maximum(weight.square(), floor.square()).clamp_min(1e-30)
    source, shift, scale, gain = F.leaky_relu(y, 1 / slope), bias, weight / square, square * invstd
    if spilled.numel():
        source.index_copy_(1, spilled, part)  # in place: out of place it would lose channels-last
        shift = shift.index_copy(0, spilled, mean[spilled])
        scale = scale.index_copy(0, spilled, invstd[spilled])
        gain = gain.index_copy(0, spilled, weight[spilled])
    return source, shift, scale, gain


class FirstDerivative(torch.autograd.Function):
    """A backward as an operation of its own, so that a second derivative is refused, by
    ``torch.func`` too.

    Autograd's own would take the batch's statistics for constants and be silently wrong. Subclasses
    add `forward`.
    """

    generate_vmap_rule = True

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, *_):
        raise RuntimeError(
            "InPlaceABN has no second derivative in training; use eval() or nn.BatchNorm2d for it"
        )


class _NormBackward(FirstDerivative):
    """:func:`batch_norm_backward`, once."""

    @staticmethod
    def forward(dz, source, shift, scale, gain, eps, group):
        return batch_norm_backward(dz, source, shift, scale, gain, eps, group)


def batch_norm_forward(x, weight, bias, running_mean, running_var, momentum, eps, group):
    """z, the batch's mean and 1/std, and the new running mean and variance; no input is changed."""
    running = running_mean.clone(), running_var.clone()
    if group is not None:
        return *_synchronised_batch_norm(x, weight, bias, *running, momentum, eps, group), *running
    return *torch.native_batch_norm(x, weight, bias, *running, True, momentum, eps), *running


def batch_norm_backward(dz, source, shift, scale, gain, eps, group):
    """dx, dweight and dbias from dz, where xhat = (source - shift) * scale and gain * scale =
    weight / std.

    Plain batch norm has source x, shift mean, scale 1/std and gain weight. PyTorch's kernel takes
    any.
    """
    alone = group is None
    dx, dweight, dbias = torch.ops.aten.native_batch_norm_backward(
        dz, source, gain, None, None, shift, scale, True, eps, [alone, True, True]
    )
    if not alone:
        dx = _synchronised_dx(dz, source, shift, scale, gain, dweight, dbias, group)
    return dx, dweight, dbias


def _synchronised_batch_norm(x, weight, bias, running_mean, running_var, momentum, eps, group):
    """Batch norm over the joined batch of a process group; the running statistics are updated in
    place.
    """
    dims = [d for d in range(x.dim()) if d != 1]
    local_var, local_mean = torch.var_mean(x.to(weight.dtype), dims, correction=0)
    local = torch.cat([local_mean, local_var, local_mean.new_tensor([x.numel() / x.shape[1]])])
    gathered = [torch.empty_like(local) for _ in range(torch.distributed.get_world_size(group))]
    torch.distributed.all_gather(gathered, local, group=group)
    # Means and variances are joined, not sums of squares: those cancel where the mean is large.
    means, variances, counts = torch.stack(gathered).split([x.shape[1], x.shape[1], 1], dim=1)
    count = counts.sum()
    mean = (means * counts).sum(0) / count
    var = ((variances + (means - mean).square()) * counts).sum(0) / count
    running_mean.lerp_(mean, momentum)
    running_var.lerp_(var * count / (count - 1), momentum)
    return F.batch_norm(x, mean, var, weight, bias, False, 0.0, eps), mean, (var + eps).rsqrt()


def _synchronised_dx(dz, source, shift, scale, gain, dweight, dbias, group):
    """dx = gain * scale * (dz - mean(dz) - xhat * mean(dz * xhat)), the means over the group's
    joined batch.
    """
    count = dweight.new_tensor([dz.numel() / dz.shape[1]])
    sums = torch.cat([dweight, dbias, count])
    torch.distributed.all_reduce(sums, group=group)
    mean_dzx, mean_dz = (sums[:-1] / sums[-1]).chunk(2)
    shape = [1, -1] + [1] * (dz.dim() - 2)
    shift, scale, gain, mean_dzx, mean_dz = (
        v.view(shape) for v in (shift, scale, gain, mean_dzx, mean_dz)
    )
    xhat = (source - shift) * scale
    return (gain * scale * (dz - mean_dz - xhat * mean_dzx)).to(dz.dtype)
