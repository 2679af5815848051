"""Five ways in which TResNet-M can halve its resolution, from strides alone to blurs everywhere.

All have the same parameters. The names are those of the records. How they behave when the image
moves is in `shifts`.
"""

from __future__ import annotations

import pandas as pd
import torch

from tresnet_lite.counting import count_macs
from tresnet_lite.counting.kept import kept_mb
from tresnet_lite.counting.shapes import shape_of
from tresnet_lite.counting.trace import trace
from tresnet_lite.counting.traffic import least_seconds, operations_of
from tresnet_lite.counting.variants import SCHEMES, scheme_network
from tresnet_lite.experiments.experiment import Experiment
from tresnet_lite.layers import BlurPool2d
from tresnet_lite.model import ConvNormAct
from tresnet_lite.paper.published import peak

BATCH = 32  # images, over which a layer's weights are read once

SCHEME_LABELS = {
    "strided": "strides",
    "avgpool": "averages",
    "economic": "TResNet",
    "zhang": "Zhang's",
    "full": "all blurs",
}
FILTERS = {  # scheme → what comes before pixels are dropped, at each kind of place
    "strided": ("–", "–", "–"),
    "avgpool": ("–", "–", "average 2×2"),
    "economic": ("–", "blur", "average 2×2"),
    "zhang": ("–", "blur", "blur"),
    "full": ("blur, twice", "blur", "blur"),
}
# scheme → its row of table 4
SCHEME_RUNGS = {"strided": "+ Optimizer SE layers", "economic": "+ AA"}


EXPERIMENT = Experiment(
    "antialias",
    "tresnet_m",
    SCHEME_LABELS,
    base="strided",
    printed={scheme: {"table": 4, "refinement": rung} for scheme, rung in SCHEME_RUNGS.items()},
)


def schemes() -> pd.DataFrame:
    """What comes before a scheme drops pixels. Columns: name, stem, convolutions, shortcuts."""
    lines = [(SCHEME_LABELS[scheme], *FILTERS[scheme]) for scheme in SCHEMES]
    return pd.DataFrame(lines, columns=["name", "stem", "convolutions", "shortcuts"])


def blurred_convolutions(image_size: int = 224) -> pd.DataFrame:
    """TResNet-M's convolutions that halve the resolution, with and without blur, for one image.

    The times are the least that a V100 can take by its data sheet, in float16, batch 32. The blur
    is the published one: it pads, and then convolves each channel by itself.

    Columns: place, output (C×H×W), strided and blurred (the convolution's millions of MACs at
    stride 2 and 1), blur (millions of products of the fixed filter), moved_mb (MB per image that
    the blur reads and writes), dense_time and blur_time (µs per image, of the convolution at stride
    1 and of the blur), blur_share (of the second over the first).
    """
    with torch.device("meta"):  # nothing is computed
        calls = trace(scheme_network("economic"), (3, image_size, image_size))
    rows = []
    for call in calls:
        unit = call.module
        if not (isinstance(unit, ConvNormAct) and isinstance(unit.aa, BlurPool2d)):
            continue
        channels, height, width = call.output
        strided = unit.conv.weight.numel() * height * width / 1e6
        row = {"place": _place(call.path), "output": shape_of(call.output), "strided": strided}
        blur = unit.aa.kernel.numel() * channels * height * width / 1e6
        row |= {"blurred": strided * unit.aa.stride**2, "blur": blur}
        dense_map = (channels, height * unit.aa.stride, width * unit.aa.stride)
        rows.append(row | _blur_beside_convolution(unit, dense_map))
    return pd.DataFrame(rows)


def _blur_beside_convolution(
    unit: ConvNormAct, dense_map: tuple[int, int, int]
) -> dict[str, float]:
    """What a blur moves on `dense_map` (C, H, W), and the roofline's times of it and its unit."""
    with torch.device("meta"):
        images = (BATCH, unit.conv.in_channels, *dense_map[1:])
        convolution = operations_of(unit.conv.half(), torch.zeros(images, dtype=torch.half))
        maps = torch.zeros(BATCH, *dense_map, dtype=torch.half)
        blur = operations_of(BlurPool2d(unit.aa.stride, keep_input=True).half(), maps)
    dense, blurred = (least_seconds(o, *peak()) / BATCH * 1e6 for o in (convolution, blur))
    moved = sum(operation.moved for operation in blur) / BATCH / 1e6
    times = {"dense_time": dense, "blur_time": blurred, "blur_share": blurred / dense}
    return {"moved_mb": moved, **times}


def _place(name: str) -> str:
    """`body.layer2.0.conv1` → `stage 2, conv1`."""
    _, stage, _, unit = name.split(".")
    return f"stage {stage[-1]}, {unit}"


def costs(image_size: int = 224) -> pd.DataFrame:
    """MACs (billions) and MB kept for backward in float32, per image, of each scheme, by counting.

    Columns: name, macs, published (kept by the published code) and lean (by this package).
    """
    rows, shape = [], (3, image_size, image_size)
    for scheme in SCHEMES:
        with torch.device("meta"):  # nothing is computed
            published, lean = (scheme_network(scheme, memory=m) for m in ("paper", "lean"))
        row = {"name": SCHEME_LABELS[scheme], "macs": count_macs(lean, shape) / 1e9}
        row |= {"published": kept_mb(published, shape), "lean": kept_mb(lean, shape)}
        rows.append(row)
    return pd.DataFrame(rows)
