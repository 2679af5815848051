"""The end of a residual block as one autograd operation: norm → SE → + shortcut → activation (paper
§2.1, figure 3).

The norm before the sum has no activation, so inverting it would spare nothing: its input or its
output must be kept, and only the input gives exact gradients when its weight is near zero, which is
where the network starts. One operation keeps that input and nothing else of its size: the block's
output is kept by the next block anyway.

A bottleneck's last convolution can spare more. Its input, the SE product, is what one
multiplication gives back; its output, four times as large, is what one 1×1 convolution gives back.
Which of the two is kept is the choice of ``memory``: see :class:`tresnet_lite.TResNetConfig`.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tresnet_lite.layers._abn_functions import (
    FirstDerivative,
    batch_norm_backward,
    batch_norm_forward,
)
from tresnet_lite.layers._autocast import without_autocast
from tresnet_lite.layers.inplace_abn import InPlaceABN
from tresnet_lite.layers.squeeze_excite import SqueezeExcite

Tail = Callable[[Tensor, Tensor, nn.Module, nn.Conv2d, nn.Module, nn.Module], Tensor]


def residual_tail(
    x: Tensor, shortcut: Tensor, bn: nn.Module, se: nn.Module, act: nn.Module
) -> Tensor:
    """act(se(bn(x)) + shortcut), all (B, C, H, W); keeps x and the result alone where ``bn`` is
    Inplace-ABN.
    """
    if not _fuses(bn):
        return act(se(bn(x)) + shortcut)
    excite = [None] * 4
    if isinstance(se, SqueezeExcite):
        excite = [se.fc1.weight.flatten(1), se.fc1.bias, se.fc2.weight.flatten(1), se.fc2.bias]
    out, *running = ResidualTail.apply(x, shortcut, *excite, *bn.training_arguments(x), _slope(act))
    bn.track(*running[:2])
    return out


def pointwise_tail(
    x: Tensor, shortcut: Tensor, se: nn.Module, conv: nn.Conv2d, bn: nn.Module, act: nn.Module
) -> Tensor:
    """act(bn(conv(se(x))) + shortcut) for a 1×1 ``conv``, as published: keeps se's product and
    conv's result.
    """
    return residual_tail(conv(se(x)), shortcut, bn, nn.Identity(), act)


def lean_pointwise_tail(
    x: Tensor, shortcut: Tensor, se: nn.Module, conv: nn.Conv2d, bn: nn.Module, act: nn.Module
) -> Tensor:
    """:func:`pointwise_tail` that keeps x and the gate instead of their product."""
    if not (isinstance(se, SqueezeExcite) and conv.training and torch.is_grad_enabled()):
        return pointwise_tail(x, shortcut, se, conv, bn, act)
    x = GatedConv.apply(x, se.gate(x), conv.weight.to(x.dtype))
    return residual_tail(x, shortcut, bn, nn.Identity(), act)


def recomputing_pointwise_tail(
    x: Tensor, shortcut: Tensor, se: nn.Module, conv: nn.Conv2d, bn: nn.Module, act: nn.Module
) -> Tensor:
    """:func:`lean_pointwise_tail` that convolves again in backward instead of keeping conv's
    result.
    """
    if not _fuses(bn):
        return lean_pointwise_tail(x, shortcut, se, conv, bn, act)
    gate = se.gate(x) if isinstance(se, SqueezeExcite) else None
    arguments = bn.training_arguments(x)
    out, *running = PointwiseTail.apply(
        x, gate, conv.weight.to(x.dtype), shortcut, *arguments, _slope(act)
    )
    bn.track(*running[:2])
    return out


POINTWISE_TAILS: dict[str, Tail] = {
    "paper": pointwise_tail,
    "lean": lean_pointwise_tail,
    "recompute": recomputing_pointwise_tail,
    "min": lean_pointwise_tail,
}


def _fuses(bn: nn.Module) -> bool:
    return (
        isinstance(bn, InPlaceABN)
        and bn.training
        and bn.backend == "native"
        and torch.is_grad_enabled()
    )


def _slope(act: nn.Module) -> float:
    return act.negative_slope if isinstance(act, nn.LeakyReLU) else 0.0


class ResidualTail(torch.autograd.Function):
    """out = leaky(z·gate + shortcut) with z = norm(x) and gate = sigmoid(w2·relu(w1·mean(z) + b1) +
    b2), or 1.

    Keeps x (B, C, H, W), out, and vectors of (B, C) and smaller.
    """

    @staticmethod
    def forward(
        x,
        shortcut,
        w1,
        b1,
        w2,
        b2,
        weight,
        bias,
        running_mean,
        running_var,
        momentum,
        eps,
        group,
        slope,
    ):
        z, mean, invstd, *running = batch_norm_forward(
            x, weight, bias, running_mean, running_var, momentum, eps, group
        )
        squeezed = hidden = gate = None
        if w1 is not None:
            squeezed, hidden, gate = _excite(z, w1, b1, w2, b2)
            z = z.mul_(gate[:, :, None, None].to(z.dtype))
        out = F.leaky_relu_(z.add_(shortcut), slope)
        return out, *running, mean, invstd, squeezed, hidden, gate

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
        x, _, w1, _, w2, _, weight, bias, _, _, _, ctx.eps, ctx.group, ctx.slope = inputs
        out, _, _, mean, invstd, squeezed, hidden, gate = output
        ctx.mark_non_differentiable(*(t for t in output[1:] if t is not None))
        ctx.save_for_backward(x, out, weight, bias, mean, invstd, w1, w2, squeezed, hidden, gate)

    @staticmethod
    def backward(ctx: Any, dout: Tensor, *_: Any) -> tuple:
        return *_TailBackward.apply(dout, *ctx.saved_tensors, ctx.eps, ctx.group, ctx.slope), *[
            None
        ] * 6


class _TailBackward(FirstDerivative):
    """The gradients of :class:`ResidualTail`'s x, shortcut, w1, b1, w2, b2, weight and bias."""

    @staticmethod
    def forward(
        dout, x, out, weight, bias, mean, invstd, w1, w2, squeezed, hidden, gate, eps, group, slope
    ):
        dshortcut = torch.ops.aten.leaky_relu_backward(dout, out, slope, True)
        dz, dexcite = dshortcut, [None] * 4
        if w1 is not None:
            z = F.batch_norm(x, mean, invstd.pow(-2) - eps, weight, bias, False, 0.0, eps)
            dgate = (dshortcut * z).sum((2, 3), dtype=gate.dtype)
            dsqueezed, *dexcite = _excite_backward(dgate, w1, w2, squeezed, hidden, gate)
            each_pixel = dsqueezed / (x.shape[2] * x.shape[3])
            dz = torch.addcmul(each_pixel[:, :, None, None], dshortcut, gate[:, :, None, None]).to(
                x.dtype
            )
        dx, dweight, dbias = batch_norm_backward(dz, x, mean, invstd, weight, eps, group)
        return dx, dshortcut, *dexcite, dweight, dbias


