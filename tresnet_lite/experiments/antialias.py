"""Four ways in which TResNet-M can halve its resolution, from strides alone to blurs everywhere,
and what each costs.

All have the same parameters. The names are those of the records. How they behave when the image
moves is in `shifts`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import torch
from torch import nn

from tresnet_lite.counting import count_macs
from tresnet_lite.counting.kept import bytes_per_image
from tresnet_lite.experiments import stems
from tresnet_lite.findings.speeds import model_speeds
from tresnet_lite.layers import BlurPool2d
from tresnet_lite.model import ConvNormAct, TResNet, variant
from tresnet_lite.paper import paper_value
from tresnet_lite.records import Record

SCHEMES: dict[str, dict] = {  # name → what differs from TResNet-M
    "strided": {"antialias": False, "shortcut": "strided"},  # table 4's rung before AA
    "avgpool": {"antialias": False},
    "economic": {},  # TResNet-M as published
    "full": {},  # and then `blur_everything`
}
LABELS = {
    "strided": "strides",
    "avgpool": "averages",
    "economic": "TResNet",
    "full": "all blurs",
}
FILTERS = {  # scheme → what comes before pixels are dropped, at each kind of place
    "strided": ("–", "–", "–"),
    "avgpool": ("–", "–", "average 2×2"),
    "economic": ("–", "blur", "average 2×2"),
    "full": ("blur, twice", "blur", "blur"),
}
RUNGS = {"strided": "+ Optimizer SE layers", "economic": "+ AA"}  # scheme → its row of table 4
MIB = 2**20


def network(scheme: str, num_classes: int = 1000, **overrides: object) -> TResNet:
    """TResNet-M that downsamples by one of `SCHEMES`; `overrides` are fields of its
    configuration.
    """
    made = TResNet(replace(variant("tresnet_m"), **SCHEMES[scheme], **overrides), num_classes)
    return blur_everything(made) if scheme == "full" else made


def blur_everything(made: TResNet) -> TResNet:
    """Zhang's rule at every place of a TResNet: evaluate densely, then blur and drop. Changes the
    network it is given.

    The stem is one 12×12 convolution of stride 4 (the chapter on the stem proves it): it becomes
    one of stride 1, and two blurs of stride 2 bring it down. The shortcuts' averages become blurs.
    The parameters stay the same numbers.
    """
    stem = made.body.conv1
    stem.conv = stems.single_convolution(stem.conv)
    stem.conv.stride = (1, 1)
    stem.aa = nn.Sequential(BlurPool2d(2), BlurPool2d(2))
    made.body.s2d = nn.Identity()
    for stage in (made.body.layer2, made.body.layer3, made.body.layer4):
        stage[0].downsample[0] = BlurPool2d(2)
    return made


def schemes() -> pd.DataFrame:
    """What each scheme filters before it drops pixels. Columns: name, stem, convolutions,
    shortcuts.
    """

    places = ("stem", "convolutions", "shortcuts")
    return pd.DataFrame(
        [{"name": LABELS[s], **dict(zip(places, FILTERS[s], strict=True))} for s in SCHEMES]
    )


def places(image_size: int = 224) -> pd.DataFrame:
    """TResNet-M's convolutions that halve the resolution, with and without blur, for one image.

    Columns: place, output (C×H×W), strided and blurred (the convolution's millions of MACs at
    stride 2 and 1), blur (millions of products of the fixed filter).
    """

    shapes: dict[str, torch.Size] = {}
    with torch.device("meta"), torch.no_grad():  # nothing is computed
        made = network("economic").eval()
        units = {name: m for name, m in made.named_modules() if _is_blurred(m)}
        for name, unit in units.items():
            unit.register_forward_hook(
                lambda *call, name=name: shapes.update({name: call[2].shape})
            )
        made(torch.zeros(1, 3, image_size, image_size))
    rows = []
    for name, unit in units.items():
        _, channels, height, width = shapes[name]
        stride = unit.aa.stride
        strided = unit.conv.weight.numel() * height * width / 1e6
        row = {"place": _place(name), "output": f"{channels}×{height}×{width}", "strided": strided}
        blur = unit.aa.kernel.numel() * channels * height * width / 1e6
        rows.append(row | {"blurred": strided * stride**2, "blur": blur})
    return pd.DataFrame(rows)


def _is_blurred(module: nn.Module) -> bool:
    return isinstance(module, ConvNormAct) and isinstance(module.aa, BlurPool2d)


def _place(name: str) -> str:
    """`body.layer2.0.conv1` → `stage 2, conv1`."""
    _, stage, _, unit = name.split(".")
    return f"stage {stage[-1]}, {unit}"


def costs(image_size: int = 224) -> pd.DataFrame:
    """MACs (thousand millions) and MiB kept for backward in float32, an image, of each scheme; all
    by counting.

    Columns: name, macs, published (kept by the published code) and lean (by this package).
    """

    def images(batch: int) -> torch.Tensor:
        return torch.zeros(batch, 3, image_size, image_size)

    rows = []
    with torch.device("meta"):  # nothing is computed
        for scheme in SCHEMES:
            macs = count_macs(network(scheme), (3, image_size, image_size)) / 1e9
            kept = {
                m: bytes_per_image(network(scheme, memory=m).train(), images)
                for m in ("paper", "lean")
            }
            mib = {memory: sum(parts.values()) / MIB for memory, parts in kept.items()}
            row = {"name": LABELS[scheme], "macs": macs}
            rows.append(row | {"published": mib["paper"], "lean": mib["lean"]})
    return pd.DataFrame(rows)


def speeds(records: Sequence[Record]) -> pd.DataFrame:
    """Images a second of the schemes and their ratio to "strided", the paper's beside them (table
    4, inference).

    Columns: those of `notebook.speeds`, then name, quartiles (text), paper, paper_ratio.
    """
    found = model_speeds(records, suite="antialias", case="tresnet_m", base="strided")
    printed = [_paper_speed(row.model, row.phase) for row in found.itertuples()]
    quartiles = [f"{row.q1:,.1f}–{row.q3:,.1f}" for row in found.itertuples()]
    found = found.assign(name=found["model"].map(LABELS), quartiles=quartiles, paper=printed)
    return found.assign(paper_ratio=found["paper"] / _paper_speed("strided", "inference"))


def _paper_speed(scheme: str, phase: str) -> float:
    """Table 4's inference speed of a scheme, NaN where it prints none."""
    if scheme not in RUNGS or phase != "inference":
        return float("nan")
    return float(paper_value(4, "inference_img_s", refinement=RUNGS[scheme]))


def peak_table(records: Sequence[Record]) -> pd.DataFrame:
    """Peaks of `training_peaks`, in MiB an image, and their ratio to the first. Columns: name,
    peak_per_image, ratio.
    """

    chosen = [r for r in records if (r.suite, r.metric) == ("antialias", "peak_memory")]
    rows = [
        {"name": LABELS[r.model], "peak_per_image": r.value.median / r.conditions.batch / MIB}
        for r in chosen
    ]
    table = pd.DataFrame(rows)
    return table.assign(ratio=table["peak_per_image"] / table["peak_per_image"].iloc[0])
