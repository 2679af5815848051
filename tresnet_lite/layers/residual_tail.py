"""The end of a residual block as one autograd operation (paper §2.1, figure 3).

It is norm → SE → + shortcut → activation. The norm before the sum has no activation, so inverting
it would spare nothing: its input or its output must be kept, and only the input gives exact
gradients when its weight is near zero, which is where the network starts. One operation keeps that
input and nothing else of its size: the block's output is kept by the next block anyway.

A bottleneck's last convolution can spare more. Its input, the SE product, is what one
multiplication gives back; its output, four times as large, is what one 1×1 convolution gives back.
Which of the two is kept is the choice of ``memory``: see :class:`tresnet_lite.TResNetConfig`.

An operation takes the place of plain modules only, see :func:`tresnet_lite.layers.plain.is_plain`;
others are called.
"""

from typing import Any, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tresnet_lite.layers._abn_functions import (
    Norm,
    batch_norm_backward,
    batch_norm_forward,
    first_derivative,
)
from tresnet_lite.layers._autocast import without_autocast
from tresnet_lite.layers.fast_gap import FastGlobalAvgPool2d
from tresnet_lite.layers.inplace_abn import InPlaceABN, InPlaceABNSync
from tresnet_lite.layers.plain import is_plain
from tresnet_lite.layers.squeeze_excite import SqueezeExcite


def residual_tail(
    x: Tensor, shortcut: Tensor, bn: nn.Module, se: nn.Module, act: nn.Module
) -> Tensor:
    """act(se(bn(x)) + shortcut), all (B, C, H, W).

    In training this is one operation, which keeps x and the result alone, where ``bn`` is
    Inplace-ABN without activation, ``se`` SqueezeExcite or the identity, ``act`` ReLU or leaky
    ReLU, and all of them plain.
    """
    if not (_fuses(bn, act) and (is_plain(se, nn.Identity) or _is_plain_excite(se))):
        return act(se(bn(x)) + shortcut)
    excite: list[Tensor | None] = [None] * 4
    if isinstance(se, SqueezeExcite):
        excite = [se.fc1.weight.flatten(1), se.fc1.bias, se.fc2.weight.flatten(1), se.fc2.bias]
    return _fused(bn, act, x, shortcut, None, None, *excite)


def pointwise_tail(
    x: Tensor,
    shortcut: Tensor,
    se: nn.Module,
    conv: nn.Module,
    bn: nn.Module,
    act: nn.Module,
    memory: str,
) -> Tensor:
    """act(bn(conv(se(x))) + shortcut) for a 1×1 ``conv``: (B, C_in, H, W) → (B, C, H, W).

    Args:
        memory: what training keeps where the modules are plain. "paper" keeps se's product and
            conv's result; "lean" and "min" keep x and the gate instead of their product;
            "recompute" also convolves again in backward instead of keeping conv's result.
    """
    plain = _is_plain_pointwise(conv, bias=False) and is_plain(se, SqueezeExcite, nn.Identity)
    if memory == "paper" or not plain:
        return residual_tail(conv(se(x)), shortcut, bn, nn.Identity(), act)
    gate = se.gate(x) if isinstance(se, SqueezeExcite) else None
    kernel = conv.get_parameter("weight").to(x.dtype)
    if memory == "recompute" and _fuses(bn, act):
        return _fused(bn, act, x, shortcut, gate, kernel, *[None] * 4)
    x = conv(x) if gate is None else GatedConv.apply(x, gate, kernel)
    return residual_tail(x, shortcut, bn, nn.Identity(), act)


def _fuses(bn: nn.Module, act: nn.Module) -> TypeGuard[InPlaceABN]:
    """Whether norm, sum and activation may be one operation."""
    return (
        torch.is_grad_enabled()
        and bn.training
        and is_plain(bn, InPlaceABN, InPlaceABNSync)
        and bn.activation == "identity"
        and bn.backend == "native"
        and is_plain(act, nn.ReLU, nn.LeakyReLU)
    )


def _is_plain_excite(se: nn.Module) -> TypeGuard[SqueezeExcite]:
    return (
        is_plain(se, SqueezeExcite)
        and is_plain(se.squeeze, FastGlobalAvgPool2d)
        and _is_plain_pointwise(se.fc1, bias=True)
        and is_plain(se.act, nn.ReLU)
        and _is_plain_pointwise(se.fc2, bias=True)
    )


def _is_plain_pointwise(conv: nn.Module, *, bias: bool) -> TypeGuard[nn.Conv2d]:
    return (
        is_plain(conv, nn.Conv2d)
        and (conv.kernel_size, conv.stride, conv.padding) == ((1, 1), (1, 1), (0, 0))
        and conv.groups == 1
        and (conv.bias is not None) == bias
    )


def _fused(bn: InPlaceABN, act: nn.Module, x: Tensor, *tensors: Tensor | None) -> Tensor:
    slope = act.negative_slope if isinstance(act, nn.LeakyReLU) else 0.0
    out, mean, var, *_ = ResidualTail.apply(x, *tensors, *bn.training_arguments(x), slope)
    bn.track(mean, var)
    return out


