"""The stems that §2.1 compares, alone and in ResNet50: 7×7 convolution, ResNet-D's three 3×3,
SpaceToDepth.

All have BatchNorm, ReLU and 64 output channels, as on the first two rungs of table 4, so that they
differ in nothing but the stem. The names are those of the records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

import pandas as pd
import torch
from torch import nn

from tresnet_lite.ablation import ablation_ladder
from tresnet_lite.counting import count_macs, count_parameters, receptive_field
from tresnet_lite.findings.speeds import model_speeds, stem_table
from tresnet_lite.layers import DepthToSpace
from tresnet_lite.model import ConvNormAct, TResNet, TResNetConfig
from tresnet_lite.records import Record

LABELS = {
    "conv7x7": "ResNet50",
    "resnet_d": "ResNet50-D",
    "space_to_depth": "TResNet",
    "space_to_depth_1x1": "TResNet, 1×1",
}


def stems() -> dict[str, nn.Sequential]:
    """The stems alone: (B, 3, H, W) → (B, 64, H/4, W/4). The last is SpaceToDepth with the paper's
    1×1 convolution.
    """
    *_, second = _rungs()
    as_printed = TResNet(replace(second, stem_kernel=1))
    return {
        name: stem_of(network)
        for name, network in (networks() | {"space_to_depth_1x1": as_printed}).items()
    }


def networks() -> dict[str, TResNet]:
    """ResNet50 with each of three stems: (B, 3, H, W) → (B, 1000)."""
    first, second = _rungs()
    deep = TResNet(first)
    deep.body.conv1 = nn.Sequential(_unit(3, 32, stride=2), _unit(32, 32), _unit(32, 64))
    return {"conv7x7": TResNet(first), "resnet_d": deep, "space_to_depth": TResNet(second)}


def stem_of(network: TResNet) -> nn.Sequential:
    """What comes before a network's first stage."""
    return nn.Sequential(
        *(part for name, part in network.body.named_children() if not name.startswith("layer"))
    )


def single_convolution(conv: nn.Conv2d, block_size: int = 4) -> nn.Conv2d:
    """The one convolution that equals SpaceToDepth followed by `conv`: kernel, stride and padding
    grow b-fold.

    The same permutation that takes pixels to channels takes the weights (O, C·b², k, k) back to (O,
    C, k·b, k·b).
    """
    kernel = DepthToSpace(block_size)(conv.weight.detach())
    sizes = {"stride": block_size, "padding": block_size * conv.padding[0]}
    single = nn.Conv2d(
        kernel.shape[1], conv.out_channels, kernel.shape[2], bias=False, dtype=kernel.dtype, **sizes
    )
    single.weight = nn.Parameter(kernel)
    return single


def sizes(image_size: int = 224) -> pd.DataFrame:
    """Parameters, multiply-accumulates (millions), receptive field and stride (pixels) of each
    stem.

    Columns: stem, parameters, macs_m, window, stride.
    """

    rows = []
    with torch.device("meta"):  # nothing is computed
        all_stems = stems()
    for name, stem in all_stems.items():
        field, macs = receptive_field(stem), count_macs(stem, (3, image_size, image_size)) / 1e6
        row = {"stem": LABELS[name], "parameters": count_parameters(stem), "macs_m": macs}
        rows.append(row | {"window": field.size, "stride": field.stride})
    return pd.DataFrame(rows)


def speeds(records: Sequence[Record], case: str) -> pd.DataFrame:
    """Speeds of one run and their ratios to the 7×7 stem's, the paper's beside them where it prints
    any.

    `case` is "alone" (the stems) or "resnet50" (the networks). Columns: those of `notebook.speeds`,
    then stem, name (as in `LABELS`), paper and paper_ratio.
    """
    measured = model_speeds(records, suite="stem", case=case, base="conv7x7")
    printed = stem_table([])[["stem", "phase", "paper", "paper_ratio"]]
    if case == "alone":  # the paper times whole networks
        printed = printed.assign(paper=float("nan"), paper_ratio=float("nan"))
    joined = measured.rename(columns={"model": "stem"}).merge(
        printed, on=["stem", "phase"], how="left"
    )
    return joined.assign(name=joined["stem"].map(LABELS))


def _rungs() -> list[TResNetConfig]:
    """Table 4's first two: ResNet50, and ResNet50 with SpaceToDepth."""
    return list(islice(ablation_ladder().values(), 2))


def _unit(in_channels: int, out_channels: int, stride: int = 1) -> ConvNormAct:
    return ConvNormAct(
        in_channels, out_channels, 3, stride=stride, norm="bn", activation="relu", slope=0.0
    )
