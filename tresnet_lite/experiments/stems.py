"""The stems that §2.1 compares, alone and in ResNet50.

A 7×7 convolution, ResNet-D's three 3×3, and SpaceToDepth. All have BatchNorm, ReLU and 64 output
channels, as on the first two rungs of table 4, so that they differ in nothing but the stem. The
names are those of the records; ResNet50 is ours, table 4's first rung.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import pandas as pd
import torch
from torch import nn

from tresnet_lite.ablation import ablation_ladder
from tresnet_lite.counting import count_macs, count_parameters, receptive_field
from tresnet_lite.experiments.experiment import Experiment
from tresnet_lite.layers import DepthToSpace
from tresnet_lite.model import ConvNormAct, TResNet, TResNetConfig

STEM_LABELS = {
    "conv7x7": "ResNet50",
    "resnet_d": "ResNet50-D",
    "space_to_depth": "TResNet",
    "space_to_depth_1x1": "TResNet, 1×1",
}


def stems() -> dict[str, nn.Sequential]:
    """The stems alone: (B, 3, H, W) → (B, 64, H/4, W/4).

    The last is SpaceToDepth with the paper's 1×1 convolution.
    """
    _, second = _rungs()
    as_printed = TResNet(replace(second, stem_kernel=1))
    whole = {**stem_networks(), "space_to_depth_1x1": as_printed}
    return {name: stem_of(network) for name, network in whole.items()}


def stem_networks() -> dict[str, TResNet]:
    """ResNet50 with each of three stems: (B, 3, H, W) → (B, 1000)."""
    first, second = _rungs()
    deep = TResNet(first)
    deep.body.conv1 = nn.Sequential(_unit(3, 32, stride=2), _unit(32, 32), _unit(32, 64))
    return {"conv7x7": TResNet(first), "resnet_d": deep, "space_to_depth": TResNet(second)}


def resnet50_d() -> TResNet:
    """The whole ResNet50-D: the stem of three convolutions, and averages in the shortcuts."""
    first, _ = _rungs()
    network = TResNet(replace(first, shortcut="avgpool"))
    network.body.conv1 = stem_networks()["resnet_d"].body.conv1
    return network


def _rungs() -> list[TResNetConfig]:
    """Table 4's first two: ResNet50, and ResNet50 with SpaceToDepth."""
    return list(islice(ablation_ladder().values(), 2))


def _unit(in_channels: int, out_channels: int, stride: int = 1) -> ConvNormAct:
    plain = {"norm": "bn", "activation": "relu", "slope": 0.0}
    return ConvNormAct(in_channels, out_channels, 3, stride=stride, **plain)


# Both are timed at their full width, whatever the profile's. The paper times whole networks.
ALONE = Experiment(
    "stem",
    "alone",
    STEM_LABELS,
    base="conv7x7",
    build=lambda width: stems(),
    loss=lambda output: output.float().mean(),  # a stem has no classes to tell apart
)
# The paper prints the speed of the whole ResNet50-D, whose shortcuts differ too, and says that its
# stem accounts for the loss in training speed. So both are timed, on one device.
_PRINTED = {
    "conv7x7": {"table": 1, "model": "ResNet50"},
    "resnet50_d": {"table": 1, "model": "ResNet50-D"},
    "space_to_depth": {"table": 4, "refinement": "+ Stem → SpaceToDepth"},
}
IN_RESNET50 = Experiment(
    "stem",
    "resnet50",
    {
        "conv7x7": STEM_LABELS["conv7x7"],
        "resnet_d": "ResNet50-D, stem only",
        "space_to_depth": STEM_LABELS["space_to_depth"],
        "resnet50_d": "ResNet50-D, whole",
    },
    base="conv7x7",
    build=lambda width: {**stem_networks(), "resnet50_d": resnet50_d()},
    printed=_PRINTED,
)


def stem_of(network: TResNet) -> nn.Sequential:
    """What comes before a network's first stage."""
    parts = network.body.named_children()
    return nn.Sequential(*(part for name, part in parts if not name.startswith("layer")))


def single_convolution(conv: nn.Conv2d, block_size: int = 4) -> nn.Conv2d:
    """The one convolution that equals SpaceToDepth followed by `conv`.

    Kernel, stride and padding grow b-fold. The same permutation that takes pixels to channels takes
    the weights (O, C·b², k, k) back to (O, C, k·b, k·b).
    """
    kernel = DepthToSpace(block_size)(conv.weight.detach())
    out_channels, in_channels, size, _ = kernel.shape
    options = {"stride": block_size, "padding": block_size * conv.padding[0], "bias": False}
    single = nn.Conv2d(in_channels, out_channels, size, dtype=kernel.dtype, **options)
    single.weight = nn.Parameter(kernel)
    return single


def stem_sizes(image_size: int = 224) -> pd.DataFrame:
    """What each stem has, computes and sees.

    Columns: stem, parameters, macs_m (millions), window and stride (pixels) of the receptive field.
    """
    with torch.device("meta"):  # nothing is computed
        all_stems = stems()
    rows = []
    for name, stem in all_stems.items():
        field, macs = receptive_field(stem), count_macs(stem, (3, image_size, image_size)) / 1e6
        row = {"stem": STEM_LABELS[name], "parameters": count_parameters(stem), "macs_m": macs}
        rows.append({**row, "window": field.size, "stride": field.stride})
    return pd.DataFrame(rows)