class ResidualTail(torch.autograd.Function):
    """out = leaky(z·scale + shortcut), z = norm(y), y = x or conv1×1(x·gate).

    SE before the sum gives scale = sigmoid(w2·relu(w1·mean(z) + b1) + b2).

    Inputs: x (B, C, H, W), shortcut like out; gate (B, C, 1, 1) or None for 1; kernel (C_out, C, 1,
    1) or None for y = x; w1 (R, C), b1 (R,), w2 (C, R), b2 (C,), or None for a scale of 1. Keeps x,
    out, and vectors of (B, C) and smaller: backward convolves again.
    """

    @staticmethod
    def forward(
        x: Tensor,
        shortcut: Tensor,
        gate: Tensor | None,
        kernel: Tensor | None,
        w1: Tensor | None,
        b1: Tensor | None,
        w2: Tensor | None,
        b2: Tensor | None,
        weight: Tensor,
        bias: Tensor,
        norm: Norm,
        slope: float,
    ) -> tuple[Tensor | None, ...]:
        y = x if kernel is None else _gated_conv(x, gate, kernel)
        z, *statistics = batch_norm_forward(y, weight, bias, norm)
        squeezed = hidden = scale = None
        if w1 is not None and w2 is not None:
            squeezed, hidden, scale = _excite(z, w1, b1, w2, b2)
            z = z.mul_(scale[:, :, None, None].to(z.dtype))
        return F.leaky_relu_(z.add_(shortcut), slope), *statistics, squeezed, hidden, scale

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
        x, _, gate, kernel, w1, _, w2, _, weight, bias, norm, ctx.slope = inputs
        out, _, _, mean, invstd, *excite = output
        ctx.eps, ctx.group = norm.eps, norm.group
        ctx.mark_non_differentiable(*(t for t in output[1:] if t is not None))
        if w1 is None:
            bias = None
        ctx.save_for_backward(x, gate, kernel, out, weight, bias, mean, invstd, w1, w2, *excite)

    @staticmethod
    def backward(ctx: Any, dout: Tensor, *_: Any) -> tuple[Any, ...]:
        return *_tail_backward(dout, *ctx.saved_tensors, ctx.eps, ctx.group, ctx.slope), None, None


@first_derivative
def _tail_backward(
    dout: Tensor,
    x: Tensor,
    gate: Tensor | None,
    kernel: Tensor | None,
    out: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    mean: Tensor,
    invstd: Tensor,
    w1: Tensor | None,
    w2: Tensor | None,
    squeezed: Tensor,
    hidden: Tensor,
    scale: Tensor,
    eps: float,
    group: Any,
    slope: float,
) -> tuple[Tensor | None, ...]:
    """The gradients of :class:`ResidualTail`'s tensors, in their order."""
    dz = dshortcut = torch.ops.aten.leaky_relu_backward(dout, out, slope, True)
    y = x if kernel is None else _gated_conv(x, gate, kernel)
    dexcite: list[Tensor | None] = [None] * 4
    if w1 is not None and w2 is not None:
        z = F.batch_norm(y, mean, invstd.pow(-2) - eps, weight, bias, False, 0.0, eps)
        dscale = (dshortcut * z).sum((2, 3), dtype=scale.dtype)
        dsqueezed, *dexcite = _excite_backward(dscale, w1, w2, squeezed, hidden, scale)
        each_pixel = dsqueezed / (y.shape[2] * y.shape[3])
        dz = torch.addcmul(each_pixel[:, :, None, None], dshortcut, scale[:, :, None, None])
        dz = dz.to(y.dtype)
    dy, dweight, dbias = batch_norm_backward(dz, y, mean, invstd, weight, eps, group)
    dx, dgate, dkernel = dy, None, None
    if kernel is not None:
        dx, dgate, dkernel = _gated_conv_backward(dy, x, gate, kernel)
    return dx, dshortcut, dgate, dkernel, *dexcite, dweight, dbias


class GatedConv(torch.autograd.Function):
    """conv1×1(x·gate): keeps x (B, C, H, W) and gate (B, C, 1, 1), not their product."""

    @staticmethod
    def forward(x: Tensor, gate: Tensor, kernel: Tensor) -> Tensor:
        return _gated_conv(x, gate, kernel)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Any, ...]:
        return _conv_backward(dy, *ctx.saved_tensors)


def _gated_conv(x: Tensor, gate: Tensor | None, kernel: Tensor) -> Tensor:
    return F.conv2d(x if gate is None else x * gate, kernel)


def _gated_conv_backward(
    dy: Tensor, x: Tensor, gate: Tensor | None, kernel: Tensor
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Gradients of x, gate and kernel."""
    product = x if gate is None else x * gate
    dproduct, dkernel, _ = torch.ops.aten.convolution_backward(
        dy, product, kernel, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1, [True, True, False]
    )
    if gate is None:
        return dproduct, None, dkernel
    return dproduct * gate, (dproduct * x).sum((2, 3), keepdim=True), dkernel


_conv_backward = first_derivative(_gated_conv_backward)


def _excite(
    z: Tensor, w1: Tensor, b1: Tensor | None, w2: Tensor, b2: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Squeezed (B, C), hidden (B, R) and scale (B, C); autocast or not, as precise as w1."""
    squeezed = z.mean((2, 3), dtype=w1.dtype)
    with without_autocast(z):
        hidden = F.linear(squeezed, w1, b1).relu()
        scale = F.linear(hidden, w2, b2).sigmoid()
    return squeezed, hidden, scale


def _excite_backward(
    dscale: Tensor, w1: Tensor, w2: Tensor, squeezed: Tensor, hidden: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of squeezed, w1, b1, w2, b2."""
    dlogit = dscale * scale * (1 - scale)
    dhidden = (dlogit @ w2) * (hidden > 0)
    return dhidden @ w1, dhidden.T @ squeezed, dhidden.sum(0), dlogit.T @ hidden, dlogit.sum(0)
