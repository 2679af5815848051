"""Squeeze-and-excitation as §2.1 has it: its place, its squeeze, its stages, and what that costs.

The names of networks and blocks are those of the records. What the gates do is in `gates`.
"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import torch
from torch import Tensor, nn

from tresnet_lite.ablation import ablation_ladder
from tresnet_lite.counting import count_parameters
from tresnet_lite.counting.kept import kept_mb
from tresnet_lite.experiments.experiment import Experiment
from tresnet_lite.layers import SqueezeExcite
from tresnet_lite.layers.residual_tail import residual_tail
from tresnet_lite.model import Bottleneck, TResNet, TResNetConfig, variant
from tresnet_lite.profiles import Profile

WITHOUT, WITH = "+ Inplace-ABN", "+ Optimizer SE layers"  # the rungs of table 4 before and after SE
SE_STAGES = {"none": (False,) * 4, "three": (True, True, True, False), "four": (True,) * 4}
STAGE_LABELS = {"none": "no SE", "three": "stages 1–3", "four": "stages 1–4"}
PLACE_LABELS = {"none": "no SE", "inside": "after the 3×3", "end": "before the sum"}
PLAIN, PUBLISHED, LEAN = {"norm": "bn", "memory": "paper"}, {"memory": "paper"}, {"memory": "lean"}
READINGS = {"printed": "paper", "coded": "code"}  # of the reduction: the text's, published code's


def se_networks(width: int = 64) -> dict[str, TResNet]:
    """Table 4's last rung but one, with SE in no stage, in the first three, and in all four."""
    rung = replace(ablation_ladder()[WITH], width=width)
    return {name: TResNet(replace(rung, se=stages)) for name, stages in SE_STAGES.items()}


IN_STAGES = Experiment(
    "se",
    "stages",
    STAGE_LABELS,
    base="none",
    build=se_networks,
    with_peaks=True,
    printed={
        "none": {"table": 4, "refinement": WITHOUT},
        "three": {"table": 4, "refinement": WITH},
    },
)


class EndBottleneck(Bottleneck):
    """A bottleneck with SE where Hu et al. have it: before the sum, 4·planes channels, r = 16."""

    def __init__(self, in_channels: int, planes: int, stride: int, config: TResNetConfig) -> None:
        super().__init__(in_channels, planes, stride, False, config)
        channels = planes * self.expansion
        self.se = SqueezeExcite(channels, channels // 16)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv3.conv(self.conv2(self.conv1(x)))
        return residual_tail(out, self.downsample(x), self.conv3.bn, self.se, self.act)


def se_blocks(**options: object) -> dict[str, nn.Module]:
    """TResNet-M's third-stage block with SE nowhere, after its 3×3 and before its sum.

    They take (B, 1024, H, W) and give the same. `options` are fields of the configuration.
    """
    config, planes = replace(variant("tresnet_m"), **options), 256
    shape = {"in_channels": 4 * planes, "planes": planes, "stride": 1, "config": config}
    none, inside = (Bottleneck(use_se=use, **shape) for use in (False, True))
    return {"none": none, "inside": inside, "end": EndBottleneck(**shape)}


def _maps(profile: Profile, phase: str) -> Tensor:
    """What the third stage sees: 1024 maps of a sixteenth of the image's side."""
    side, generator = profile.image_size // 16, torch.Generator().manual_seed(0)
    maps = torch.rand(profile.batch, 1024, side, side, generator=generator).to(profile.device)
    # inside a network, a block's backward goes on to its input
    return maps.requires_grad_(phase == "training")


IN_BLOCK = Experiment(
    "se",
    "block",
    PLACE_LABELS,
    base="none",
    build=lambda width: se_blocks(),  # of full width
    loss=lambda output: output.float().mean(),
    inputs=_maps,
)


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