class GatedConv(torch.autograd.Function):
    """conv1×1(x·gate): keeps x (B, C, H, W) and gate (B, C, 1, 1), not their product."""

    @staticmethod
    def forward(x: Tensor, gate: Tensor, kernel: Tensor) -> Tensor:
        return F.conv2d(x * gate, kernel)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple:
        return _GatedConvBackward.apply(dy, *ctx.saved_tensors)


class _GatedConvBackward(FirstDerivative):
    """The gradients of :class:`GatedConv`'s inputs."""

    @staticmethod
    def forward(dy, x, gate, kernel):
        return _gated_conv_backward(dy, x, gate, kernel)


class PointwiseTail(torch.autograd.Function):
    """leaky(norm(conv1×1(x·gate)) + shortcut): keeps x, the gate and the result; backward convolves
    once more.
    """

    @staticmethod
    def forward(
        x,
        gate,
        kernel,
        shortcut,
        weight,
        bias,
        running_mean,
        running_var,
        momentum,
        eps,
        group,
        slope,
    ):
        z, mean, invstd, *running = batch_norm_forward(
            _gated_conv(x, gate, kernel),
            weight,
            bias,
            running_mean,
            running_var,
            momentum,
            eps,
            group,
        )
        return F.leaky_relu_(z.add_(shortcut), slope), *running, mean, invstd

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple) -> None:
        x, gate, kernel, _, weight, _, _, _, _, ctx.eps, ctx.group, ctx.slope = inputs
        out, _, _, mean, invstd = output
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(x, gate, kernel, out, weight, mean, invstd)

    @staticmethod
    def backward(ctx: Any, dout: Tensor, *_: Any) -> tuple:
        return *_PointwiseTailBackward.apply(
            dout, *ctx.saved_tensors, ctx.eps, ctx.group, ctx.slope
        ), *[None] * 6


class _PointwiseTailBackward(FirstDerivative):
    """The gradients of :class:`PointwiseTail`'s x, gate, kernel, shortcut, weight and bias."""

    @staticmethod
    def forward(dout, x, gate, kernel, out, weight, mean, invstd, eps, group, slope):
        dshortcut = torch.ops.aten.leaky_relu_backward(dout, out, slope, True)
        convolved = _gated_conv(x, gate, kernel)
        dconvolved, dweight, dbias = batch_norm_backward(
            dshortcut, convolved, mean, invstd, weight, eps, group
        )
        dx, dgate, dkernel = _gated_conv_backward(dconvolved, x, gate, kernel)
        return dx, dgate, dkernel, dshortcut, dweight, dbias


def _gated_conv(x: Tensor, gate: Tensor | None, kernel: Tensor) -> Tensor:
    return F.conv2d(x if gate is None else x * gate, kernel)


def _gated_conv_backward(dy: Tensor, x: Tensor, gate: Tensor | None, kernel: Tensor) -> tuple:
    product = x if gate is None else x * gate
    dproduct, dkernel, _ = torch.ops.aten.convolution_backward(
        dy, product, kernel, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1, [True, True, False]
    )
    if gate is None:
        return dproduct, None, dkernel
    return dproduct * gate, (dproduct * x).sum((2, 3), keepdim=True), dkernel


def _excite(
    z: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Squeezed (B, C), hidden (B, R) and gate (B, C), in the parameters' precision whatever
    autocast says.
    """
    squeezed = z.mean((2, 3), dtype=w1.dtype)
    with without_autocast(z):
        hidden = F.linear(squeezed, w1, b1).relu()
        gate = F.linear(hidden, w2, b2).sigmoid()
    return squeezed, hidden, gate


def _excite_backward(
    dgate: Tensor, w1: Tensor, w2: Tensor, squeezed: Tensor, hidden: Tensor, gate: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of squeezed, w1, b1, w2, b2."""
    dlogit = dgate * gate * (1 - gate)
    dhidden = (dlogit @ w2) * (hidden > 0)
    return dhidden @ w1, dhidden.T @ squeezed, dhidden.sum(0), dlogit.T @ hidden, dlogit.sum(0)
