"""Squeeze-and-excitation as §2.1 has it: where it stands, how far it squeezes, in which stages, and
what that costs.

The names of networks and blocks are those of the records. What the gates do is in `gates`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import torch
from torch import Tensor, nn

from tresnet_lite.ablation import ablation_ladder
from tresnet_lite.bench.compare import compare
from tresnet_lite.counting import count_parameters
from tresnet_lite.counting.kept import bytes_per_image
from tresnet_lite.findings.speeds import model_speeds
from tresnet_lite.layers import SqueezeExcite
from tresnet_lite.layers.residual_tail import residual_tail
from tresnet_lite.model import Bottleneck, TResNet, TResNetConfig, variant
from tresnet_lite.paper import paper_value
from tresnet_lite.profiles import Profile
from tresnet_lite.records import Record

WITHOUT, WITH = "+ Inplace-ABN", "+ Optimizer SE layers"  # the rungs of table 4 before and after SE
STAGES = {"none": (False,) * 4, "three": (True, True, True, False), "four": (True,) * 4}
NETWORKS = {"none": "no SE", "three": "stages 1–3", "four": "stages 1–4"}
BLOCKS = {"none": "no SE", "inside": "after the 3×3", "end": "before the sum"}
PLAIN, PUBLISHED, LEAN = {"norm": "bn", "memory": "paper"}, {"memory": "paper"}, {"memory": "lean"}
# of the reduction: the text's, and the published code's
READINGS = {
    "printed": "paper",
    "coded": "code",
}
MB = 1e6


def networks(width: int = 64) -> dict[str, TResNet]:
    """The network of table 4's last rung but one, with SE in no stage, in the first three, and in
    all four.
    """
    rung = replace(ablation_ladder()[WITH], width=width)
    return {name: TResNet(replace(rung, se=stages)) for name, stages in STAGES.items()}


class EndBottleneck(Bottleneck):
    """A bottleneck with SE where Hu et al. have it: before the sum, on 4·planes channels, with r =
    16.
    """

    def __init__(self, in_channels: int, planes: int, stride: int, config: TResNetConfig) -> None:
        super().__init__(in_channels, planes, stride, False, config)
        channels = planes * self.expansion
        self.se = SqueezeExcite(channels, channels // 16)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv3.conv(self.conv2(self.conv1(x)))
        return residual_tail(out, self.downsample(x), self.conv3.bn, self.se, self.act)


def blocks(**options: object) -> dict[str, nn.Module]:
    """TResNet-M's third-stage block, (B, 1024, H, W) → the same, with SE nowhere, after its 3×3 and
    before its sum.

    `options` are fields of the configuration.
    """
    config, planes = replace(variant("tresnet_m"), **options), 256
    shape = {"in_channels": 4 * planes, "planes": planes, "stride": 1, "config": config}
    inside = {use: Bottleneck(use_se=use, **shape) for use in (False, True)}
    return {"none": inside[False], "inside": inside[True], "end": EndBottleneck(**shape)}


def reductions(model: str = "tresnet_m") -> pd.DataFrame:
    """How far SE squeezes in each stage, read off the network as printed and as coded.

    Columns: stage, block, channels, then printed (the factor r), printed_channels (C/r), and the
    same for coded.
    """

    with torch.device("meta"):
        read = {
            name: TResNet(replace(variant(model), se_reduction=reading))
            for name, reading in READINGS.items()
        }
    rows = []
    for stage in (1, 2, 3):
        row: dict[str, object] = {"stage": stage}
        for name, network in read.items():
            block = network.body.get_submodule(f"layer{stage}")[0]
            channels, squeezed = block.se.fc1.in_channels, block.se.fc1.out_channels
            row |= {"block": type(block).__name__, "channels": channels}
            row |= {name: channels / squeezed, f"{name}_channels": squeezed}
        rows.append(row)
    return pd.DataFrame(rows)


def per_stage(image_size: int = 224) -> pd.DataFrame:
    """What SE weighs in each of the four stages of TResNet-M: layers, their map, its values
    (millions), parameters.

    Columns: stage, layers, map, values (of all the stage's maps, for one image), parameters.
    """

    with torch.device("meta"):
        network = TResNet(replace(variant("tresnet_m"), se=STAGES["four"])).eval()
    rows = []
    for stage in (1, 2, 3, 4):
        layers = [block.se for block in network.body.get_submodule(f"layer{stage}")]
        channels, side = layers[0].fc1.in_channels, image_size // 2 ** (stage + 1)
        values = len(layers) * channels * side**2 / 1e6
        row = {
            "stage": stage,
            "layers": len(layers),
            "map": f"{channels}×{side}×{side}",
            "values": values,
        }
        rows.append(row | {"parameters": sum(map(count_parameters, layers))})
    return pd.DataFrame(rows)


def kept(image_size: int = 224) -> pd.DataFrame:
    """What SE adds to a network: parameters (millions), and MB an image that training keeps for
    backward, float32.

    Columns: name, parameters_m, plain (BatchNorm and autograd), published (Inplace-ABN as
    published), lean (ours).
    """

    rung, rows = ablation_ladder()[WITH], []
    for name, stages in STAGES.items():
        row: dict[str, object] = {"name": NETWORKS[name]}
        for way, options in (("plain", PLAIN), ("published", PUBLISHED), ("lean", LEAN)):
            with torch.device("meta"):
                network = TResNet(replace(rung, se=stages, **options))
            row |= {
                "parameters_m": count_parameters(network) / 1e6,
                way: _kept_mb(network, 3, image_size),
            }
        rows.append(row)
    return pd.DataFrame(rows)


def places(image_size: int = 224) -> pd.DataFrame:
    """The third-stage block with SE in either place: SE's channels and parameters, and MB an image
    kept for backward.

    Columns: name, channels (NaN without SE), parameters, plain (BatchNorm and autograd), lean
    (ours).
    """

    rows = []
    with torch.device("meta"):
        ways = {"plain": blocks(**PLAIN), "lean": blocks(**LEAN)}
    for name, label in BLOCKS.items():
        se = ways["lean"][name].se
        channels = se.fc1.in_channels if isinstance(se, SqueezeExcite) else float("nan")
        row = {"name": label, "channels": channels, "parameters": count_parameters(se)}
        rows.append(
            row | {way: _kept_mb(both[name], 1024, image_size // 16) for way, both in ways.items()}
        )
    return pd.DataFrame(rows)


def _kept_mb(model: nn.Module, channels: int, side: int) -> float:
    """MB that a training forward of a model on the meta device keeps for each image."""
    kept = bytes_per_image(
        model.train(), lambda n: torch.empty(n, channels, side, side, device="meta")
    )
    return sum(kept.values()) / MB


def compare_blocks(profile: Profile, phase: str) -> list[Record]:
    """Images a second of the three blocks, in the third stage's place: on maps of a sixteenth of
    the image's side.
    """
    side, generator = profile.image_size // 16, torch.Generator().manual_seed(0)
    maps = torch.rand(profile.batch, 1024, side, side, generator=generator).to(profile.device)
    if phase == "training":  # inside a network, a block's backward goes on to its input
        maps.requires_grad_()
    case = {"suite": "se", "case": "block", "phase": phase}
    return compare(
        blocks(), profile, **case, loss=lambda output: output.float().mean(), inputs=maps
    )


def peaks(records: Sequence[Record]) -> pd.DataFrame:
    """Peak memory of a training step, MB, and its ratio to the network without SE. Columns: name,
    peak, ratio.
    """

    measured = {
        r.model: r.value.median for r in records if (r.case, r.metric) == ("stages", "peak_memory")
    }
    rows = [
        {"name": NETWORKS[name], "peak": peak / MB, "ratio": peak / measured["none"]}
        for name, peak in measured.items()
    ]
    return pd.DataFrame(rows)


def speeds(records: Sequence[Record], case: str) -> pd.DataFrame:
    """Speeds of one run and their ratios to "none", the paper's beside them where it prints any.

    `case` is "stages" (the networks) or "block" (the blocks). Columns: those of `notebook.speeds`,
    then name (as in `NETWORKS` or `BLOCKS`), paper and paper_ratio (NaN: not printed).
    """
    table = model_speeds(records, suite="se", case=case, base="none")
    names = NETWORKS if case == "stages" else BLOCKS
    printed = [_printed(case, row.phase, row.model) for row in table.itertuples()]
    paper_ratio = [figure / _printed("stages", "inference", "none") for figure in printed]
    return table.assign(name=table["model"].map(names), paper=printed, paper_ratio=paper_ratio)


def _printed(case: str, phase: str, model: str) -> float:
    """The paper's speed, NaN where it prints none: it times whole networks, the ablation's in
    inference alone.
    """
    rungs = {"none": WITHOUT, "three": WITH}
    if case != "stages" or phase != "inference" or model not in rungs:
        return float("nan")
    return float(paper_value(4, "inference_img_s", refinement=rungs[model]))


def designs() -> dict[str, tuple[nn.Module, int]]:
    """TResNet-M's two blocks with SE, each with the channels of its input (figure 3, stride 1)."""
    with torch.device("meta"):
        network = TResNet(variant("tresnet_m"))
    found = (network.body.layer1[1], 64), (network.body.layer3[1], 1024)
    return {type(block).__name__: (block, channels) for block, channels in found}
