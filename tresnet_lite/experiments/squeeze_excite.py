"""Squeeze-and-excitation as §2.1 has it: its place, its squeeze, its stages, and what that costs.

The names of networks and blocks are those of the records. What the gates do is in `gates`.
"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import torch
from torch import nn

from tresnet_lite.ablation import ablation_ladder
from tresnet_lite.counting import count_parameters
from tresnet_lite.counting.kept import kept_mb
from tresnet_lite.counting.variants import SE_STAGES, WITH, WITHOUT, se_blocks
from tresnet_lite.experiments.experiment import Experiment
from tresnet_lite.layers import SqueezeExcite
from tresnet_lite.model import TResNet, variant

STAGE_LABELS = {"none": "no SE", "three": "stages 1–3", "four": "stages 1–4"}
PLACE_LABELS = {"none": "no SE", "inside": "after the 3×3", "end": "before the sum"}
PLAIN, PUBLISHED, LEAN = {"norm": "bn", "memory": "paper"}, {"memory": "paper"}, {"memory": "lean"}
READINGS = {"printed": "paper", "coded": "code"}  # of the reduction: the text's, published code's


IN_STAGES = Experiment(
    "se",
    "stages",
    STAGE_LABELS,
    base="none",
    printed={
        "none": {"table": 4, "refinement": WITHOUT},
        "three": {"table": 4, "refinement": WITH},
    },
)


IN_BLOCK = Experiment("se", "block", PLACE_LABELS, base="none")


def reductions(model: str = "tresnet_m") -> pd.DataFrame:
    """How far SE squeezes in each stage, read off the network as printed and as coded.

    Columns: stage, block, channels, then printed (the factor r), printed_channels (C/r), and the
    same for coded.
    """
    rows: list[dict[str, object]] = [{"stage": stage} for stage in (1, 2, 3)]
    for name, reading in READINGS.items():
        with torch.device("meta"):
            network = TResNet(replace(variant(model), se_reduction=reading))
        for row in rows:
            block = network.body.get_submodule(f"layer{row['stage']}")[0]
            channels, squeezed = block.se.fc1.in_channels, block.se.fc1.out_channels
            row |= {"block": type(block).__name__, "channels": channels}
            row |= {name: channels / squeezed, f"{name}_channels": squeezed}
    return pd.DataFrame(rows)


def per_stage(image_size: int = 224) -> pd.DataFrame:
    """What SE weighs in each of the four stages of TResNet-M.

    Columns: stage, layers, map, values (millions, of all the stage's maps, for one image),
    parameters.
    """
    with torch.device("meta"):
        network = TResNet(replace(variant("tresnet_m"), se=SE_STAGES["four"]))
    rows = []
    for stage in (1, 2, 3, 4):
        layers = [block.se for block in network.body.get_submodule(f"layer{stage}")]
        channels, side = layers[0].fc1.in_channels, image_size // 2 ** (stage + 1)
        row = {"stage": stage, "layers": len(layers), "map": f"{channels}×{side}×{side}"}
        row["values"] = len(layers) * channels * side**2 / 1e6
        rows.append({**row, "parameters": sum(map(count_parameters, layers))})
    return pd.DataFrame(rows)


def se_kept(image_size: int = 224) -> pd.DataFrame:
    """What SE adds to a network: parameters (millions), and MB per image kept in float32.

    Columns: name, parameters_m, plain (BatchNorm and autograd), published (Inplace-ABN as
    published), lean (ours).
    """
    rung, rows = ablation_ladder()[WITH], []
    for name, stages in SE_STAGES.items():
        row: dict[str, object] = {"name": STAGE_LABELS[name]}
        for way, options in (("plain", PLAIN), ("published", PUBLISHED), ("lean", LEAN)):
            with torch.device("meta"):
                network = TResNet(replace(rung, se=stages, **options))
            row["parameters_m"] = count_parameters(network) / 1e6
            row[way] = kept_mb(network, (3, image_size, image_size))
        rows.append(row)
    return pd.DataFrame(rows)


def se_places(image_size: int = 224) -> pd.DataFrame:
    """The third-stage block with SE in either place: SE's size, and MB per image kept.

    Columns: name, channels (NaN without SE), parameters, plain (BatchNorm and autograd), lean
    (ours).
    """
    with torch.device("meta"):
        plain, lean = se_blocks(**PLAIN), se_blocks(**LEAN)
    side, rows = image_size // 16, []
    for name, label in PLACE_LABELS.items():
        se = lean[name].se
        channels = se.fc1.in_channels if isinstance(se, SqueezeExcite) else float("nan")
        row = {"name": label, "channels": channels, "parameters": count_parameters(se)}
        row["plain"] = kept_mb(plain[name], (1024, side, side))
        rows.append({**row, "lean": kept_mb(lean[name], (1024, side, side))})
    return pd.DataFrame(rows)


def designs() -> dict[str, tuple[nn.Module, int]]:
    """TResNet-M's two blocks with SE, each with the channels of its input (figure 3, stride 1)."""
    with torch.device("meta"):
        body = TResNet(variant("tresnet_m")).body
    both = ((body.layer1[1], 64), (body.layer3[1], 1024))
    return {type(block).__name__: (block, channels) for block, channels in both}
