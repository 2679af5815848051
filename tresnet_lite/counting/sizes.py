"""Sizes that need no clock: parameters, multiply-accumulates (MACs), receptive fields."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tresnet_lite.counting.shapes import PlainShapes
from tresnet_lite.counting.trace import evaluating, trace, zeros
from tresnet_lite.layers import BlurPool2d, InPlaceABN, SpaceToDepth
from tresnet_lite.model import ConvNormAct


def count_parameters(model: nn.Module) -> int:
    """Number of parameters; one that is shared counts once."""
    return sum(p.numel() for p in model.parameters())


def count_macs(model: nn.Module, input_size: tuple[int, ...] = (3, 224, 224)) -> int:
    """Multiply-accumulates of the convolutions and linear layers for one input (C, H, W).

    This is what the paper's "Flops [G]" column counts (Table 1): a multiply and its add are one,
    and norms, activations, pooling and fixed filters are left out. On a model on the "meta" device
    nothing is computed.
    """
    # Operations are counted, not calls of layers, because a fused block uses a layer's weight
    # without calling it.
    counter = FlopCounterMode(display=False)
    with evaluating(model), counter, PlainShapes():
        model(zeros(model, (1, *input_size)))
    return (counter.get_total_flops() - _fixed_flops(model, counter.get_flop_counts())) // 2


def _fixed_flops(model: nn.Module, counts: dict[str, dict]) -> int:
    """FLOPs of layers without parameters, such as a blur, whose filter is not learnt."""
    total = 0
    for path, module in model.named_modules():
        if not [*module.children()] and not [*module.parameters()]:
            total += sum(counts.get(f"{type(model).__name__}.{path}", {}).values())
    return total


def norm_outputs(model: nn.Module, input_size: tuple[int, ...] = (3, 224, 224)) -> int:
    """Numbers that a network's batch norms give for one input (C, H, W)."""
    norms = (nn.BatchNorm2d, InPlaceABN)
    calls = trace(model, input_size)
    return sum(prod(call.output) for call in calls if isinstance(call.module, norms))


@dataclass(frozen=True)
class ReceptiveField:
    """What an output pixel sees: `size`×`size` input pixels, `stride` from what the next sees."""

    size: int
    stride: int


_ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.SiLU)
_POINTWISE = (nn.Identity, nn.Dropout, nn.BatchNorm2d, InPlaceABN, *_ACTIVATIONS)


def receptive_field(layers: nn.Module | Iterable[nn.Module]) -> ReceptiveField:
    """Receptive field, in input pixels, of a chain of layers applied one after the other.

    Raises:
        TypeError: a layer that is not a part of a chain, such as a residual block, or is unknown.
        ValueError: a window that is not square.
    """
    size, stride = 1, 1
    for layer in _chain(layers):
        window, step = _window(layer)
        size += (window - 1) * stride
        stride *= step
    return ReceptiveField(size, stride)


def _chain(layers: nn.Module | Iterable[nn.Module]) -> Iterable[nn.Module]:
    """The layers in the order in which they are applied, nested sequences opened."""
    if isinstance(layers, ConvNormAct):
        layers = (layers.conv, layers.bn, layers.act, layers.aa)
    elif isinstance(layers, nn.Module) and not isinstance(layers, nn.Sequential):
        yield layers
        return
    for layer in layers:
        yield from _chain(layer)


def _window(layer: nn.Module) -> tuple[int, int]:
    """Side of the window that one output pixel of a layer sees, and the layer's stride."""
    if isinstance(layer, _POINTWISE):
        return 1, 1
    if isinstance(layer, SpaceToDepth):
        return layer.block_size, layer.block_size
    if isinstance(layer, BlurPool2d):
        return 3, layer.stride
    if not isinstance(layer, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
        raise TypeError(
            f"receptive_field has no rule for {type(layer).__name__}: it follows chains"
        )
    dilation = _side(getattr(layer, "dilation", 1), layer)
    return dilation * (_side(layer.kernel_size, layer) - 1) + 1, _side(layer.stride, layer)


def _side(value: int | tuple[int, int], layer: nn.Module) -> int:
    if isinstance(value, int):
        return value
    if value[0] != value[1]:
        raise ValueError(f"receptive_field reports squares; {layer} has sides {tuple(value)}")
    return value[0]
