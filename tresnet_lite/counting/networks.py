"""The networks that campaigns measure, by name: timm's, ours and the rungs of Table 4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from tresnet_lite.ablation import ablation_ladder
from tresnet_lite.layers import InPlaceABN
from tresnet_lite.model import TResNet, variant

# "resnet50" is timm's: an independent baseline
OURS = ("tresnet_m", "tresnet_l", "tresnet_xl", "tresnet_v2_l")


def build(name: str, *, norm: str | None = None, memory: str | None = None) -> nn.Module:
    """A network with fresh weights and 1000 classes.

    Args:
        name: one of `OURS`, a row of Table 4 (`ablation_ladder`), or a model of timm.
        norm: of ours: "iabn", "bn" or "mapillary" (the published Inplace-ABN); None for the
            network's own.
        memory: of ours: `TResNetConfig.memory`; None for the network's own.

    Raises:
        LookupError: the installed timm has no such model.
        ImportError: timm, or for "mapillary" the package inplace-abn, is not installed.
        ValueError: an option for a model of timm, or one that ours does not take.
    """
    ladder = ablation_ladder()
    if name not in OURS and name not in ladder:
        if norm or memory:
            raise ValueError(f"norm and memory are options of our networks, not of timm's {name}")
        return _from_timm(name)
    config = variant(name) if name in OURS else ladder[name]
    if norm:
        config = replace(config, norm="iabn" if norm == "mapillary" else norm)
    if memory:
        config = replace(config, memory=memory)
    network = TResNet(config)
    return with_published_norms(network) if norm == "mapillary" else network


def _from_timm(name: str) -> nn.Module:
    import timm

    if not timm.is_model(name):
        version = timm.__version__
        raise LookupError(f"timm {version} has no model {name!r}: another version may have it")
    return timm.create_model(name)


def with_one_path(network: nn.Module) -> nn.Module:
    """The network, in place, with its parallel paths joined into one of the same widths.

    A grouped convolution becomes an ordinary one; MixNet's convolutions beside each other become
    one, with the largest of their kernels. Depthwise convolutions stay as they are.
    """
    from timm.layers import MixedConv2d

    for path, module in list(network.named_modules()):
        if isinstance(module, MixedConv2d):
            network.set_submodule(path, _joined(list(module.children())))
        elif isinstance(module, nn.Conv2d) and 1 < module.groups < module.in_channels:
            network.set_submodule(path, _joined([module], groups=1))
    return network


def _joined(convolutions: Sequence[nn.Module], groups: int = 0) -> nn.Conv2d:
    """One convolution of all channels of some; depthwise if they are, unless `groups` are given."""
    inputs, outputs = (
        sum(getattr(c, n) for c in convolutions) for n in ("in_channels", "out_channels")
    )
    depthwise = all(c.groups == c.in_channels for c in convolutions)
    last = max(convolutions, key=lambda c: c.kernel_size)
    return nn.Conv2d(
        inputs,
        outputs,
        last.kernel_size,
        last.stride,
        last.padding,
        groups=groups or (inputs if depthwise else 1),
        bias=last.bias is not None,
    )


def with_published_norms(network: nn.Module) -> nn.Module:
    """The network, in place: fresh norms of the published package where our Inplace-ABN was."""
    for path, norm in list(network.named_modules()):
        if isinstance(norm, InPlaceABN):
            numbers = (norm.num_features, norm.eps, norm.momentum)
            options = {"activation": norm.activation, "activation_param": norm.activation_param}
            network.set_submodule(path, InPlaceABN(*numbers, **options, backend="mapillary"))
    return network
